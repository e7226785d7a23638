"""The layers of the Mistral shape, tensor-parallel; activations are [sequence, batch, hidden], as nanotron wants.

RoPE rotates halves as Hugging Face does, and projections are concatenated (q, k, v and gate, up), so that a conversion
only cuts and joins. tp is the tensor-parallel size; under reduce-scatter the hidden states between the linear layers
are [sequence / tp, batch, hidden].
"""

from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import hare.model.nanotron_shim  # noqa: F401
from hare.model.config import HareConfig
from hare.model.cross_entropy import head_cross_entropy

# isort: split
from nanotron.config import ParallelismArgs
from nanotron.distributed import ProcessGroup
from nanotron.parallel.tensor_parallel.functional import sharded_cross_entropy
from nanotron.parallel.tensor_parallel.nn import (
    TensorParallelColumnLinear,
    TensorParallelEmbedding,
    TensorParallelRowLinear,
)


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[…, hidden] to [… , hidden]."""
        wide = hidden_states.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(hidden_states.dtype)


@lru_cache(maxsize=8)
def rotary_tables(
    length: int, head_size: int, theta: float, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary angles, each [length, head_size], computed in fp32 (Su et al. 2021)."""
    exponents = torch.arange(0, head_size, 2, dtype=torch.int64, device=device).float() / head_size
    angles = torch.outer(torch.arange(length, device=device).float(), 1.0 / theta**exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotated(heads: torch.Tensor, theta: float) -> torch.Tensor:
    """Apply rotary position embedding to [batch, heads, sequence, head_size]."""
    cosines, sines = rotary_tables(heads.shape[-2], heads.shape[-1], theta, heads.dtype, heads.device)
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


class ColumnLinear(TensorParallelColumnLinear):
    """nanotron's, whose checkpoint metadata holds ``np.int64(…)`` under numpy 2 and cannot be read back: cast here."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        sharded = self.weight.get_sharded_info()
        sharded.unsharded_shape = tuple(int(size) for size in sharded.unsharded_shape)


class Attention(nn.Module):
    """Causal grouped-query attention through PyTorch's fused kernel."""

    def __init__(self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup):
        super().__init__()
        self.head_size, self.theta = config.head_size, config.rope_theta
        self.queries = config.attention_heads // tp_pg.size()
        self.key_values = config.key_value_heads // tp_pg.size()
        heads = (config.attention_heads, config.key_value_heads, config.key_value_heads)
        chunks = tuple(count * self.head_size for count in heads)
        options = {"pg": tp_pg, "mode": parallel_config.tp_mode, "bias": False}
        self.qkv_proj = ColumnLinear(config.hidden_size, sum(chunks), contiguous_chunks=chunks, **options)
        self.o_proj = TensorParallelRowLinear(chunks[0], config.hidden_size, **options)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[sequence, batch, hidden] to the same shape."""
        joined = self.qkv_proj(hidden_states)  # [sequence, batch, (q + 2 kv) / tp · head_size]
        length, batch, _ = joined.shape
        widths = [count * self.head_size for count in (self.queries, self.key_values, self.key_values)]
        query, key, value = (
            part.view(length, batch, -1, self.head_size).permute(1, 2, 0, 3) for part in joined.split(widths, dim=-1)
        )  # each [batch, heads / tp, sequence, head_size]
        query, key = rotated(query, self.theta), rotated(key, self.theta)
        grouped = self.queries != self.key_values
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.o_proj(mixed.permute(2, 0, 1, 3).reshape(length, batch, widths[0]))


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup):
        super().__init__()
        width = config.intermediate_size
        options = {"pg": tp_pg, "mode": parallel_config.tp_mode, "bias": False}
        self.gate_up_proj = ColumnLinear(config.hidden_size, 2 * width, contiguous_chunks=(width, width), **options)
        self.down_proj = TensorParallelRowLinear(width, config.hidden_size, **options)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[sequence, batch, hidden] to the same shape."""
        gate, up = self.gate_up_proj(hidden_states).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class DecoderLayer(nn.Module):
    """Attention and MLP, each behind a norm and beside a residual path."""

    def __init__(self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attn = Attention(config, parallel_config, tp_pg)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config, parallel_config, tp_pg)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[sequence, batch, hidden] to the same shape."""
        hidden_states = hidden_states + self.attn(self.input_layernorm(hidden_states))
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


class TokenEmbedding(TensorParallelEmbedding):
    """Token ids to vectors; the vocabulary is split over the tensor-parallel group."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """int64[batch, sequence] to [sequence, batch, hidden]."""
        return super().forward(input_ids.transpose(0, 1))


class LanguageModelHead(TensorParallelColumnLinear):
    """Projection to the vocabulary and cross-entropy in one, so that one process never holds all logits at once."""

    def forward(self, hidden_states: torch.Tensor, label_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of [sequence, batch, hidden] against int64[batch, sequence].

        Returns ``loss``, the mean in nats a token, and ``nats``: float32[batch], each sequence's sum.
        """
        labels = label_ids.transpose(0, 1)
        if self.world_size == 1:
            per_token = head_cross_entropy(hidden_states, self.weight, labels)
        else:
            logits = self.logits(hidden_states)
            per_token = sharded_cross_entropy(logits, labels.contiguous(), group=self.pg, dtype=torch.float)
        return {"loss": per_token.mean(), "nats": per_token.detach().sum(0)}

    def logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[sequence, batch, hidden] to [sequence, batch, vocabulary / tp]."""
        return super().forward(hidden_states)

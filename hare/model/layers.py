"""The layers of the Mistral shape, tensor-parallel; activations are float[sequence, batch, hidden] for nanotron.

RoPE rotates halves as Hugging Face does, and projections are concatenated (q, k, v and gate, up), so that a conversion
only cuts and joins. tp is the tensor-parallel size; under reduce-scatter the hidden states between the linear layers
are float[sequence / tp, batch, hidden].
"""

from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import hare.model.nanotron.shim  # noqa: F401
from hare.model.attention import Boundaries, SequenceBoundaries, attended
from hare.model.config import HareConfig
from hare.model.cross_entropy import head_cross_entropy
from hare.model.float8 import linear_float8
from hare.model.nanotron.defects import with_plain_shape
from hare.model.pointwise import fused, gated, normalised, rotated_by
from hare.model.products import Product, linear

# isort: split
from nanotron.config import ParallelismArgs
from nanotron.distributed import ProcessGroup
from nanotron.parallel.tensor_parallel.distributed_differentiable_primitives import (
    differentiable_all_gather,
    differentiable_all_reduce_sum,
    differentiable_identity,
    differentiable_reduce_scatter_sum,
)
from nanotron.parallel.tensor_parallel.enum import TensorParallelLinearMode
from nanotron.parallel.tensor_parallel.functional import sharded_cross_entropy
from nanotron.parallel.tensor_parallel.nn import (
    TensorParallelColumnLinear,
    TensorParallelEmbedding,
    TensorParallelRowLinear,
)


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in fp32."""

    def __init__(self, hidden_size: int, eps: float, compiled: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps
        self.function = fused(normalised) if compiled else normalised

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """float[…, hidden] → float[…, hidden]."""
        return self.function(hidden_states, self.weight.as_subclass(torch.Tensor), self.eps)


@lru_cache(maxsize=8)
def rotary_tables(
    length: int, head_size: int, theta: float, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary angles, each float[length, head_size], computed in fp32 (Su et al. 2021)."""
    exponents = torch.arange(0, head_size, 2, dtype=torch.int64, device=device).float() / head_size
    angles = torch.outer(torch.arange(length, device=device).float(), 1.0 / theta**exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


class ColumnLinear(TensorParallelColumnLinear):
    """nanotron's column-parallel linear layer with a product of our choice.

    Its shard metadata is cast to int: numpy 2 would write `np.int64(…)`, which nanotron's reader rejects.
    """

    def __init__(self, *args: Any, product: Product, **options: Any):
        super().__init__(*args, **options)
        self.product = product
        with_plain_shape(self.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float[sequence (/ tp under reduce-scatter), batch, in] → float[sequence, batch, out / tp]."""
        whole = self.mode is TensorParallelLinearMode.ALL_REDUCE
        x = (differentiable_identity if whole else differentiable_all_gather)(x, group=self.pg)
        return self.product(x, self.weight.as_subclass(torch.Tensor))


class RowLinear(TensorParallelRowLinear):
    """nanotron's row-parallel linear layer with a product of our choice."""

    def __init__(self, *args: Any, product: Product, **options: Any):
        super().__init__(*args, **options)
        self.product = product

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float[sequence, batch, in / tp] → float[sequence (/ tp under reduce-scatter), batch, out]."""
        whole = self.mode is TensorParallelLinearMode.ALL_REDUCE
        add = differentiable_all_reduce_sum if whole else differentiable_reduce_scatter_sum
        return add(self.product(x, self.weight.as_subclass(torch.Tensor)), group=self.pg)


def _product(config: HareConfig) -> Product:
    return partial(linear_float8, compiled=config.torch_compile) if config.float8 else linear


class Attention(nn.Module):
    """Causal grouped-query attention."""

    def __init__(self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup):
        super().__init__()
        self.head_size, self.theta = config.head_size, config.rope_theta
        self.queries = config.attention_heads // tp_pg.size()
        self.key_values = config.key_value_heads // tp_pg.size()
        heads = (config.attention_heads, config.key_value_heads, config.key_value_heads)
        chunks = tuple(count * self.head_size for count in heads)
        options = {"pg": tp_pg, "mode": parallel_config.tp_mode, "bias": False, "product": _product(config)}
        self.qkv_proj = ColumnLinear(config.hidden_size, sum(chunks), contiguous_chunks=chunks, **options)
        self.o_proj = RowLinear(chunks[0], config.hidden_size, **options)
        self.rotate = fused(rotated_by) if config.torch_compile else rotated_by

    def forward(self, hidden_states: torch.Tensor, boundaries: Boundaries | None) -> torch.Tensor:
        """float[sequence, batch, hidden] → the same shape."""
        joined = self.qkv_proj(hidden_states)  # [sequence, batch, (q + 2 kv) / tp · head_size]
        length, batch, _ = joined.shape
        widths = [count * self.head_size for count in (self.queries, self.key_values, self.key_values)]
        query, key, value = (
            part.view(length, batch, -1, self.head_size).permute(1, 2, 0, 3) for part in joined.split(widths, dim=-1)
        )  # each [batch, heads / tp, sequence, head_size]
        tables = rotary_tables(length, self.head_size, self.theta, query.dtype, query.device)
        mixed = attended(self.rotate(query, *tables), self.rotate(key, *tables), value, boundaries)
        return self.o_proj(mixed.permute(2, 0, 1, 3).reshape(length, batch, widths[0]))


class MLP(nn.Module):
    """SwiGLU between two linear layers."""

    def __init__(self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup):
        super().__init__()
        width = config.intermediate_size
        options = {"pg": tp_pg, "mode": parallel_config.tp_mode, "bias": False, "product": _product(config)}
        self.gate_up_proj = ColumnLinear(config.hidden_size, 2 * width, contiguous_chunks=(width, width), **options)
        self.down_proj = RowLinear(width, config.hidden_size, **options)
        self.gate = fused(gated) if config.torch_compile else gated

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """float[sequence, batch, hidden] → the same shape."""
        return self.down_proj(self.gate(self.gate_up_proj(hidden_states)))


class DecoderLayer(nn.Module):
    """Attention and MLP, each behind a norm and beside a residual path."""

    def __init__(
        self, config: HareConfig, parallel_config: ParallelismArgs, tp_pg: ProcessGroup, boundaries: SequenceBoundaries
    ):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, config.torch_compile)
        self.attn = Attention(config, parallel_config, tp_pg)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, config.torch_compile)
        self.mlp = MLP(config, parallel_config, tp_pg)
        self.boundaries, self.recompute = boundaries, config.recompute_activations

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """float[sequence, batch, hidden] → the same shape.

        When activations are recomputed, the boundaries are those of this micro-batch, although the backward pass may
        run when another one is current.
        """
        boundaries = self.boundaries.current
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(
                self.computed, hidden_states, boundaries, use_reentrant=False, preserve_rng_state=False
            )
        return self.computed(hidden_states, boundaries)

    def computed(self, hidden_states: torch.Tensor, boundaries: Boundaries | None) -> torch.Tensor:
        """The layer itself: float[sequence, batch, hidden] → the same shape."""
        hidden_states = hidden_states + self.attn(self.input_layernorm(hidden_states), boundaries)
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


class TokenEmbedding(TensorParallelEmbedding):
    """Token ids to vectors; the vocabulary is split over the tensor-parallel group."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """int64[batch, sequence] → float[sequence, batch, hidden]."""
        return super().forward(input_ids.transpose(0, 1))


class LanguageModelHead(TensorParallelColumnLinear):
    """Projection to the vocabulary and cross-entropy in one, so that one process never holds all logits at once."""

    def forward(self, hidden_states: torch.Tensor, label_ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss of float[sequence, batch, hidden] against int64[batch, sequence].

        Returns ``loss``, the mean in nats per token, and ``nats``: float32[batch], each sequence's sum.
        """
        labels = label_ids.transpose(0, 1)
        if self.world_size == 1:
            per_token = head_cross_entropy(hidden_states, self.weight, labels)
        else:
            logits = self.logits(hidden_states)
            per_token = sharded_cross_entropy(logits, labels.contiguous(), group=self.pg, dtype=torch.float)
        return {"loss": per_token.mean(), "nats": per_token.detach().sum(0)}

    def logits(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """float[sequence, batch, hidden] → float[sequence, batch, vocabulary / tp]."""
        return super().forward(hidden_states)

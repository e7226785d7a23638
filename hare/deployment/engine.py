"""A small inference engine: a GGUF file in, next tokens out, with weights that stay in fp32, int8 or int4.

Plain torch with a key-value cache. The int4 kernel reads the file's own Q4_0 blocks as they are. torch has none for
Q8_0's blocks; int8 weights are cut anew with one scale a row. Both take bf16 activations, the precision their kernels
are made for; everything else is fp32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from hare.core.errors import HareError
from hare.deployment.gguf_reading import halved, open_gguf, shape_of

Linear = Callable[[torch.Tensor], torch.Tensor]
_BLOCK = 32
_ROWS_INT4 = 16  # the kernel works on so many rows at a time


@dataclass
class Cache:
    """Keys and values so far: float32[layers, 2, key-value heads, positions, head size], ``length`` of them filled."""

    tensor: torch.Tensor
    length: int = 0


class Engine:
    """One model for one user. Tokens go in with `read`, the logits of the last one come out."""

    def __init__(self, path: Path):
        """Load a GGUF file; the precision of each matrix is that of the file.

        Raises:
            HareError: the file is damaged, or quantised in a way that has no kernel here.
        """
        reader = open_gguf(path)
        self.shape = shape = shape_of(reader)
        heads = {"attn_q": shape.heads, "attn_k": shape.key_value_heads}
        self._norms: dict[str, torch.Tensor] = {}
        self._linears: dict[str, Linear] = {}
        for tensor in reader.tensors:
            name, part = tensor.name.removesuffix(".weight"), tensor.name.split(".")[-2]
            data = halved(tensor.data, heads[part]) if part in heads else np.array(tensor.data)
            if part.endswith("norm"):
                self._norms[name] = torch.from_numpy(data)
            elif name == "token_embd":
                self._table = (data, tensor.tensor_type)
            if part not in ("attn_norm", "ffn_norm", "output_norm") and name != "token_embd":
                self._linears[name] = linear(data, tensor.tensor_type)
        if "output" not in self._linears:
            self._linears["output"] = linear(*self._table)
        self._frequencies = 1.0 / shape.rope_theta ** (torch.arange(0, shape.head, 2).float() / shape.head)

    def new_cache(self, positions: int) -> Cache:
        """An empty cache for so many tokens.

        Raises:
            HareError: the model has fewer positions.
        """
        shape = self.shape
        if positions > shape.positions:
            raise HareError(
                f"{positions} tokens do not fit the model's {shape.positions} positions.",
                "shorten the prompt, or ask for fewer new tokens",
            )
        return Cache(torch.zeros(shape.layers, 2, shape.key_value_heads, positions, shape.head))

    @torch.inference_mode()
    def read(self, ids: Sequence[int], cache: Cache) -> torch.Tensor:
        """Read tokens after those in the cache: logits float32[vocabulary] of what follows the last."""
        return self._logits(self._hidden(ids, cache)[-1:])[0]

    @torch.inference_mode()
    def all_logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Logits float32[tokens, vocabulary] at every position of a text."""
        return self._logits(self._hidden(ids, self.new_cache(len(ids))))

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._linears["output"](hidden)

    def _hidden(self, ids: Sequence[int], cache: Cache) -> torch.Tensor:
        eps, start = self.shape.eps, cache.length
        rows, kind = self._table
        x = torch.from_numpy(gguf.quants.dequantize(rows[np.asarray(ids)], kind).astype(np.float32, copy=False))
        angles = torch.arange(start, start + len(ids))[:, None] * self._frequencies
        turn = (angles.cos().repeat(1, 2), angles.sin().repeat(1, 2))
        for layer in range(self.shape.layers):
            name = f"blk.{layer}."
            normed = rms_norm(x, x.shape[-1:], self._norms[f"{name}attn_norm"], eps)
            x = x + self._attention(name, normed, turn, cache.tensor[layer], start)
            normed = rms_norm(x, x.shape[-1:], self._norms[f"{name}ffn_norm"], eps)
            gated = silu(self._linears[f"{name}ffn_gate"](normed)) * self._linears[f"{name}ffn_up"](normed)
            x = x + self._linears[f"{name}ffn_down"](gated)
        cache.length += len(ids)
        return rms_norm(x, x.shape[-1:], self._norms["output_norm"], eps)

    def _attention(
        self, name: str, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], kept: torch.Tensor, start: int
    ) -> torch.Tensor:
        tokens = len(x)
        query, key, value = (
            self._linears[f"{name}attn_{part}"](x).view(tokens, -1, self.shape.head).transpose(0, 1) for part in "qkv"
        )
        kept[0, :, start : start + tokens] = _turned(key, turn)
        kept[1, :, start : start + tokens] = value
        keys, values = kept[:, :, : start + tokens]
        mask = None if tokens == 1 else torch.ones(tokens, start + tokens, dtype=torch.bool).tril(start)
        found = scaled_dot_product_attention(
            _turned(query, turn)[None], keys[None], values[None], attn_mask=mask, enable_gqa=True
        )
        return self._linears[f"{name}attn_output"](found[0].transpose(0, 1).reshape(tokens, -1))


def _turned(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions on float32[heads, tokens, head size], in halves (Su et al. 2021)."""
    cosine, sine = turn
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


def greedy(engine: Engine, prompt: Sequence[int], tokens: int) -> list[int]:
    """The ``tokens`` likeliest next tokens after ``prompt``, one after the other."""
    cache = engine.new_cache(len(prompt) + tokens)
    found = [int(engine.read(prompt, cache).argmax())]
    while len(found) < tokens:
        found.append(int(engine.read(found[-1:], cache).argmax()))
    return found


def linear(data: np.ndarray, kind: Kind) -> Linear:
    """``x @ weight.T`` with a weight as GGUF stores it.

    Raises:
        HareError: there is no kernel for that kind of quantisation.
    """
    if kind is Kind.F32:
        weight = torch.from_numpy(data)
        return lambda x: x @ weight.t()
    if kind is Kind.Q8_0:
        return _int8_linear(torch.from_numpy(gguf.quants.dequantize(data, kind)))
    if kind is Kind.Q4_0:
        return _int4_linear(data)
    raise HareError(f"There is no kernel for {kind.name}.", "export the model in fp32, int8 or int4")


def _int8_linear(weight: torch.Tensor) -> Linear:
    scales = weight.abs().amax(1).clamp_min(1e-12) / 127
    rounded = torch.round(weight / scales[:, None]).to(torch.int8)
    scales = scales.bfloat16()
    return lambda x: torch.ops.aten._weight_int8pack_mm(x.bfloat16(), rounded, scales).float()


def _int4_linear(data: np.ndarray) -> Linear:
    """A Q4_0 block is a half-precision scale and 16 bytes; the low halves of the bytes come first."""
    rows = len(data)
    blocks = np.pad(data, ((0, -rows % _ROWS_INT4), (0, 0))).reshape(-1, 2 + _BLOCK // 2)
    packed_rows = rows + -rows % _ROWS_INT4
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32).reshape(packed_rows, -1)
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1)
    numbers = torch.from_numpy(halves.reshape(packed_rows, -1).astype(np.int32))
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(numbers, 1)
    scale = torch.from_numpy(scales.T.copy()).bfloat16()
    scales_and_zeros = torch.stack([scale, torch.zeros_like(scale)], -1).contiguous()
    mm = torch.ops.aten._weight_int4pack_mm_for_cpu
    return lambda x: mm(x.bfloat16(), packed, _BLOCK, scales_and_zeros)[:, :rows].float()

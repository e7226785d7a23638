"""Causal grouped-query attention by the fastest kernel available, and the boundaries of packed documents.

A training sequence is a window of documents written one after the other. By default attention runs over all of it, as
in the paper's loop and most open pretraining code; with boundaries each token sees only its own document. Rotary
positions are relative, so a document then gets the same logits as if it stood alone, at any position.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Boundaries:
    """``documents`` int64[batch, sequence] numbers the document that each token belongs to, never falling along it."""

    documents: torch.Tensor

    @cached_property
    def mask(self) -> torch.Tensor:
        """bool[batch, 1, sequence, sequence]: whether a token (row) sees another (column)."""
        same = self.documents[:, :, None] == self.documents[:, None, :]
        return same.tril()[:, None]

    @cached_property
    def ends(self) -> tuple[torch.Tensor, int]:
        """Offsets of documents in the flattened batch, int32[documents + 1], and the longest document's length.

        The last offset is the number of tokens. Reading the length makes a GPU wait once per micro-batch.
        """
        begins = torch.ones_like(self.documents, dtype=torch.bool)
        begins[:, 1:] = self.documents[:, 1:] != self.documents[:, :-1]
        starts = begins.flatten().nonzero().flatten()
        ends = torch.cat((starts, starts.new_tensor([self.documents.numel()]))).to(torch.int32)
        return ends, int(ends.diff().max())


class SequenceBoundaries:
    """Document boundaries of the current micro-batch, shared by a model's layers; None attends over whole sequences."""

    current: Boundaries | None = None


def document_numbers(input_ids: torch.Tensor, begin: int) -> torch.Tensor:
    """Number of the document of each token, int64[batch, sequence]: each ``begin`` token starts another one."""
    return (input_ids == begin).cumsum(-1)


def attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, boundaries: Boundaries | None = None
) -> torch.Tensor:
    """Causal attention of float[batch, heads, sequence, head_size]; ``key`` and ``value`` may have fewer heads.

    flash-attn where it is installed (CUDA, 16 bits), else PyTorch's own fused kernels.
    """
    if query.is_cuda and query.element_size() == 2 and flash_is_installed():
        return flash_attended(query, key, value, boundaries)
    grouped = query.shape[1] != key.shape[1]
    if boundaries is None:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=boundaries.mask, enable_gqa=grouped)


@cache
def flash_is_installed() -> bool:
    """Whether the optional package flash-attn can be imported."""
    return importlib.util.find_spec("flash_attn") is not None


def flash_attended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, boundaries: Boundaries | None
) -> torch.Tensor:
    """`attended` by flash-attn (Dao 2023), which takes float[batch, sequence, heads, head_size], or, with boundaries,
    float[batch · sequence, heads, head_size] and the offsets of the documents."""
    import flash_attn

    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    if boundaries is None:
        return flash_attn.flash_attn_func(query, key, value, causal=True).transpose(1, 2)
    ends, longest = boundaries.ends
    lines: list[Any] = [part.flatten(0, 1) for part in (query, key, value)]
    mixed = flash_attn.flash_attn_varlen_func(*lines, ends, ends, longest, longest, causal=True)
    return mixed.view(query.shape).transpose(1, 2)

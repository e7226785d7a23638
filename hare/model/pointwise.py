"""The element-wise parts of a layer as plain functions of tensors, which `torch.compile` may fuse.

They neither own parameters nor communicate, so fusing them is safe under every parallel layout. Matrix products and
attention have fast kernels already, so only these can gain.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn import functional as F

from hare.core.errors import HareError


def normalised(hidden_states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square norm of float[…, hidden], computed in fp32 (Zhang and Sennrich 2019)."""
    wide = hidden_states.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(hidden_states.dtype)


def rotated_by(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Rotate halves of float[batch, heads, sequence, head_size] by angles of float[sequence, head_size]."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat((-second, first), dim=-1) * sines


def gated(gate_up: torch.Tensor) -> torch.Tensor:
    """SwiGLU (Shazeer 2020): float[…, 2 · width] to float[…, width]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


@cache
def fused(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled, once per shape of its inputs."""
    return torch.compile(function, dynamic=False)


def refuse_without_compiler() -> None:
    """Refuse `torch.compile` where it has nothing to compile with.

    Raises:
        HareError: there is no C++ compiler, or no Triton on a machine with a GPU.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "c++", "clang++")):
        raise HareError(
            "torch_compile is true, but this machine has no C++ compiler (g++, c++ or clang++).",
            "install one, name one in CXX, or set torch_compile to false",
        )
    if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        raise HareError(
            "torch_compile is true and there is a GPU, but the package triton is not installed.",
            "install the CUDA build of torch, which brings it, or set torch_compile to false",
        )

"""Matrix products in float32 on a processor, by oneDNN's kernels where torch brings them.

torch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors alone. oneDNN, which torch brings
along, goes by what the processor can do. `hare bench training` measures what comes of it beside Hugging Face's Trainer,
which multiplies by MKL; so far on an AMD processor only. Both compute in float32; last digits differ, as they do
between processors.
"""

import platform
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn import functional as F

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of float[…, in] and a weight, float[out, in]
_X86 = ("x86_64", "amd64")


@cache
def _kernel() -> Any:
    """oneDNN's product as torch's compiler calls it; None in a build of torch without it."""
    if platform.machine().lower() not in _X86 or not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def _is_for_onednn(*tensors: torch.Tensor) -> bool:
    return _kernel() is not None and all(
        tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.numel() for tensor in tensors
    )


def times_transposed(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """``left @ right.T`` of float[rows, inner] and float[columns, inner]; not differentiable."""
    if _is_for_onednn(left, right):
        return _kernel()(left, right, None, "none", [], "")
    return left @ right.t()


def linear(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """``tensor @ weight.T`` of float[…, in] and float[out, in], with its gradients."""
    if not _is_for_onednn(tensor, weight):
        return F.linear(tensor, weight)
    flat = _Linear.apply(tensor.reshape(-1, tensor.shape[-1]), weight)
    return flat.view(*tensor.shape[:-1], weight.shape[0])


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(tensor, weight)
        return times_transposed(tensor, weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tensor, weight = ctx.saved_tensors
        return times_transposed(gradient, weight.t()), times_transposed(tensor.t(), gradient.t()).t()

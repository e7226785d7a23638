"""Matrix products in 8-bit floating point through torchao, an optional package; weights stay in bfloat16.

Inputs, weights and gradients are scaled and cast for each product (e4m3 forward, e5m2 for gradients; Micikevicius et
al. 2022). It pays on GPUs with 8-bit units (compute capability 8.9 or more); elsewhere torchao emulates it, slowly,
which is useful only for comparing losses.
"""

import functools
import importlib.util

import torch
from torch import nn

from hare.core.errors import HareError
from hare.model.products import Product

EXTRA = "float8"  # of pyproject.toml
_CAPABILITY = (8, 9)


def refuse_without_torchao() -> None:
    """Check that torchao is installed, before anything starts.

    Raises:
        HareError: torchao is not installed.
    """
    if importlib.util.find_spec("torchao") is None:
        raise HareError(
            "precision is float8, but the package torchao is not installed.",
            f"run `pip install 'hare[{EXTRA}]'`, or set precision to bfloat16",
        )


def linear_float8(tensor: torch.Tensor, weight: torch.Tensor, compiled: bool = False) -> torch.Tensor:
    """``tensor @ weight.T`` of float[…, in] and float[out, in], forward and backward products in 8 bits.

    ``compiled``: scaling and casting in one pass over each tensor instead of several.
    """
    return _product(*weight.shape, compiled)(tensor, weight)


@functools.cache
def _product(out_features: int, in_features: int, compiled: bool) -> Product:
    """torchao's module of that shape, without weights: they are handed in with each call."""
    refuse_without_torchao()
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    emulate = not torch.cuda.is_available() or torch.cuda.get_device_capability() < _CAPABILITY
    with torch.device("meta"):
        holder = nn.Sequential(nn.Linear(in_features, out_features, bias=False))
    module = convert_to_float8_training(holder, config=Float8LinearConfig(emulate=emulate))[0]

    def product(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, {"weight": weight}, tensor)

    return torch.compile(product, dynamic=False) if compiled else product

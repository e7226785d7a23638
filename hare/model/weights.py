"""Initial weights by parameter name, and whole tensors sliced for the part of the model that this process holds."""

import hashlib
import math
from collections.abc import Callable

import torch

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.model.config import HareConfig

# isort: split
from nanotron.models import NanotronModel

_INTO_RESIDUAL = ("o_proj.weight", "down_proj.weight")


def initial_weight(name: str, shape: tuple[int, ...], seed: int, config: HareConfig) -> torch.Tensor:
    """The whole parameter ``name``, float32[*shape]: a function of name and seed alone.

    Norms are ones; matrices are normal with ``initializer_range``, divided by the square root of twice the number of
    layers where they write into the residual path (Radford et al. 2019). nanotron 0.4 draws the same numbers on every
    tensor-parallel rank instead, so that shards come out as copies of each other.
    """
    if len(shape) == 1:
        return torch.ones(shape)
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
    shrink = math.sqrt(2 * config.layers) if name.endswith(_INTO_RESIDUAL) else 1.0
    return torch.randn(shape, generator=generator) * (config.initializer_range / shrink)


@torch.no_grad()
def load_slices(model: NanotronModel, whole: Callable[[str, tuple[int, ...]], torch.Tensor]) -> None:
    """Fill this process's parameters from whole tensors; ``whole(name, shape)`` gives one, float32[*shape].

    Raises:
        HareError: a tensor has another shape than the model's parameter.
    """
    prefixes = {id(module): f"{name}." for name, module in model.named_modules()} | {id(model): ""}
    for name, parameter in model.named_parameters():
        if parameter.is_tied:
            name = parameter.get_tied_info().get_full_name_from_module_id_to_prefix(prefixes)
        sharded = parameter.get_sharded_info() if parameter.is_sharded else None
        shape = tuple(int(size) for size in (sharded.unsharded_shape if sharded else parameter.shape))
        tensor = whole(name, shape)
        if tuple(tensor.shape) != shape:
            raise HareError(
                f"The weights hold {name} as {tuple(tensor.shape)}, but the model wants {shape}.",
                "use the model section of the profile that these weights were trained with",
            )
        if sharded is None:
            parameter.copy_(tensor)
            continue
        for pair in sharded.local_global_slices_pairs:
            parameter[pair.local_slices].copy_(tensor[pair.global_slices])

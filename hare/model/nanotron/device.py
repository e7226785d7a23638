"""nanotron on a CPU. It supports only the device "cuda" and NCCL: here "cuda" is mapped to the CPU, NCCL to gloo."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed
from torch.distributed import ReduceOp
from torch.overrides import TorchFunctionMode

import hare.model.nanotron.shim  # noqa: F401
from hare.model.nanotron.reduction import Done, all_reduce_each

# isort: split
import nanotron.distributed
import nanotron.trainer
from nanotron.parallel import ParallelContext

ON_GPU = torch.cuda.is_available()


class CudaMeansCpu(TorchFunctionMode):
    """While active, every torch call that names the device "cuda" is made on the CPU."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_cuda(kwargs.get("device")):
            kwargs = {**kwargs, "device": "cpu"}
        if function is torch.Tensor.to and len(args) > 1 and _is_cuda(args[1]):
            args = (args[0], "cpu", *args[2:])
        return function(*args, **kwargs)


def _is_cuda(device: Any) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


class GlooContext(ParallelContext):
    """A `ParallelContext` over the default group, which must exist already; there is no GPU to choose."""

    def set_device(self) -> None:
        """Nothing to set."""


def training_device() -> contextlib.AbstractContextManager[Any]:
    """Context in which nanotron's trainer is built and saves; on a machine with a GPU it does nothing.

    Steps are taken outside: nothing in them names a device, and in the scope each of a step's thousand torch calls
    takes a few microseconds longer.
    """
    return contextlib.nullcontext() if ON_GPU else CudaMeansCpu()


def _all_reduce(tensor: torch.Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Any:
    """`torch.distributed.all_reduce` of float[…], skipped in a group of one rank, where it would change nothing.

    gloo would run it in another thread, whose OpenMP team makes the model's threads sleep between operations instead
    of spinning. `hare bench training` shows it beside a plain loop.
    """
    if torch.distributed.get_world_size(group) > 1:
        return torch.distributed.all_reduce(tensor, op=op, group=group, async_op=async_op)
    return Done() if async_op else None


def prepare_process_group() -> None:
    """Replace the functions of nanotron that no subclass can override, and on a CPU start the gloo process group."""
    nanotron.distributed.all_reduce = _all_reduce
    if ON_GPU:
        return
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    nanotron.distributed.all_reduce_coalesced = all_reduce_each  # NCCL reduces each tensor by itself already
    nanotron.trainer.ParallelContext = GlooContext
    nanotron.trainer.log_memory = lambda logger: None

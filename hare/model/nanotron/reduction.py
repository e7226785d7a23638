"""Gradients averaged over the replicas tensor by tensor, so that a resumed run equals an uninterrupted one bit for bit.

PyTorch's DDP averages buckets. A process packs them in the reverse order of the parameters for its first step and in
the order in which gradients arrive from then on. gloo sums each part of a bucket in another order of ranks, so from
three ranks on an element's rounding depends on its place in the bucket, and the first step after a resume would differ
from the same step of a run that went on.
"""

from typing import Any

import torch
import torch.distributed
from torch.distributed import GradBucket, ProcessGroup, ReduceOp
from torch.nn.parallel import DistributedDataParallel


def average_by_tensor(model: torch.nn.Module, group: ProcessGroup) -> None:
    """Have DDP, where ``model`` is wrapped in it, average each gradient by itself over ``group``."""
    if isinstance(model, DistributedDataParallel):
        model.register_comm_hook(group, _averaged)


def _averaged(group: ProcessGroup, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    all_reduce_each(bucket.gradients(), ReduceOp.AVG, group)
    averaged: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    averaged.set_result(bucket.buffer())
    return averaged


def all_reduce_each(tensors: list[torch.Tensor], op: Any, group: ProcessGroup, async_op: bool = False) -> "Done":
    """Reduce each tensor, float[…], separately and wait for it; ``async_op`` is ignored.

    nanotron keeps only the last of its handles; with gloo, which works in several threads, an earlier one may still
    be under way when that one is done.
    """
    for tensor in tensors:
        torch.distributed.all_reduce(tensor, op=op, group=group)
    return Done()


class Done:
    """Handle of a communication that has finished or was not needed."""

    def wait(self) -> None:
        """Nothing to wait for."""

"""Defects of nanotron 0.4 that are corrected around it, each with its reason and where its maintainers know of it.

What can be corrected in nanotron itself is in ``upstream/`` as patches; a test applies them to the published files.
"""

from typing import Any

import torch

from hare.core.errors import HareError


def with_plain_shape(parameter: Any) -> None:
    """Cast a sharded parameter's whole shape to int: numpy 2 writes ``np.int64(…)`` into a checkpoint's metadata, which
    nanotron cannot read back under another layout. Not reported; upstream/02-numpy-2.patch."""
    sharded = parameter.get_sharded_info()
    sharded.unsharded_shape = tuple(int(size) for size in sharded.unsharded_shape)


def restore_learning_rate(optimizer: torch.optim.Optimizer, scheduler: Any) -> None:
    """Give the optimizer the scheduler's rate after a resume, whose first step would otherwise have rate 0, since
    nanotron 0.4 builds its scheduler after loading. huggingface/nanotron issue 233;
    upstream/03-learning-rate-after-resume.patch."""
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate


def refuse_unsupported(settings: Any) -> None:
    """Refuse asynchronous tensor parallelism: 0.4 computes wrong gradients for the inputs of row-parallel layers.
    huggingface/nanotron issue 46; corrected by pull request 172, which no published version holds.

    Raises:
        HareError: nanotron's configuration asks for it.
    """
    if settings.parallelism.tp_linear_async_communication:
        raise HareError(
            "tp_linear_async_communication is true, and nanotron 0.4 then computes wrong gradients for row-parallel "
            "linear layers.",
            "set it to false",
        )

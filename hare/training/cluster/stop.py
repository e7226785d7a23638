"""A checkpoint when a run on several machines is asked to end: before its time limit, or to make room for another."""

import os
import signal
from typing import Any

import torch
import torch.distributed

from hare.model.nanotron.device import ON_GPU

EXIT_CODE = 75  # of a process that was asked to end and has saved its work; "temporary failure" in sysexits.h
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_LAUNCHER = "TORCHELASTIC_RUN_ID"  # torchrun sets it; on one machine the launcher ends its processes by SIGKILL


class Stopped(Exception):
    """The run was asked to end; a checkpoint of its last step lies in its folder."""


class StopRequest:
    """Whether any rank was sent SIGTERM or SIGUSR1. All ranks learn of it at the same step, so all end together."""

    def __init__(self) -> None:
        self._asked = False
        self._listens = _LAUNCHER in os.environ
        if self._listens:
            for number in SIGNALS:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True

    def agreed(self) -> bool:
        """Whether to end now; a collective call, to be made by every rank after each step."""
        if not self._listens:
            return False
        asked = torch.tensor([int(self._asked)], device="cuda" if ON_GPU else "cpu")
        torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        return bool(asked.item())

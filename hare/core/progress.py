"""Live progress of long work, with rate and time left.

In a batch run (`hare reproduce`) the state goes to the file that ``$HARE_PROGRESS`` names, which the driver shows;
otherwise, as in JupyterLab, a bar is drawn. Either way one closing line is printed, so that an executed notebook shows
how long each step took, without thousands of fragments of bars; a step that is part of another's prints none.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
_SECONDS_BETWEEN_REPORTS = 0.5
_SECONDS_BETWEEN_LINES = 15.0
_SHORTEST = 0.05  # seconds that a rate is told of


class Progress:
    """Counts ``unit``s of ``task``; use it as a context manager and call `advance`."""

    _open = 0  # how many are open in this process, one inside the other

    def __init__(self, task: str, total: float | None, unit: str):
        self.task, self.total, self.unit = task, total, unit
        self.done = self.earlier = 0.0
        self._lock = threading.RLock()  # threads that share one take their turns
        self._started = time.monotonic()
        self._reported = 0.0
        self._file = os.environ.get("HARE_PROGRESS")
        self._bar = None if self._file else _bar(task, total, unit)

    @classmethod
    def is_part(cls) -> None:
        """Take all that this process does for parts of a step that another process shows."""
        cls._open += 1

    def __enter__(self) -> "Progress":
        Progress._open += 1
        self._report()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        Progress._open -= 1
        if self._bar is not None:
            self._bar.close()
        if kind is None and not Progress._open:
            seconds = time.monotonic() - self._started
            print(f"{self.task}: {self._counted(seconds)}", flush=True)

    def _counted(self, seconds: float) -> str:
        """How much was done, in how long, at which rate; what was at hand already has no rate."""
        done = f"{_rounded(self.done)} {self.unit}"
        if seconds < _SHORTEST or self.done == self.earlier:
            return f"{done}, at once"
        earlier = f", {_rounded(self.earlier)} of them earlier," if self.earlier else ""
        return f"{done}{earlier} in {seconds:,.1f} s ({_rounded((self.done - self.earlier) / seconds)} {self.unit}/s)"

    def advance(self, amount: float = 1) -> None:
        """Report that ``amount`` more units are done."""
        with self._lock:
            self.done += amount
            if self._bar is not None:
                self._bar.update(amount)
            elif time.monotonic() - self._reported >= _SECONDS_BETWEEN_REPORTS:
                self._report()

    def resume(self, amount: float) -> None:
        """Report that ``amount`` units had been done before: they are no part of the rate."""
        self.earlier += amount
        self.done += amount
        if self._bar is not None:
            self._bar.initial += amount
            self._bar.update(amount)
        self._report()

    def describe(self, task: str) -> None:
        """Change the description of the task."""
        if task != self.task:
            self.task = task
            if self._bar is not None:
                self._bar.set_description(task)

    def _report(self) -> None:
        if not self._file:
            return
        self._reported = time.monotonic()
        state = {
            "task": self.task, "unit": self.unit, "done": self.done, "earlier": self.earlier,
            "total": self.total, "seconds": self._reported - self._started, "at": self._reported,
        }
        temporary = Path(f"{self._file}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a full disk is told by what has to be written, not by what shows progress
            temporary.write_text(json.dumps(state), encoding="utf-8")
            temporary.replace(self._file)


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 or number == round(number) else f"{number:.3g}"


def _bar(task: str, total: float | None, unit: str) -> tqdm:
    """A bar that is redrawn often in a terminal or notebook, and seldom in a log, where each drawing is a line."""
    seen = sys.stderr.isatty() or "ipykernel" in sys.modules
    interval = 0.1 if seen else _SECONDS_BETWEEN_LINES
    return tqdm(total=total, desc=task, unit=unit, unit_scale=True, leave=False, mininterval=interval)


def track(items: Iterable[T], task: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items``, reporting each as one ``unit`` of ``task``."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with Progress(task, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()

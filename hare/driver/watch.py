"""While a notebook runs: one line of progress, and the peak memory of the driver's whole process tree."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import psutil

_SECONDS_BETWEEN_SAMPLES = 1.0
_SECONDS_BETWEEN_EXACT_SAMPLES = 15.0
_GROWTH = 1.01  # of resident memory, from which on a new peak is looked for at once
_SECONDS_BETWEEN_LINES = 15.0  # where there is no terminal to redraw a line on


@dataclass
class Cursor:
    """Which cell runs, since when (`time.monotonic`); written by the executor and read by the watch."""

    cells: int
    cell: int = 0
    since: float = field(default_factory=time.monotonic)

    def move(self, cell: int) -> None:
        """Record that cell number ``cell``, counted from 1, has started."""
        self.cell, self.since = cell, time.monotonic()


class Watch(threading.Thread):
    """Samples once per second, from `start` to `stop`; ``peak_mb`` is the process tree's largest memory, in MB.

    To count shared pages once, the kernel walks every page table of the tree: 0.2 s for 4 GB, which each second is a
    tenth of a core, taken from the training that is watched. Resident memory costs next to nothing, and without its
    growth there is hardly a new peak: the exact measure follows when it has grown by 1 %, and every 15 s.
    """

    def __init__(self, label: str, cursor: Cursor, progress: Path, stream: TextIO):
        super().__init__(daemon=True)
        self.label, self.cursor, self.progress, self.stream = label, cursor, progress, stream
        self.peak_mb = 0.0
        self._resident_mb = 0.0  # the largest at an exact sample
        self._measured = time.monotonic()
        self._begun = time.monotonic()
        self._shown = time.monotonic()
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until `stop`. The first sample is taken at once, since a notebook may end within a second."""
        self.sample()
        while not self._over.wait(_SECONDS_BETWEEN_SAMPLES):
            self.sample()
            self._show()

    def sample(self) -> None:
        """Look at the memory once, exactly where a new peak is possible or the last exact look is long ago."""
        processes = _tree()
        resident = sum(map(_resident_mb, processes))
        recent = time.monotonic() - self._measured < _SECONDS_BETWEEN_EXACT_SAMPLES
        if recent and resident <= _GROWTH * self._resident_mb:
            return
        self._measured = time.monotonic()
        self._resident_mb = max(self._resident_mb, resident)
        self.peak_mb = max(self.peak_mb, sum(map(_memory_mb, processes)))

    def stop(self) -> float:
        """End the thread, clear its line and return the seconds that it ran."""
        self._over.set()
        self.join()
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()
        return time.monotonic() - self._begun

    def _show(self) -> None:
        terminal = self.stream.isatty()
        if not terminal and time.monotonic() - self._shown < _SECONDS_BETWEEN_LINES:
            return
        self._shown = time.monotonic()
        line = self.line()
        with contextlib.suppress(OSError):
            self.stream.write(f"\r\x1b[K{line[:_columns()]}" if terminal else f"{line}\n")
            self.stream.flush()

    def line(self) -> str:
        """One line: notebook, cell, task, progress, time left and time so far."""
        parts = [f"{self.label} · cell {self.cursor.cell}/{self.cursor.cells}"]
        state = read_progress(self.progress, self.cursor.since)
        if state:
            parts += describe(state)
        parts.append(f"{spelled(time.monotonic() - self._begun)} so far")
        return " · ".join(parts)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1


def read_progress(file: Path, since: float) -> dict[str, Any] | None:
    """State that `hare.core.progress.Progress` left in ``file`` after the moment ``since``; None when there is none.

    The time of the report is in the report, by the clock that all processes share: a file's modification time lags by
    up to a kernel tick, so a report from a cell's first milliseconds would appear older than the cell.
    """
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        describe(state)
        return state if state["at"] >= since else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def describe(state: dict[str, Any]) -> list[str]:
    """Task, progress, rate and time left, as parts of a line."""
    done, total, unit = state["done"], state["total"], state["unit"]
    rate = (done - state["earlier"]) / state["seconds"] if state["seconds"] > 0 else 0.0
    parts = [state["task"] + (f" {done / total:.0%}" if total else f" {done:,.6g} {unit}")]
    if rate > 0:
        parts.append(f"{rate:,.3g} {unit}/s")
        if total:
            parts.append(f"{spelled(max(0.0, total - done) / rate)} left")
    return parts


def spelled(seconds: float) -> str:
    """A duration in seconds as text: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _tree() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _resident_mb(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 1e6
    except (psutil.Error, OSError):
        return 0.0


def _memory_mb(process: psutil.Process) -> float:
    """Memory of one process, MB; on Linux a page that several share counts by its share."""
    try:
        memory = process.memory_full_info()
        return getattr(memory, "pss", memory.rss) / 1e6
    except (psutil.Error, OSError):
        return 0.0

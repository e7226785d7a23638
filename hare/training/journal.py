"""What a run writes while it goes on: a row per step, the held-out rows, and one line of news for whoever watches."""

import importlib.util
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.training.heldout import HeldoutSequences, bits_per_byte
from hare.training.run import HELDOUT_FILE, METRICS_FILE, TrainingRun

NEWS = "@news "  # begins a line of standard output that is meant for the launcher, as JSON
EVENTS_FOLDER = "tensorboard"
_LINES = 8  # printed a run


class Journal:
    """Appends to the run's files, which begin as the checkpoint of step ``start`` keeps them: what a killed process
    wrote after it is dropped, and what was damaged since is whole again."""

    def __init__(self, run: TrainingRun, start: int):
        self.run, self.start, self._clock = run, start, time.monotonic()
        self.metrics, self.heldout = run.folder / METRICS_FILE, run.folder / HELDOUT_FILE
        self.last_loss: float | None = None
        self.events = event_writer(run, start) if run.training.tensorboard else None
        for path in (self.metrics, self.heldout):
            kept = run.folder / "checkpoints" / str(start) / path.name
            with written_whole(path) as temporary:
                temporary.write_bytes(kept.read_bytes() if start and kept.exists() else b"")

    def step(self, row: dict[str, Any]) -> None:
        """Record one optimizer step; ``seconds_left`` is added to the row."""
        steps = self.run.training.train_steps
        left = (time.monotonic() - self._clock) / (row["step"] - self.start) * (steps - row["step"])
        row = row | {"seconds_left": left}
        _append(self.metrics, [row])
        self.last_loss = row["loss"]
        print(NEWS + json.dumps({"run": self.run.folder.name, "step": row["step"]}), flush=True)
        self._note(row["step"], {name: value for name, value in row.items() if name != "step"}, "training")
        if row["step"] % max(1, steps // _LINES) == 0 or row["step"] in (1, steps):
            print(
                f"{self.run.folder.name} step {row['step']}/{steps} loss {row['loss']:.4f} "
                f"learning rate {row['learning_rate']:.2e} gradient norm {row['gradient_norm']:.2f} "
                f"{row['tokens_per_s']:,.0f} tokens/s, MFU {row['mfu']:.0%}, {left:.0f} s left",
                flush=True,
            )

    def validation(self, step: int, sequences: HeldoutSequences, nats: np.ndarray) -> None:
        """Record one validation, ``nats`` float64[sequences], and print the bits per byte of each category."""
        rows = [
            {"step": step, "category": category, "sequence": number, "nats": float(loss), "bytes": int(size)}
            for category, number, loss, size in zip(
                sequences.categories, sequences.numbers, nats, sequences.bytes, strict=True
            )
        ]
        _append(self.heldout, rows)
        sums: dict[str, np.ndarray] = {}
        for row in rows:
            sums[row["category"]] = sums.get(row["category"], np.zeros(2)) + (row["nats"], row["bytes"])
        by_category = {category: bits_per_byte(*both) for category, both in sorted(sums.items())}
        self._note(step, by_category, "heldout_bits_per_byte")
        spelled = [f"{category} {value:.3f}" for category, value in by_category.items()]
        print(f"{self.run.folder.name} step {step} held-out bits per byte: {', '.join(spelled)}", flush=True)

    def _note(self, step: int, values: dict[str, float], group: str) -> None:
        """Hand the values to TensorBoard, when asked for."""
        if self.events is not None:
            for name, value in values.items():
                self.events.add_scalar(f"{group}/{name}", value, step)
            self.events.flush()


def keep_curves(run: TrainingRun, checkpoint: Path) -> None:
    """Copy the run's files into a checkpoint that is being written, so that its manifest covers them."""
    for name in (METRICS_FILE, HELDOUT_FILE):
        shutil.copyfile(run.folder / name, checkpoint / name)


def refuse_without_tensorboard() -> None:
    """Say what is missing before anything starts.

    Raises:
        HareError: tensorboard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise HareError(
            "tensorboard is true, but the package tensorboard is not installed.",
            "run `pip install 'hare[tensorboard]'`, or set tensorboard to false",
        )


def event_writer(run: TrainingRun, start: int) -> Any:
    """A TensorBoard writer in the run's folder; events of steps after ``start`` are hidden as purged."""
    refuse_without_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.folder / EVENTS_FOLDER), purge_step=start + 1)


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


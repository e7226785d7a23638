"""A number of minutes for the study's training, as on a GPU that is paid by the minute: whole seeds are left out.

The first seed is trained in any case, and what its steps took says how many seeds fit. Two are kept at least, since an
interval needs them. The choice is written down, so that the same command again keeps the same seeds.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from hare.core.files import write_json
from hare.core.provenance import digest_of
from hare.training.launch import at_once, train_all
from hare.training.run import TrainedRun, TrainingRun

Key = tuple[str, int]


def seeds_within(minutes: float, runs: Mapping[Key, TrainingRun], seeds: tuple[int, ...], folder: Path) -> list[int]:
    """Train the first seed's runs, and choose the seeds whose runs fit into the minutes; ``folder`` keeps the choice.

    ``runs`` are keyed by arm and seed; starting up is not counted.
    """
    named = digest_of([minutes, *(run.folder.name for run in runs.values())])[:10]
    path = folder / f"budget-{named}.json"
    kept = _kept(path, seeds)
    if kept is None:
        seconds = seconds_together(train_all([run for (_, seed), run in runs.items() if seed == seeds[0]]))
        kept = fitting(seeds, seconds, minutes)
        print(f"One seed takes {seconds:.0f} s: {len(kept)} of {len(seeds)} fit into {minutes:g} minutes.", flush=True)
        write_json(path, kept)
    return kept


def _kept(path: Path, seeds: tuple[int, ...]) -> list[int] | None:
    """The choice written down; None where there is none, or one that cannot be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if kept and list(seeds[: len(kept)]) == kept else None
    except (OSError, ValueError, TypeError):
        return None


def seconds_together(trained: list[TrainedRun]) -> float:
    """How long the steps of these runs took, as many side by side as may be; the first, which compiles, left out."""
    seconds = sum(float(run.metrics()["seconds"].iloc[1:].sum()) for run in trained)
    return seconds / at_once([run.run for run in trained])


def fitting(seeds: tuple[int, ...], seconds_per_seed: float, minutes: float) -> list[int]:
    """The first seeds, as many as fit into the minutes, but two at least."""
    return list(seeds[: max(2, int(minutes * 60 / seconds_per_seed))])

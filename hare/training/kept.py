"""What a finished run has come to, as small files: committed as they come, so that no run is lost with a machine, and
taken up by any clone of the same code and data instead of being trained again."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hare.core.files import folder_written_whole
from hare.core.provenance import processor
from hare.training.run import HF, TrainedRun, TrainingRun

Key = tuple[str, int]  # arm and seed
Score = Callable[[Mapping[Key, TrainedRun]], pd.DataFrame]
KEPT_FOLDER = "runs"  # in the results of the training stage
_TABLES = ("metrics", "heldout", "scores")
_CURVES = ["step", "loss", "gradient_norm", "tokens_per_s", "seconds", "processor"]  # of a run's metrics


def taken_up(folder: Path | None, run: TrainingRun) -> TrainedRun | None:
    """The run as its files kept under ``folder`` tell of it, without its weights; None where it is not kept whole."""
    if folder is None or not (folder / run.folder.name).is_dir():
        return None
    place = folder / run.folder.name
    damage = [path.name for path in (place / f"{table}.parquet" for table in _TABLES) if not _is_whole(path)]
    if damage:
        print(f"kept run {place} is passed over: {', '.join(damage)} missing or cut short", flush=True)
        return None
    return TrainedRun(run, place, place / HF)


def _is_whole(path: Path) -> bool:
    """Whether a table can be read to its end."""
    try:
        return not pd.read_parquet(path).empty
    except (OSError, ValueError):  # what Arrow says of a file cut short is one of these
        return False


def comparable(arms: Iterable[Key], known: Mapping[Key, TrainedRun]) -> dict[Key, TrainedRun]:
    """``known`` without what another kind of processor made of a seed that is to be finished on this machine: arms are
    compared within a seed, and sums of floating-point numbers depend on the processor."""
    begun, here = {key[1] for key in arms if key not in known}, processor()
    return {key: run for key, run in known.items() if key[1] not in begun or run.processor == here}


@dataclass(frozen=True)
class KeptRuns:
    """Finished runs under ``folder``, one folder each, named as the run's own, whose last part is the digest of all
    that decides the run; without ``folder`` nothing is kept. ``score`` reads the endpoints with trained runs."""

    folder: Path | None
    score: Score

    def keep(self, trained: Mapping[Key, TrainedRun]) -> None:
        """Score the runs and keep what they have come to, where that is asked for."""
        if self.folder is None or not trained:
            return
        scores = self.score(trained)
        for (arm, seed), run in trained.items():
            tables = {
                "metrics": run.metrics().filter(_CURVES), "heldout": run.heldout(),
                "scores": scores[(scores["arm"] == arm) & (scores["seed"] == seed)],
            }
            with folder_written_whole(self.folder / run.run.folder.name) as folder:
                for name, table in tables.items():
                    _write(table, folder / f"{name}.parquet")

    def rows(self, trained: Mapping[Key, TrainedRun]) -> pd.DataFrame:
        """Every run on every item, kept or read now, in the order of ``trained``."""
        if self.folder is None:
            return self.score(trained)
        kept = [pd.read_parquet(self.folder / run.run.folder.name / "scores.parquet") for run in trained.values()]
        return pd.concat(kept, ignore_index=True)


def _write(table: pd.DataFrame, path: Path) -> None:
    """Numbers as 32 bits, which are what a model computes in, and their bytes in separate streams, which halves the
    file."""
    narrow = {"float64": "float32", "int64": "int32"}
    table = table.astype({name: narrow.get(str(kind), kind) for name, kind in table.dtypes.items()})
    numbers = [name for name, kind in table.dtypes.items() if kind.kind in "fi"]
    words = [name for name in table if name not in numbers]
    table.to_parquet(path, index=False, compression="zstd", compression_level=19, use_dictionary=words,
                     use_byte_stream_split=numbers)
    with path.open("rb") as written:
        os.fsync(written.fileno())  # what is kept is all that stays of a run

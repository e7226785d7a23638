"""What finished runs have come to is kept as they come, and taken up elsewhere without their weights."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from training_runs import toy_run

from hare.core.sections import Training
from hare.training import budget, study
from hare.training import kept as kept_runs
from hare.training.kept import KeptRuns
from hare.training.run import HELDOUT_FILE, METRICS_FILE, TrainedRun, TrainingRun

STUDY = {("a", 0): "a-seed0-1", ("c", 0): "c-seed0-2", ("a", 1): "a-seed1-3", ("c", 1): "c-seed1-4"}


def score(runs: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """Two items per run, as `read_arms` gives them."""
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "endpoint": "p", "group": "g", "item": item, "bytes": 10, "nats": item + seed / 7}
        for arm, seed in runs for item in range(2)
    ])


def trained(run: TrainingRun, processor: str) -> TrainedRun:
    """As `train_all` leaves a run: its curves and its export."""
    checkpoint, hf = run.folder / "checkpoints" / "20", run.folder / "hf"
    for folder in (checkpoint, hf):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (METRICS_FILE, HELDOUT_FILE):
        row = {"step": 1, "loss": 2.5, "seconds": 3.0, "processor": processor}
        (checkpoint / name).write_text(json.dumps(row) + "\n")
    return TrainedRun(run, checkpoint, hf)


class Trainer:
    """Stands for the processes that train on a kind of processor: notes what it was given, and dies at the run named
    ``deadly``."""

    def __init__(self, deadly: str = "", processor: str = "one") -> None:
        self.deadly, self.processor = deadly, processor
        self.given: list[str] = []

    def __call__(self, runs: list[TrainingRun], each_step: object = None) -> list[TrainedRun]:
        if any(run.folder.name == self.deadly for run in runs):
            raise KeyboardInterrupt
        self.given += [run.folder.name for run in runs]
        return [trained(run, self.processor) for run in runs]


def train(
    monkeypatch: pytest.MonkeyPatch, root: Path, kept: KeptRuns, trainer: Trainer, minutes: float = 0.0
) -> study.Ablation:
    toy = toy_run(root, "made")
    runs = {key: dataclasses.replace(toy, folder=root / "runs" / name) for key, name in STUDY.items()}
    monkeypatch.setattr(study, "study_runs", lambda *_: runs)
    for module in (study, budget):
        monkeypatch.setattr(module, "train_all", trainer)
    monkeypatch.setattr(kept_runs, "processor", lambda: trainer.processor)
    training = Training(runs_at_once=2, training_seeds=(0, 1), training_minutes=minutes)
    return study.train_study(root, toy.model, None, training, None, kept)  # type: ignore[arg-type]


def test_a_killed_study_goes_on_in_another_clone_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = KeptRuns(tmp_path / "results", score)
    with pytest.raises(KeyboardInterrupt):
        train(monkeypatch, tmp_path / "one", first, Trainer(deadly="c-seed1-4"))
    committed = tmp_path / "clone"
    shutil.copytree(tmp_path / "results", committed)
    other, trainer = KeptRuns(committed, score), Trainer()
    ablation = train(monkeypatch, tmp_path / "two", other, trainer)
    assert trainer.given == ["a-seed1-3", "c-seed1-4"]
    assert list(ablation.arms) == list(STUDY) and list(ablation.here()) == [("a", 1), ("c", 1)]
    whole = KeptRuns(tmp_path / "whole", score)
    expected = train(monkeypatch, tmp_path / "three", whole, Trainer())
    assert other.rows(ablation.arms).equals(whole.rows(expected.arms))
    pd.testing.assert_frame_equal(
        ablation.arms["a", 0].metrics(), expected.arms["a", 0].metrics(), check_dtype=False, rtol=1e-6)
    assert ablation.arms["a", 0].processor == "one"


@pytest.mark.parametrize("left", [0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("lost", ["scores.parquet", "heldout.parquet", "metrics.parquet"])
def test_a_run_that_is_kept_in_part_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, left: float
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    train(monkeypatch, tmp_path / "one", kept, Trainer())
    place = tmp_path / "results" / "c-seed0-2" / lost
    whole = place.read_bytes()
    place.write_bytes(whole[: int(len(whole) * left)]) if left else place.unlink()
    trainer = Trainer()
    train(monkeypatch, tmp_path / "two", kept, trainer)
    assert trainer.given == ["c-seed0-2"]


def test_a_begun_seed_is_trained_again_on_another_kind_of_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    train(monkeypatch, tmp_path / "one", kept, Trainer())
    (tmp_path / "results" / "c-seed1-4" / "scores.parquet").unlink()
    other = Trainer(processor="other")
    ablation = train(monkeypatch, tmp_path / "two", kept, other)
    assert other.given == ["a-seed1-3", "c-seed1-4"]
    assert [run.processor for run in ablation.arms.values()] == ["one", "one", "other", "other"]
    assert "a, seed 1: trained again here" in capsys.readouterr().out
    third = Trainer(processor="third")
    again = train(monkeypatch, tmp_path / "three", kept, third)
    assert third.given == [] and [run.processor for run in again.arms.values()] == ["one", "one", "other", "other"]


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, trainer = KeptRuns(None, score), Trainer()
    ablation = train(monkeypatch, tmp_path, kept, trainer)
    assert trainer.given == list(STUDY.values()) and not list(tmp_path.rglob("*.parquet"))
    assert len(kept.rows(ablation.arms)) == 8


def test_within_minutes_each_seed_is_kept_as_it_comes_and_counts_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    with pytest.raises(KeyboardInterrupt):
        train(monkeypatch, tmp_path / "one", kept, Trainer(deadly="a-seed1-3"), minutes=1e3)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a-seed0-1", "c-seed0-2"]
    elsewhere, trainer = tmp_path / "two", Trainer()
    assert list(train(monkeypatch, elsewhere, kept, trainer, minutes=1e-9).arms) == [("a", 0), ("c", 0)]
    assert trainer.given == []
    assert len(train(monkeypatch, elsewhere, kept, trainer, minutes=1e3).arms) == 4
    assert trainer.given == ["a-seed1-3", "c-seed1-4"]

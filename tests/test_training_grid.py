"""The grid of sizes and lengths: its cells, the order of its runs, and what is trained, taken up and let go."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_runs import OPTIMISATION, SEQUENCE_LENGTH, SHAPE, toy_tokenizer, toy_tokens

from hare.core.profile import check_profile, load_profile
from hare.core.sections import Scaling, Tokens, Training
from hare.evaluation import scaling
from hare.training import kept as kept_runs
from hare.training import study
from hare.training.inputs import Inputs
from hare.training.kept import KeptRuns
from hare.training.run import HELDOUT_FILE, METRICS_FILE, TrainedRun, TrainingRun

GRID = Scaling(scaling_hidden_sizes=(32, 64), scaling_train_steps=(20, 40))
TRAINING = dataclasses.replace(
    OPTIMISATION, arms={"a": {"d1": 1.0}, "c": {"d1": 60.0, "d3": 40.0}}, training_seeds=(0, 1))
TOKENS = Tokens(sequence_length=SEQUENCE_LENGTH, stage1_share=0.0)
SHAPES = study.grid_shapes(GRID, SHAPE, TRAINING)


class Trainer:
    """Stands for the processes that train: notes what it was given, and leaves what `train_all` leaves of a run."""

    def __init__(self, processor: str = "one") -> None:
        self.processor = processor
        self.given: list[TrainingRun] = []
        self.launches: list[int] = []

    def __call__(self, runs: list[TrainingRun], **_: object) -> list[TrainedRun]:
        self.given += runs
        self.launches.append(len(runs))
        return [self._trained(run) for run in runs]

    def _trained(self, run: TrainingRun) -> TrainedRun:
        checkpoint, hf = run.folder / "checkpoints" / str(run.training.train_steps), run.folder / "hf"
        for folder in (checkpoint, hf):
            folder.mkdir(parents=True)
        for name in (METRICS_FILE, HELDOUT_FILE):
            row = {"step": 1, "loss": 2.5, "seconds": 3.0, "processor": self.processor}
            (checkpoint / name).write_text(json.dumps(row) + "\n")
        return TrainedRun(run, checkpoint, hf)

    def cells(self) -> list[tuple[int, int, int]]:
        """Seed, hidden size and steps of each launch, in order."""
        return list(dict.fromkeys((run.seed, run.model.hidden_size, run.training.train_steps) for run in self.given))


def score(runs: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """As `read_arms`: arm C loses less the smaller and shorter it is."""
    rows = []
    for (arm, seed), run in runs.items():
        size = run.run.model.hidden_size / 64 * run.run.training.train_steps / 40
        loss = 2.0 + 0.01 * seed + (arm == "c") * (0.1 - 0.2 / size)
        rows += [{"arm": arm, "seed": seed, "endpoint": "p", "group": "g", "item": item, "bytes": 10,
                  "nats": (loss + 0.1 * item) * 10 * np.log(2)} for item in range(4)]
    return pd.DataFrame(rows)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    for number, part in enumerate(("d1", "d3")):
        toy_tokens(tmp_path / "tokens" / f"{part}.ds", number)
    return Inputs(tmp_path / "tokens", {}, toy_tokenizer(tmp_path / "tokens" / "tokenizer"))


def trained(
    root: Path, inputs: Inputs, kept: KeptRuns, monkeypatch: pytest.MonkeyPatch, processor: str = "one"
) -> tuple[Trainer, study.Grid]:
    """The study and then its grid, with a trainer of their own."""
    trainer = Trainer(processor)
    monkeypatch.setattr(study, "train_all", trainer)
    monkeypatch.setattr(study, "parity_runs", lambda *_: {})
    monkeypatch.setattr(kept_runs, "processor", lambda: trainer.processor)
    arms = study.train_study(root / "runs", SHAPE, TOKENS, TRAINING, inputs, kept)
    return trainer, study.train_grid(arms, SHAPES, TOKENS, inputs, kept)


def test_cells_are_sorted_by_their_cost_and_keep_the_shares_of_a_run() -> None:
    assert list(SHAPES) == [(32, 20), (32, 40), (64, 20), (64, 40)]
    assert SHAPES[32, 20] == (SHAPE, TRAINING)
    model, training = SHAPES[64, 40]
    assert (model.hidden_size, model.intermediate_size, model.layers) == (64, 176, SHAPE.layers)
    for name in ("warmup_steps", "checkpoint_interval", "validation_interval", "train_steps"):
        assert getattr(training, name) == 2 * getattr(TRAINING, name)
    assert study.grid_shapes(Scaling(), SHAPE, TRAINING) == {}


@given(st.integers(20, 400), st.integers(1, 19))
def test_a_run_of_any_length_is_a_sound_one(steps: int, warmup: int) -> None:
    longer = study.lengthened(dataclasses.replace(TRAINING, warmup_steps=warmup), steps)
    assert longer.train_steps == steps and 1 <= longer.warmup_steps < steps
    assert longer.checkpoint_interval >= 1 and longer.learning_rate == TRAINING.learning_rate


def test_seed_by_seed_small_cells_first_and_nothing_twice(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    trainer, grid = trained(tmp_path / "one", inputs, kept, monkeypatch)
    others = [(32, 40), (64, 20), (64, 40)]
    assert trainer.cells() == [(0, 32, 20), (1, 32, 20), *((seed, *cell) for seed in (0, 1) for cell in others)]
    assert trainer.launches == [2] * 8 and len({run.folder for run in trainer.given}) == 16
    assert list(grid) == list(SHAPES)
    assert all(list(runs) == [("a", 0), ("c", 0), ("a", 1), ("c", 1)] for runs in grid.values())
    again, taken_up = trained(tmp_path / "two", inputs, kept, monkeypatch)
    assert again.given == [] and taken_up[64, 40]["c", 1].metrics().equals(grid[64, 40]["c", 1].metrics())


def test_the_smallest_cell_is_the_study_s_own_runs_whose_weights_stay(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, grid = trained(tmp_path / "one", inputs, KeptRuns(tmp_path / "results", score), monkeypatch)
    here = {run.folder for run in trainer.given if run.folder.exists()}
    assert here == {run.run.folder for run in grid[32, 20].values()} and len(here) == 4
    assert all(run.is_here for run in grid[32, 20].values())
    assert not any(run.is_here for cell in list(grid)[1:] for run in grid[cell].values())


def test_a_killed_grid_goes_on_from_what_was_kept(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    _, grid = trained(tmp_path / "one", inputs, kept, monkeypatch)
    lost = grid[64, 20]["c", 1].run.folder.name
    (tmp_path / "results" / lost / "scores.parquet").unlink()
    again, _ = trained(tmp_path / "one", inputs, kept, monkeypatch)
    assert [run.folder.name for run in again.given] == [lost]


def test_both_arms_of_a_cell_and_seed_are_of_one_kind_of_processor(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptRuns(tmp_path / "results", score)
    _, grid = trained(tmp_path / "one", inputs, kept, monkeypatch)
    (tmp_path / "results" / grid[64, 20]["c", 1].run.folder.name / "scores.parquet").unlink()
    again, mixed = trained(tmp_path / "two", inputs, kept, monkeypatch, "other")
    assert again.cells() == [(1, 64, 20)] and again.launches == [2]
    assert [run.processor for run in mixed[64, 20].values()] == ["one", "one", "other", "other"]
    assert {run.processor for run in mixed[64, 40].values()} == {"one"}


@pytest.mark.parametrize("kept_folder", ["results", ""])
def test_a_grid_becomes_rows_and_a_table(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch, kept_folder: str
) -> None:
    kept = KeptRuns(tmp_path / kept_folder if kept_folder else None, score)
    _, grid = trained(tmp_path / "one", inputs, kept, monkeypatch)
    rows = scaling.grid_rows(grid, kept)
    assert len(rows) == 16 * 4
    runs = scaling.cell_table(rows)
    assert runs.groupby("hidden_size")["parameters"].first().tolist() == [23_040, 92_160]
    assert sorted(set(runs["tokens"])) == [20 * 4 * 32, 40 * 4 * 32] and runs["readings"].max() > 1
    signs = scaling.sign_table(scaling.scaling_table(rows))
    assert (signs.to_numpy() == [["−", "−"], ["−", "−"]]).all()


def test_profile_scaling_reads_no_task_twice_in_any_cell() -> None:
    profile = load_profile("scaling")
    shapes = study.grid_shapes(profile.scaling, profile.model, profile.training)
    assert len(shapes) == 12 and next(iter(shapes.values())) == (profile.model, profile.training)
    night = load_profile("overnight").training
    for _, training in shapes.values():
        assert training.warmup_steps == training.train_steps / 20
        assert (training.learning_rate, training.micro_batch) == (night.learning_rate, night.micro_batch)
    assert isinstance(profile.training, Training) and profile.tokens.stage1_share == 0


@pytest.mark.parametrize(("section", "changes", "fix"), [
    ("scaling", {"scaling_train_steps": []}, "scaling.scaling_hidden_sizes = (128, 192, 256): "
                                             "scaling.scaling_train_steps is empty; give both or neither"),
    ("scaling", {"scaling_hidden_sizes": []}, "scaling.scaling_hidden_sizes is empty; give both or neither"),
    ("scaling", {"scaling_hidden_sizes": [128, 136]}, "136 is no even multiple of 8 attention heads"),
    ("scaling", {"scaling_hidden_sizes": [192, 256]}, "add 128, which is model.hidden_size"),
    ("scaling", {"scaling_train_steps": [1000, 2000]}, "add 500, which is training.train_steps"),
    ("training", {"arms": {"a": {"d1": 1}}}, "training.arms = 'a': a grid compares two arms"),
    ("scaling", {"scaling_train_steps": [500, 500]}, "none twice"),
])
def test_a_grid_that_cannot_be_is_refused(section: str, changes: dict, fix: str) -> None:
    values = {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
        for name, fields in dataclasses.asdict(load_profile("scaling")).items() if isinstance(fields, dict)
    }
    values[section] |= changes
    with pytest.raises(Exception, match="cannot be used") as caught:
        check_profile(values, Path("mine.yaml"))
    assert fix in str(caught.value)

"""What `hare status` says of the runs of a long campaign: done here, kept, begun, and the hours left."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
from training_runs import toy_run

from hare.core.paths import Workspace
from hare.core.profile import load_profile
from hare.training import kept
from hare.training.checkpoints import MANIFEST
from hare.training.cluster import outlook
from hare.training.kept import KEPT_FOLDER
from hare.training.run import METRICS_FILE

NARROWEST = "128-500"  # the cell of which the arms' runs are
NAMES = {("parity", 1): "parity-1-0", ("a", 0): "a-seed0-1", ("c", 0): "c-seed0-2", ("a", 1): "a-seed1-3"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    toy = toy_run(tmp_path, "made")
    runs = {key: dataclasses.replace(toy, folder=tmp_path / "runs" / name) for key, name in NAMES.items()}
    monkeypatch.setattr(outlook, "study_runs", lambda *_: runs)
    monkeypatch.setattr(outlook, "read_manifest", lambda *_: {})
    monkeypatch.setattr(kept, "processor", lambda: "another make")
    return tmp_path


def metrics(count: int) -> list[dict[str, object]]:
    return [{"step": step, "seconds": 1800.0, "processor": "another make"} for step in range(1, count + 1)]


def keep(run_folder: Path) -> None:
    run_folder.mkdir(parents=True)
    for name in ("metrics", "heldout", "scores"):
        pd.DataFrame(metrics(20)).to_parquet(run_folder / f"{name}.parquet")


def test_runs_are_listed_as_they_come(folder: Path) -> None:
    profile = load_profile("overnight")
    assert outlook.outlook(profile) == ["  runs: 3 left; how long they take is known once one has begun"]
    keep(folder / "results" / "overnight" / "training" / KEPT_FOLDER / "a-seed0-1")
    begun = folder / "runs" / "c-seed0-2" / "checkpoints" / "8"
    begun.mkdir(parents=True)
    (begun / METRICS_FILE).write_text("".join(json.dumps(row) + "\n" for row in metrics(8)))
    (begun / MANIFEST).write_text(json.dumps({"files": {METRICS_FILE: "its digest"}}))
    (begun.parent / "12").mkdir()  # killed before its manifest was written
    assert outlook.outlook(profile) == [
        "  seed 0, a: done and kept, made on another make; its scored rows are taken up",
        "  seed 0, c: step 8 of 20 is saved",
        "  runs: 2 left, some 8.0 hours of training, 2 side by side",
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", None])
def test_a_checkpoint_whose_steps_are_not_told_has_no_pace(folder: Path, content: bytes | None) -> None:
    begun = folder / "runs" / "c-seed0-2" / "checkpoints" / "8"
    begun.mkdir(parents=True)
    (begun / MANIFEST).write_text(json.dumps({"files": {}}))
    if content is not None:
        (begun / METRICS_FILE).write_bytes(content)
    assert outlook.outlook(load_profile("overnight")) == [
        "  seed 0, c: step 8 of 20 is saved", "  runs: 3 left; how long they take is known once one has begun"]


@pytest.mark.parametrize("content", ["[]", "null", '{"files": []}', "{", '{"files": {"weights": "x"}}'])
def test_a_checkpoint_that_is_not_whole_is_not_counted(folder: Path, content: str) -> None:
    begun = folder / "runs" / "c-seed0-2" / "checkpoints" / "8"
    begun.mkdir(parents=True)
    (begun / MANIFEST).write_text(content)
    lines = outlook.outlook(load_profile("overnight"))
    assert lines[-1] == "  runs: 3 left; how long they take is known once one has begun"
    assert len(lines) == (2 if content == '{"files": []}' else 1), "no file is listed, none is missing"


def test_what_another_kind_of_processor_made_of_a_begun_seed_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-seed0-1", "a-seed1-3"):
        keep(folder / "results" / "overnight" / "training" / KEPT_FOLDER / name)
    monkeypatch.setattr(kept, "processor", lambda: "this make")
    assert outlook.outlook(load_profile("overnight")) == [
        "  seed 1, a: done and kept, made on another make; its scored rows are taken up",
        "  runs: 2 left, some 10.0 hours of training, 2 side by side",
    ]


def test_runs_of_a_seed_that_stand_alike_take_one_line(folder: Path) -> None:
    for name in ("a-seed0-1", "c-seed0-2"):
        keep(folder / "results" / "overnight" / "training" / KEPT_FOLDER / name)
    assert outlook.outlook(load_profile("overnight")) == [
        "  seed 0: all 2 runs: done and kept, made on another make; its scored rows are taken up",
        "  runs: 1 left, some 5.0 hours of training, 2 side by side",
    ]


def test_every_cell_of_a_grid_is_counted_and_the_smallest_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sizes and four lengths, of which one cell's runs are the arms' own."""
    profile, toy = load_profile("scaling"), outlook.study_runs()[("a", 0)]
    runs = {(arm, seed): dataclasses.replace(toy, folder=folder / "runs" / f"{arm}-seed{seed}-{NARROWEST}")
            for seed in profile.training.training_seeds for arm in ("a", "c")}
    monkeypatch.setattr(outlook, "study_runs", lambda *_: runs)
    monkeypatch.setattr(outlook, "run_of_arm", lambda *parts: dataclasses.replace(
        toy, model=parts[2], training=dataclasses.replace(toy.training, train_steps=parts[4].train_steps)))
    monkeypatch.setattr(type(toy), "keyed", lambda run, parent, name: dataclasses.replace(
        run, folder=parent / f"{name}-{run.model.hidden_size}-{run.training.train_steps}"))
    runs |= {key: dataclasses.replace(run, folder=Workspace("scaling").work / "training" / "runs" / run.folder.name)
             for key, run in runs.items()}
    assert outlook.outlook(profile)[-1].startswith("  runs: 72 left; ")
    for arm in ("a", "c"):
        keep(folder / "results" / "scaling" / "training" / KEPT_FOLDER / f"{arm}-seed1-256-4000")
    lines = outlook.outlook(profile)
    assert lines[0].startswith("  seed 1, hidden size 256, 4000 steps: all 2 runs: done and kept, made on another make")
    assert lines[1].startswith("  runs: 70 left, some ")


def test_seeds_that_do_not_fit_into_the_minutes_are_not_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {key: run for key, run in outlook.study_runs().items() if key in (("a", 0), ("a", 1))}
    monkeypatch.setattr(outlook, "study_runs", lambda *_: runs)
    profile = load_profile("overnight")
    training = dataclasses.replace(profile.training, training_seeds=(0, 1), training_minutes=60.0)
    profile = dataclasses.replace(profile, training=training)
    assert outlook.outlook(profile)[-1].startswith("  runs: 2 left"), "nothing is measured yet"
    keep(folder / "results" / "overnight" / "training" / KEPT_FOLDER / "a-seed0-1")
    assert outlook.outlook(profile)[-1] == "  runs: nothing is left"


def test_before_there_are_tokens_nothing_can_begin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "read_manifest", lambda *_: None)
    assert outlook.outlook(load_profile("overnight")) == ["  runs: none can begin before notebook 04 has run"]
    run_folder = folder / "results" / "overnight" / "training" / KEPT_FOLDER / "a-seed0-1"
    run_folder.mkdir(parents=True)
    (run_folder / "scores.parquet").touch()
    assert outlook.outlook(load_profile("overnight"))[-1].endswith(
        "; 1 kept, taken up by notebook 05 once its tokens are the same"
    )

"""A study that is given minutes leaves out whole seeds, the same ones when it is started again."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_runs import toy_run

from hare.core.profile import load_profile
from hare.training import budget, launch, study
from hare.training.budget import fitting, seeds_within
from hare.training.kept import KeptRuns

SEEDS = (0, 1, 2, 3)


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True).map(tuple), st.floats(0.1, 1e4),
    st.floats(0.1, 1e3),
)
def test_as_many_seeds_as_fit_but_two_for_an_interval(seeds: tuple[int, ...], seconds: float, minutes: float) -> None:
    kept = fitting(seeds, seconds, minutes)
    assert tuple(kept) == seeds[: len(kept)] and len(kept) >= min(2, len(seeds))
    assert len(kept) <= 2 or len(kept) * seconds <= minutes * 60
    assert len(kept) == len(seeds) or (len(kept) + 1) * seconds > minutes * 60


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs whose training is asked for; a run takes ten seconds, and two train at once."""
    asked: list[str] = []

    def train_all(runs: list) -> list[SimpleNamespace]:
        asked.extend(run.folder.name for run in runs)
        return [SimpleNamespace(run=run, metrics=lambda: pd.DataFrame({"seconds": [4.0, 6.0]})) for run in runs]

    monkeypatch.setattr(launch, "cores", lambda: 2)
    for module in (budget, study):
        monkeypatch.setattr(module, "train_all", train_all)
    return asked


def test_the_first_seed_is_measured_once_and_the_choice_is_kept(trained: list[str], tmp_path: Path) -> None:
    runs = {(arm, seed): toy_run(tmp_path, f"{arm}-{seed}", seed=seed) for seed in SEEDS for arm in ("a", "b")}
    assert seeds_within(0.5, runs, SEEDS, tmp_path) == [0, 1, 2]  # two runs of 10 s side by side: 10 s per seed
    assert trained == ["a-0", "b-0"]
    assert seeds_within(0.5, runs, SEEDS, tmp_path) == [0, 1, 2] and trained == ["a-0", "b-0"]
    (written,) = tmp_path.glob("budget-*.json")
    written.write_text("[0, 7]")
    assert seeds_within(0.5, runs, SEEDS, tmp_path) == [0, 1, 2] and trained == ["a-0", "b-0"] * 2
    assert seeds_within(0.7, runs, SEEDS, tmp_path) == [0, 1, 2, 3], "other minutes are another choice"


def test_a_study_within_minutes_keeps_every_arm_and_the_parity_pair(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = dataclasses.replace(load_profile("smoke").training, training_seeds=SEEDS, training_minutes=0.35)
    keys = [("parity", 1), ("parity", 2), *((arm, seed) for seed in SEEDS for arm in ("a", "b"))]
    runs = {key: toy_run(tmp_path, f"{key[0]}-{key[1]}", seed=key[1]) for key in keys}
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)
    done = study.train_study(tmp_path, None, None, training, None, KeptRuns(None, lambda trained: None))
    assert set(done.arms) == {(arm, seed) for arm in ("a", "b") for seed in (0, 1)} and set(done.parity) == {1, 2}

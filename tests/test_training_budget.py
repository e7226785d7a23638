"""A study that is given minutes leaves out whole seeds, the same ones when it is started again."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
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
    """Names of the runs whose training is asked for, `` on the processor`` behind those that shall be there; a run
    takes ten seconds after its first step, and two train at once."""
    asked: list[str] = []
    steps = pd.DataFrame({"seconds": [50.0, 4.0, 6.0]})

    def train_all(runs: list, on_processor: bool = False) -> list[SimpleNamespace]:
        asked.extend(run.folder.name + " on the processor" * on_processor for run in runs)
        return [SimpleNamespace(run=run, metrics=lambda: steps) for run in runs]

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


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_study_within_minutes_keeps_every_arm_and_the_parity_pair(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int
) -> None:
    """Two processes have no place on one GPU, so the pair trains beside it."""
    training = dataclasses.replace(load_profile("smoke").training, training_seeds=SEEDS, training_minutes=0.35)
    keys = [("parity", 1), ("parity", 2), *((arm, seed) for seed in SEEDS for arm in ("a", "b"))]
    runs = {key: toy_run(tmp_path, f"{key[0]}-{key[1]}", seed=key[1]) for key in keys}
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)
    monkeypatch.setattr(study.torch.cuda, "device_count", lambda: gpus)
    done = study.train_study(tmp_path, None, None, training, None, KeptRuns(None, lambda trained: None))
    assert set(done.arms) == {(arm, seed) for arm in ("a", "b") for seed in (0, 1)} and set(done.parity) == {1, 2}
    assert [name for name in trained if name.endswith("processor")] == [
        f"parity-{processes} on the processor" for processes in (1, 2) if gpus == 1
    ]


def test_single_gpu_at_toy_size_leaves_out_seeds_and_trains_its_pair_beside_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own settings (bfloat16, compiled, several at once), but for sizes; every process is real, on what is here."""
    monkeypatch.setattr(launch, "cores", lambda: 2)
    monkeypatch.setattr(study.torch.cuda, "device_count", lambda: 1)
    training = dataclasses.replace(
        load_profile("single-gpu").training, arms={"a": {"d1": 1.0}}, training_seeds=(0, 1, 2), training_minutes=1e-6,
        train_steps=3, micro_batch=2, cpu_threads=1, warmup_steps=1, checkpoint_interval=3, validation_interval=3,
        validation_sequences=1, parity_steps=2,
    )
    changes = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    runs = {("a", seed): toy_run(tmp_path, f"a-{seed}", seed=seed, **changes) for seed in training.training_seeds}
    pair = changes | {"precision": "float32", "torch_compile": False, "train_steps": 2, "checkpoint_interval": 2}
    for count in (1, 2):
        shared = pair | {"data_parallel": count, "micro_batch": 2 // count}
        runs["parity", count] = toy_run(tmp_path, f"parity-{count}", **shared)
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)
    done = study.train_study(tmp_path, None, None, training, None, KeptRuns(None, lambda trained: None))
    assert list(done.arms) == [("a", 0), ("a", 1)], "two seeds are kept, whatever the minutes"
    assert all(np.isfinite(run.metrics()["loss"]).all() and len(run.metrics()) == 3 for run in done.arms.values())
    losses = [done.parity[count].metrics()["loss"] for count in (1, 2)]
    assert np.abs(losses[0] - losses[1]).max() < 5e-5

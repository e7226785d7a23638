"""A study that is given minutes leaves out whole seeds, by what its first 20 seconds of steps took."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from training_runs import toy_run

from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.training import budget, launch, study
from hare.training.budget import MEASURED, Budget, Plan, budget_within, measured
from hare.training.inputs import Inputs
from hare.training.kept import KeptRuns
from hare.training.run import METRICS_FILE, TrainingRun

SEEDS = (0, 1, 2, 3)
CURVE = [50.0] + [0.5] * 19  # seconds of the steps of a toy run, the first of which compiles
ONE_SEED = 2 * 20 * 0.5 / 2  # seconds: two arms of twenty steps, side by side


@given(st.lists(st.floats(0.01, 30), min_size=1, max_size=200))
def test_the_first_20_seconds_behind_the_first_step_are_measured(seconds: list[float]) -> None:
    steps = measured(seconds)
    behind = seconds[1:] or seconds
    assert steps == behind[: len(steps)] and sum(steps[:-1]) < MEASURED
    assert len(steps) == len(behind) or sum(steps) >= MEASURED


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True).map(tuple), st.floats(0.1, 1e4),
    st.floats(0.1, 1e3), st.integers(0, 9),
)
def test_as_many_seeds_as_fit_are_kept_and_those_recorded(
    seeds: tuple[int, ...], seconds: float, minutes: float, anyway: int
) -> None:
    fitting = Budget(minutes, seeds, seconds, anyway).kept
    assert fitting == seeds[: len(fitting)] and len(fitting) >= min(anyway, len(seeds))
    assert len(fitting) <= anyway or len(fitting) * seconds <= minutes * 60
    assert len(fitting) == len(seeds) or (len(fitting) + 1) * seconds > minutes * 60


def plan(root: Path, minutes: float, taken_up: tuple[tuple[str, int], ...] = ()) -> Plan:
    runs = {(arm, seed): toy_run(root, f"{arm}-{seed}", seed=seed) for seed in SEEDS for arm in ("a", "b")}
    return Plan(minutes, SEEDS, runs, {key: trained_run(runs[key]) for key in taken_up})


def trained_run(run: TrainingRun) -> SimpleNamespace:
    return SimpleNamespace(run=run, metrics=lambda: pd.DataFrame({"seconds": CURVE}))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs whose training is asked for, `` on the processor`` behind those that shall be there; two train
    at once."""
    names: list[str] = []

    def train_all(runs: list, each_step: object = None, on_processor: bool = False) -> list[SimpleNamespace]:
        names.extend(run.folder.name + " on the processor" * on_processor for run in runs)
        return [trained_run(run) for run in runs]

    monkeypatch.setattr(launch, "cores", lambda: 2)
    for module in (budget, study):
        monkeypatch.setattr(module, "train_all", train_all)
    return names


@pytest.mark.parametrize(("minutes", "seeds"), [(1e3, 4), (3.5 * ONE_SEED / 60, 3), (ONE_SEED / 60, 1)])
def test_the_plan_is_cut_to_what_fits_and_recorded(
    trained: list[str], tmp_path: Path, minutes: float, seeds: int
) -> None:
    for _ in range(2):  # the same command again keeps the same seeds
        chosen = budget_within(plan(tmp_path, minutes))
        assert chosen.kept == SEEDS[:seeds] and chosen.metrics() == {
            "budget.minutes": minutes, "budget.seconds_per_seed": ONE_SEED, "budget.seeds_planned": 4,
            "budget.seeds_kept": seeds,
        }
    assert trained == ["a-0", "b-0"] * 2


def test_when_not_even_one_seed_fits_the_setting_is_named(trained: list[str], tmp_path: Path) -> None:
    with pytest.raises(HareError, match="One seed of every arm takes 0.2 minutes") as refused:
        budget_within(plan(tmp_path, 0.9 * ONE_SEED / 60))
    assert "raise training.training_minutes, or lower training.train_steps" in refused.value.fix


def test_what_is_in_the_results_already_is_neither_trained_nor_left_out(trained: list[str], tmp_path: Path) -> None:
    known = tuple((arm, seed) for seed in (0, 1) for arm in ("a", "b"))
    assert budget_within(plan(tmp_path, 1e-6, known)).kept == (0, 1) and trained == []
    assert budget_within(plan(tmp_path, 1e-6, (*known[:3], ("a", 2)))).kept == (0,), "a seed in part is none"


def test_while_the_first_seed_trains_it_says_what_fits_or_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "cores", lambda: 2)
    monkeypatch.setattr(budget, "_SECONDS_BETWEEN_LOOKS", 0)
    enough, little = (budget._Look(plan(tmp_path, minutes)) for minutes in (1.0, 0.1))

    def write(name: str, steps: int) -> None:
        path = tmp_path / "runs" / name / METRICS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"seconds": 0.5}) + "\n" for _ in range(steps)))
        enough()

    write("a-0", 100)
    write("b-0", 40)
    assert not capsys.readouterr().out, "the 20 seconds of one run are not over"
    for steps in (41, 42):
        write("b-0", steps)
    assert capsys.readouterr().out == "One seed takes 10 s: 4 of 4 fit into 1 minutes.\n"
    with pytest.raises(HareError, match="training.training_minutes is 0.1"):
        little()


@given(micro_batch=st.integers(1, 128), accumulation=st.integers(1, 8))
def test_the_parity_pair_reads_one_small_batch_whatever_the_study_s(micro_batch: int, accumulation: int) -> None:
    training = dataclasses.replace(
        load_profile("smoke").training, micro_batch=micro_batch, gradient_accumulation=accumulation
    )
    assume(training.global_batch % 2 == 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(study, "run_of_arm", lambda *arguments: arguments[4])
        pair = study.parity_runs(None, None, training, Inputs(Path(), {}, Path()))
    assert {processes: share.processes for processes, share in pair.items()} == {1: 1, 2: 2}
    assert pair[1].global_batch == pair[2].global_batch <= min(16, training.global_batch)
    assert pair[1].micro_batch == pair[2].micro_batch


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_a_study_within_minutes_keeps_every_arm_and_the_parity_pair(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: int
) -> None:
    """Two processes have no place on one GPU, so the pair trains beside it."""
    training = dataclasses.replace(
        load_profile("smoke").training, training_seeds=SEEDS, training_minutes=2 * ONE_SEED / 60
    )
    keys = [("parity", 1), ("parity", 2), *((arm, seed) for seed in SEEDS for arm in ("a", "b"))]
    runs = {key: toy_run(tmp_path, f"{key[0]}-{key[1]}", seed=key[1]) for key in keys}
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)
    monkeypatch.setattr(study.torch.cuda, "device_count", lambda: gpus)
    done = study.train_study(tmp_path, None, None, training, None, KeptRuns(None, lambda trained: None))
    assert set(done.arms) == {(arm, seed) for arm in ("a", "b") for seed in (0, 1)} and set(done.parity) == {1, 2}
    assert done.budget["budget.seeds_kept"] == 2
    assert [name for name in trained if name.endswith("processor")] == [
        f"parity-{processes} on the processor" for processes in (1, 2) if gpus == 1
    ]


def test_what_is_kept_whole_is_taken_up_without_a_budget(
    trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its minutes were those of the machine that trained it."""
    training = dataclasses.replace(load_profile("smoke").training, training_minutes=1e-6)
    runs = {("a", seed): toy_run(tmp_path, f"a-{seed}", seed=seed) for seed in (0, 1)}
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)
    monkeypatch.setattr(study, "taken_up", lambda folder, run: trained_run(run))
    done = study.train_study(tmp_path, None, None, training, None, KeptRuns(None, lambda trained: None))
    assert list(done.arms) == list(runs) and done.budget == {} and trained == []


def test_single_gpu_at_toy_size_leaves_out_seeds_and_trains_its_pair_beside_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own settings (bfloat16, compiled, several at once), but for sizes; every process is real, on what is here.

    The measure is over after the second step, so that the choice is made while the first seed trains.
    """
    monkeypatch.setattr(launch, "cores", lambda: 2)
    monkeypatch.setattr(budget, "MEASURED", 1e-9)
    monkeypatch.setattr(budget, "_SECONDS_BETWEEN_LOOKS", 0)
    monkeypatch.setattr(study.torch.cuda, "device_count", lambda: 1)
    training = dataclasses.replace(
        load_profile("single-gpu").training, arms={"a": {"d1": 1.0}}, training_seeds=(0, 1), train_steps=3,
        micro_batch=2, cpu_threads=1, warmup_steps=1, checkpoint_interval=3, validation_interval=3,
        validation_sequences=1, parity_steps=2,
    )
    changes = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    runs = {("a", seed): toy_run(tmp_path, f"a-{seed}", seed=seed, **changes) for seed in training.training_seeds}
    pair = changes | {"precision": "float32", "torch_compile": False, "train_steps": 2, "checkpoint_interval": 2}
    for count in (1, 2):
        shared = pair | {"data_parallel": count, "micro_batch": 2 // count}
        runs["parity", count] = toy_run(tmp_path, f"parity-{count}", **shared)
    monkeypatch.setattr(study, "study_runs", lambda *arguments: runs)

    def within(minutes: float) -> study.Ablation:
        limited = dataclasses.replace(training, training_minutes=minutes)
        return study.train_study(tmp_path, None, None, limited, None, KeptRuns(None, lambda trained: None))

    with pytest.raises(HareError, match="One seed of every arm takes"):
        within(1e-6)
    assert "tokens/s" not in capsys.readouterr().out, "it ended before the last step"
    done = within(1e3)
    assert ": 2 of 2 fit into 1000 minutes." in capsys.readouterr().out and list(done.arms) == [("a", 0), ("a", 1)]
    assert list(within(1.5 * done.budget["budget.seconds_per_seed"] / 60).arms) == [("a", 0)]
    assert all(np.isfinite(run.metrics()["loss"]).all() and len(run.metrics()) == 3 for run in done.arms.values())
    losses = [done.parity[count].metrics()["loss"] for count in (1, 2)]
    assert np.abs(losses[0] - losses[1]).max() < 5e-5

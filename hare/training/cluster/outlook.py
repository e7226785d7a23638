"""Which of a profile's runs are done, which have begun, and how long the rest will take, read from files."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hare.core.errors import HareError
from hare.core.files import read_jsonl
from hare.core.manifest import read_manifest
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.model.sizes import layer_parameters
from hare.training.budget import Key, Plan
from hare.training.checkpoints import Checkpoint, checkpoints
from hare.training.inputs import Inputs
from hare.training.kept import KEPT_FOLDER, comparable, taken_up
from hare.training.launch import at_once
from hare.training.run import METRICS_FILE, TrainedRun, TrainingRun, finished
from hare.training.study import PARITY, grid_shapes, run_of_arm, study_runs


def outlook(profile: Profile) -> list[str]:
    """One line per seed, and per cell of a grid, whose runs all stand alike, else one per run that has begun; and what
    is left in runs and hours. Before notebook 04 has run, only that, and how many are kept."""
    workspace = Workspace(profile.name)
    kept = workspace.results / "training" / KEPT_FOLDER
    if read_manifest(workspace, "tokens") is None:
        there = sum(1 for _ in kept.glob("*/scores.parquet"))
        taken = f"; {there} kept, taken up by notebook 05 once its tokens are the same" if there else ""
        return [f"  runs: none can begin before notebook 04 has run{taken}"]
    folder, inputs = workspace.work / "training" / "runs", Inputs.of(workspace.work / "tokens")
    runs = study_runs(folder, profile.model, profile.tokens, profile.training, inputs)
    arms = {key: run for key, run in runs.items() if key[0] != PARITY}
    known = _known(arms, kept)
    states = {key: _State.of(run, known.get(key)) for key, run in arms.items()}
    if profile.training.training_minutes:
        states = _within_minutes(
            Plan(profile.training.training_minutes, profile.training.training_seeds, arms, known), states)
    compared = {
        f"seed {seed}": {arm: state for (arm, other), state in states.items() if other == seed}
        for seed in dict.fromkeys(seed for _, seed in states)
    }
    arms_folders = {run.folder for run in arms.values()}
    for label, cell in _cells(profile, folder, inputs):
        others = {key: run for key, run in cell.items() if run.folder not in arms_folders}
        known = _known(others, kept)
        compared[label] = {key[0]: _State.of(run, known.get(key)) for key, run in others.items()}
    lines = [line for label, of_arms in compared.items() for line in _lines(label, of_arms)]
    waiting = [state for of_arms in compared.values() for state in of_arms.values()]
    return [*lines, _left(waiting, at_once(list(arms.values())))]


def _known(runs: Mapping[Key, TrainingRun], kept: Path) -> dict[Key, TrainedRun]:
    """The kept ones of runs that are compared, as far as this machine can finish their comparison."""
    there = {key: done for key, run in runs.items() if (done := taken_up(kept, run)) is not None}
    return comparable(runs, there)


def _cells(profile: Profile, folder: Path, inputs: Inputs) -> Iterator[tuple[str, dict[Key, TrainingRun]]]:
    """The runs of each cell and seed of the profile's grid, in the order in which they are made."""
    shapes = grid_shapes(profile.scaling, profile.model, profile.training)
    for seed, ((size, steps), (model, training)) in product(profile.training.training_seeds, shapes.items()):
        yield f"seed {seed}, hidden size {size}, {steps} steps", {
            (arm, seed): run_of_arm(weights, seed, model, profile.tokens, training, inputs).keyed(
                folder, f"{arm}-seed{seed}")
            for arm, weights in training.arms.items()
        }


def _lines(label: str, states: Mapping[str, "_State"]) -> list[str]:
    """What has begun of runs that are compared, by arm: one line where they stand alike."""
    told = {arm: str(state) for arm, state in states.items() if state.saved}
    if len(told) == len(states) > 1 and len(set(told.values())) == 1:
        return [f"  {label}: all {len(told)} runs: {next(iter(told.values()))}"]
    return [f"  {label}, {arm}: {text}" for arm, text in told.items()]


def _within_minutes(plan: Plan, states: dict[Key, "_State"]) -> dict[Key, "_State"]:
    """Without the seeds that do not fit, which is known once the first one is done."""
    done = [states[key].done for key in plan.begun]
    curves = [run.metrics()["seconds"].tolist() for run in done if run is not None]
    kept = plan.budget(curves).kept if len(curves) == len(done) else plan.seeds
    return {key: state for key, state in states.items() if key[1] in kept}


@dataclass(frozen=True)
class _State:
    """How far a run is: the steps that a kill would not lose, of how many, its model's size, and the median seconds of
    a step."""

    saved: int
    steps: int
    parameters: int
    seconds: float | None
    done: TrainedRun | None

    @classmethod
    def of(cls, run: TrainingRun, kept: TrainedRun | None) -> "_State":
        steps, size, done = run.training.train_steps, layer_parameters(run.model), finished(run) or kept
        if done is not None:
            return cls(steps, steps, size, float(done.metrics()["seconds"].median()), done)
        newest = next((one for one in checkpoints(run.folder / "checkpoints") if _is_there(one)), None)
        if newest is None:
            return cls(0, steps, size, None, None)
        return cls(newest.step, steps, size, _seconds(newest.folder / METRICS_FILE), None)

    def __str__(self) -> str:
        if self.done is None:
            return f"step {self.saved} of {self.steps} is saved"
        if self.done.is_here:
            return "done"
        return f"done and kept, made on {self.done.processor}; its scored rows are taken up"


def _is_there(checkpoint: Checkpoint) -> bool:
    """Whether every file of a checkpoint is there; whether it is unaltered, training asks."""
    try:
        return all((checkpoint.folder / name).is_file() for name in checkpoint.manifest()["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _seconds(metrics: Path) -> float | None:
    """Median seconds of a step; None where the steps are not told."""
    try:
        return statistics.median(row["seconds"] for row in read_jsonl(metrics))
    except (OSError, HareError, statistics.StatisticsError):
        return None


def _left(states: list[_State], together: int) -> str:
    waiting = [state for state in states if state.done is None]
    seconds = [state.seconds / state.parameters for state in states if state.seconds is not None]
    if not waiting:
        return "  runs: nothing is left"
    if not seconds:
        return f"  runs: {len(waiting)} left; how long they take is known once one has begun"
    work = sum((state.steps - state.saved) * state.parameters for state in waiting)
    hours = work * statistics.median(seconds) / together / 3600
    return f"  runs: {len(waiting)} left, some {hours:.1f} hours of training, {together} side by side"

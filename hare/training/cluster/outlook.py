"""Which of a profile's runs are done, which have begun, and how long the rest will take, read from files."""

import statistics
from dataclasses import dataclass

from hare.core.files import read_jsonl
from hare.core.manifest import read_manifest
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.training.budget import Key, Plan
from hare.training.checkpoints import checkpoints
from hare.training.inputs import Inputs
from hare.training.kept import KEPT_FOLDER, comparable, taken_up
from hare.training.run import METRICS_FILE, TrainedRun, TrainingRun, finished
from hare.training.study import PARITY, study_runs


def outlook(profile: Profile) -> list[str]:
    """One line per run of the arms that has begun, and what is left in runs and hours; before notebook 04 has run,
    only that, and how many are kept."""
    workspace = Workspace(profile.name)
    kept = workspace.results / "training" / KEPT_FOLDER
    if read_manifest(workspace, "tokens") is None:
        there = sum(1 for _ in kept.glob("*/scores.parquet"))
        taken = f"; {there} kept, taken up by notebook 05 once its tokens are the same" if there else ""
        return [f"  runs: none can begin before notebook 04 has run{taken}"]
    runs = study_runs(
        workspace.work / "training" / "runs", profile.model, profile.tokens, profile.training,
        Inputs.of(workspace.work / "tokens"),
    )
    arms = {key: run for key, run in runs.items() if key[0] != PARITY}
    elsewhere = {key: done for key, run in arms.items() if (done := taken_up(kept, run)) is not None}
    known = comparable(arms, elsewhere)
    states = {key: _State.of(run, known.get(key)) for key, run in arms.items()}
    if profile.training.training_minutes:
        states = _within_minutes(
            Plan(profile.training.training_minutes, profile.training.training_seeds, arms, known), states)
    lines = [f"  {f'{arm}, seed {seed}':<12} {state}" for (arm, seed), state in states.items() if state.saved]
    return [*lines, _left(list(states.values()), profile.training.runs_at_once)]


def _within_minutes(plan: Plan, states: dict[Key, "_State"]) -> dict[Key, "_State"]:
    """Without the seeds that do not fit, which is known once the first one is done."""
    done = [states[key].done for key in plan.begun]
    curves = [run.metrics()["seconds"].tolist() for run in done if run is not None]
    kept = plan.budget(curves).kept if len(curves) == len(done) else plan.seeds
    return {key: state for key, state in states.items() if key[1] in kept}


@dataclass(frozen=True)
class _State:
    """How far a run is: the steps that a kill would not lose, of how many, and the median seconds of a step."""

    saved: int
    steps: int
    seconds: float | None
    done: TrainedRun | None

    @classmethod
    def of(cls, run: TrainingRun, kept: TrainedRun | None) -> "_State":
        steps, done = run.training.train_steps, finished(run) or kept
        if done is not None:
            return cls(steps, steps, float(done.metrics()["seconds"].median()), done)
        newest = next(iter(checkpoints(run.folder / "checkpoints")), None)
        if newest is None:
            return cls(0, steps, None, None)
        seconds = statistics.median(row["seconds"] for row in read_jsonl(newest.folder / METRICS_FILE))
        return cls(newest.step, steps, seconds, None)

    def __str__(self) -> str:
        if self.done is None:
            return f"step {self.saved} of {self.steps} is saved"
        if self.done.is_here:
            return "done"
        return f"done elsewhere, on {self.done.processor}; its scored rows are taken up"


def _left(states: list[_State], together: int) -> str:
    waiting = [state for state in states if state.done is None]
    seconds = [state.seconds for state in states if state.seconds is not None]
    if not waiting:
        return "  runs: nothing is left"
    if not seconds:
        return f"  runs: {len(waiting)} left; how long they take is known once one has begun"
    hours = sum(state.steps - state.saved for state in waiting) * statistics.median(seconds) / together / 3600
    return f"  runs: {len(waiting)} left, some {hours:.1f} hours of training, {together} side by side"

"""A number of minutes for the study's training, as on a GPU that is paid by the minute: whole seeds are left out.

The first 20 seconds of the first seed's runs say what a seed takes, and with it how many fit. Those steps stay in the
curves of the runs, so that the same command again keeps the same seeds.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hare.core.errors import HareError
from hare.core.files import read_jsonl
from hare.training.launch import at_once, train_all
from hare.training.run import METRICS_FILE, TrainedRun, TrainingRun

MEASURED = 20.0  # seconds of steps
_SECONDS_BETWEEN_LOOKS = 1.0
Key = tuple[str, int]  # arm and seed


@dataclass(frozen=True)
class Budget:
    """What was planned and measured. The first ``kept_anyway`` seeds are in results/ already and cost nothing."""

    minutes: float
    seeds: tuple[int, ...]
    seconds_per_seed: float
    kept_anyway: int

    @property
    def kept(self) -> tuple[int, ...]:
        """The first seeds, as many as fit into the minutes."""
        return self.seeds[: max(self.kept_anyway, int(self.minutes * 60 / self.seconds_per_seed))]

    def checked(self) -> "Budget":
        """The same.

        Raises:
            HareError: not even the first seed fits.
        """
        if not self.kept:
            raise HareError(
                f"One seed of every arm takes {self.seconds_per_seed / 60:.1f} minutes of training, and "
                f"training.training_minutes is {self.minutes:g}.",
                "raise training.training_minutes, or lower training.train_steps or the number of training.arms",
            )
        return self

    def metrics(self) -> dict[str, float]:
        """Minutes allowed, seconds that a seed takes as measured, seeds planned and kept."""
        return {
            "budget.minutes": self.minutes, "budget.seconds_per_seed": self.seconds_per_seed,
            "budget.seeds_planned": float(len(self.seeds)), "budget.seeds_kept": float(len(self.kept)),
        }


@dataclass(frozen=True)
class Plan:
    """Runs by arm and seed, the minutes they may take, and those of them that results/ holds already."""

    minutes: float
    seeds: tuple[int, ...]
    runs: Mapping[Key, TrainingRun]
    taken_up: Mapping[Key, TrainedRun]

    @property
    def first(self) -> dict[Key, TrainingRun]:
        """The first seed's runs."""
        return {key: run for key, run in self.runs.items() if key[1] == self.seeds[0]}

    @property
    def begun(self) -> list[Key]:
        """The runs that start at once, side by side, when nothing is trained yet."""
        return list(self.first)[: at_once(list(self.first.values()))]

    def budget(self, curves: Sequence[Sequence[float]]) -> Budget:
        """The budget by the curves of the runs that `begun` names: seconds of each step."""
        step = float(np.median([seconds for curve in curves for seconds in measured(curve)]))
        steps = sum(run.training.train_steps for run in self.first.values())
        absent = [seed for _, seed in self.runs.keys() - self.taken_up.keys()]
        anyway = min((self.seeds.index(seed) for seed in absent), default=len(self.seeds))
        return Budget(self.minutes, self.seeds, steps * step / len(curves), anyway)


def measured(seconds: Sequence[float]) -> list[float]:
    """Steps of the first 20 seconds of a run, behind the first one, which compiles; all there are of a shorter run."""
    steps = list(seconds[1:] or seconds)
    before = np.cumsum([0.0, *steps[:-1]])
    return [step for step, passed in zip(steps, before, strict=True) if passed < MEASURED]


def budget_within(plan: Plan) -> Budget:
    """Train what is missing of the first seed, and measure meanwhile how many seeds fit into the minutes; starting up,
    validation and checkpoints are not counted.

    Raises:
        HareError: not even the first seed fits, said as soon as 20 seconds have been measured; what has been trained
            until then stays.
    """
    missing = [key for key in plan.first if key not in plan.taken_up]
    finished = train_all([plan.first[key] for key in missing], _Look(plan))
    trained = {**plan.taken_up, **dict(zip(missing, finished, strict=True))}
    return plan.budget([trained[key].metrics()["seconds"].tolist() for key in plan.begun]).checked()


class _Look:
    """Called while the first seed trains: says what fits once every run that began at the start has been measured."""

    def __init__(self, plan: Plan):
        self.plan, self._next, self._shown = plan, 0.0, False
        self.curves = [plan.first[key].folder / METRICS_FILE for key in plan.begun]

    def __call__(self) -> None:
        if self._shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        if not all(path.exists() for path in self.curves):
            return
        curves = [[row["seconds"] for row in read_jsonl(path)] for path in self.curves]
        if all(sum(curve[1:]) >= MEASURED for curve in curves):
            budget, self._shown = self.plan.budget(curves).checked(), True
            print(
                f"One seed takes {budget.seconds_per_seed:.0f} s: {len(budget.kept)} of {len(budget.seeds)} fit into "
                f"{budget.minutes:g} minutes.", flush=True,
            )

"""Tables of scores and of paired differences between arms, each number with its interval."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hare.benchmarks.registry import answered_by_letter
from hare.core.errors import HareError
from hare.core.statistics import Draws, Spread, estimate, holm, share, verdict

AVERAGE = "average"  # the leaderboard's: the plain mean over benchmarks; in bits per byte without answers by letter
SHARES = ("score", "acc", "acc_norm")
MEASURES = (*SHARES, "bpb", "margin")
COMPARED = ("score", "bpb", "margin")
_AVERAGED = ("score", "bpb", "margin")
_LOWER_IS_BETTER = ("bpb",)

ByBenchmark = dict[str, np.ndarray]  # benchmark → float[seeds, items]


@dataclass(frozen=True)
class Answers:
    """What arms answered to the same items with the same seeds: ``values[measure][arm][benchmark]``, and draws."""

    values: dict[str, dict[str, ByBenchmark]]
    draws: Draws

    @classmethod
    def of(cls, items: pd.DataFrame, resamples: int, seed: int) -> "Answers":
        """Collect rows of `hare.evaluation.scores.item_scores`, one per item, arm and seed.

        Raises:
            HareError: an arm lacks an item or a seed that another one has.
        """
        items = items.sort_values(["task", "item"], kind="stable")
        _check_paired(items)
        values: dict[str, dict[str, ByBenchmark]] = {measure: {} for measure in MEASURES if measure in items}
        for (benchmark, arm), rows in items.groupby(["benchmark", "arm"], sort=False):
            for measure, by_arm in values.items():
                if rows[measure].notna().all():
                    by_seed = [column.to_numpy() for _, column in rows.groupby("seed", dropna=False)[measure]]
                    by_arm.setdefault(arm, {})[benchmark] = np.stack(by_seed)
        by_arms = [by_benchmark for by_arm in values.values() for by_benchmark in by_arm.values()]
        shapes = {name: grid.shape for by_benchmark in by_arms for name, grid in by_benchmark.items()}
        return cls(values, Draws.make({name: shape[1] for name, shape in shapes.items()}, resamples, seed))

    def resampled(self, by_benchmark: ByBenchmark) -> np.ndarray:
        """Resampled plain means over the benchmarks of ``by_benchmark``, float[resamples]."""
        return np.mean([self.draws.means(benchmark, values) for benchmark, values in by_benchmark.items()], axis=0)

    def seed_means(self, measure: str, benchmarks: Iterable[str]) -> np.ndarray:
        """Each arm's mean with each seed, plain over ``benchmarks``: float[arms, seeds]."""
        by_arm = self.values[measure].values()
        return np.array([np.mean([scores[name].mean(axis=1) for name in benchmarks], axis=0) for scores in by_arm])


def score_table(items: pd.DataFrame, resamples: int, seed: int) -> pd.DataFrame:
    """Every measure of every arm on every benchmark, and in average.

    Columns: benchmark, arm, measure, value, low, high (95 %), chance (what guessing scores), items, seeds.
    """
    chances = items.groupby("benchmark")["chance"].mean()
    rows = []
    for _, group in items.groupby(items["arm"].map(_item_sets(items)), sort=False):
        answers = Answers.of(group, resamples, seed)
        for measure, by_arm in answers.values.items():
            for arm in by_arm:
                rows += _scored(answers, measure, arm, chances)
    return pd.DataFrame(rows)


def difference_table(items: pd.DataFrame, arms: list[str], resamples: int, seed: int) -> pd.DataFrame:
    """Paired differences between all pairs of ``arms``, later minus earlier, on every benchmark and in average.

    Columns: benchmark, arm, baseline, measure, difference, low, high (95 %), minimum_detectable_effect (with 80 %
    power, from as many items and seeds), p, p_holm (corrected over pairs and benchmarks), verdict, items, seeds.
    """
    answers = Answers.of(items[items["arm"].isin(arms)], resamples, seed)
    rows = []
    for measure, (baseline, arm) in itertools.product(COMPARED, itertools.combinations(arms, 2)):
        rows += _differences(answers, measure, arm, baseline)
    return _judged(pd.DataFrame(rows))


def difference_metrics(differences: pd.DataFrame) -> dict[str, int]:
    """How many rows of a `difference_table` survive correction, ``differences_seen``; and how many of these are in the
    bits of an answer that is a letter, ``differences_seen.letters``, where a benchmark is answered by letter."""
    seen = differences["verdict"] != "no difference seen"
    names = [name for name in differences["benchmark"].unique() if name != AVERAGE and answered_by_letter(name)]
    of_letters = differences["benchmark"].isin(names) & ~differences["measure"].isin(SHARES)
    letters = {"differences_seen.letters": int((seen & of_letters).sum())} if names else {}
    return {"differences_seen": int(seen.sum()), **letters}


def flat_metrics(scores: pd.DataFrame, prefix: str = "") -> dict[str, float]:
    """``<prefix><benchmark>.<arm>.<measure>`` with ``.low`` and ``.high``, and ``.items``, for the record."""
    metrics: dict[str, float] = {}
    for row in scores.itertuples():
        name = f"{prefix}{row.benchmark}.{row.arm}"
        metrics |= {f"{name}.{row.measure}": row.value, f"{name}.{row.measure}.low": row.low}
        metrics |= {f"{name}.{row.measure}.high": row.high, f"{name}.items": row.items}
    return metrics


def _check_paired(items: pd.DataFrame) -> None:
    asked = items.groupby(["benchmark", "arm", "seed"], dropna=False)[["task", "item"]].apply(
        lambda rows: tuple(rows.itertuples(index=False, name=None))
    )
    by_arm = asked.reset_index(name="asked").groupby("arm")[["benchmark", "seed", "asked"]].apply(
        lambda rows: tuple(rows.fillna(-1).itertuples(index=False, name=None))
    )
    seeds = items.groupby(["benchmark", "arm"])["seed"].nunique(dropna=False)
    if by_arm.nunique() > 1 or asked.groupby("benchmark").nunique().max() > 1 or seeds.nunique() > 1:
        raise HareError(
            "The arms did not all answer the same items with the same seeds.",
            "evaluate all arms from one profile, after all of them have been trained with the same seeds",
        )


def _item_sets(items: pd.DataFrame) -> dict[str, int]:
    """A number for each arm, the same for arms that answered the same items: only these can be paired."""
    asked = {arm: frozenset(zip(rows["task"], rows["item"], strict=True)) for arm, rows in items.groupby("arm")}
    distinct = list(dict.fromkeys(asked.values()))
    return {arm: distinct.index(asked_items) for arm, asked_items in asked.items()}


def _scored(answers: Answers, measure: str, arm: str, chances: pd.Series) -> list[dict[str, Any]]:
    rows = []
    for benchmark, by_benchmark in _with_average(answers.values[measure][arm], measure):
        seeds = Spread.of_scores(answers.seed_means(measure, by_benchmark))
        arrays, means = list(by_benchmark.values()), answers.resampled(by_benchmark)
        single_share = measure in SHARES and benchmark != AVERAGE
        result = share(arrays[0], means, seeds) if single_share else estimate(arrays, means, seeds)
        chance = chances[list(by_benchmark)].mean() if measure in SHARES else np.nan
        rows.append({
            "arm": arm, "measure": measure, "benchmark": benchmark, "value": result.value, "low": result.low,
            "high": result.high, "chance": chance, **_counted(by_benchmark),
        })
    return rows


def _differences(answers: Answers, measure: str, arm: str, baseline: str) -> list[dict[str, Any]]:
    minuend, subtrahend = (answers.values.get(measure, {}).get(name, {}) for name in (arm, baseline))
    differences = {benchmark: minuend[benchmark] - subtrahend[benchmark] for benchmark in minuend}
    who = {"arm": arm, "baseline": baseline, "measure": measure}
    rows = []
    for benchmark, by_benchmark in _with_average(differences, measure):
        seeds = Spread.of_differences(answers.seed_means(measure, by_benchmark))
        result = estimate(list(by_benchmark.values()), answers.resampled(by_benchmark), seeds)
        rows.append({**who, "benchmark": benchmark, "estimate": result, **_counted(by_benchmark)})
    return rows


def _with_average(by_benchmark: ByBenchmark, measure: str) -> Iterable[tuple[str, ByBenchmark]]:
    """Each benchmark by itself, then the average: of all for the leaderboard's score; in bits per byte of those whose
    answers are texts, since the bits of a letter tell which letter a model prefers, not what it knows."""
    yield from ((benchmark, {benchmark: values}) for benchmark, values in by_benchmark.items())
    averaged = {
        benchmark: values for benchmark, values in by_benchmark.items()
        if measure in SHARES or not answered_by_letter(benchmark)
    }
    if averaged and measure in _AVERAGED:
        yield AVERAGE, averaged


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Spell out the estimates; correct p-values over benchmarks and pairs, for each measure, averages apart."""
    rows = rows.reset_index(drop=True)
    rows["p"] = [result.p for result in rows["estimate"]]
    families = rows.groupby(["measure", rows["benchmark"] == AVERAGE], sort=False)["p"]
    rows["p_holm"] = families.transform(lambda p: holm(list(p)))
    for name in ("low", "high", "minimum_detectable_effect"):
        rows[name] = [getattr(result, name) for result in rows["estimate"]]
    rows["difference"] = [result.value for result in rows["estimate"]]
    rows["verdict"] = [
        verdict(row.estimate, row.p_holm, row.measure not in _LOWER_IS_BETTER) for row in rows.itertuples()
    ]
    return rows[["benchmark", "arm", "baseline", "measure", "difference", "low", "high", "minimum_detectable_effect",
                 "p", "p_holm", "verdict", "items", "seeds"]]


def _counted(by_benchmark: ByBenchmark) -> dict[str, int]:
    return {"items": sum(v.shape[1] for v in by_benchmark.values()), "seeds": len(next(iter(by_benchmark.values())))}

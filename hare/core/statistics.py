"""Intervals, paired differences and verdicts, over items and training seeds at once.

Arms answer the same items and share their seeds, so differences are taken item by item and seed by seed before
averaging. Two sources of variance add up. Items are resampled: of n, n - 1 are drawn with replacement,
which keeps the variance unbiased (Rao and Wu 1988). Seeds are a random effect; two or three of them estimate
their spread poorly, so it is pooled over the arms, as in an analysis of variance, and intervals and p-values are
Student's with Satterthwaite's degrees of freedom: few where the seeds make the difference, many where the items do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest, norm, t

COVERAGE = 0.95
POWER = 0.8
_NORMAL_BOUND = float(norm.ppf(0.5 + COVERAGE / 2))


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, its standard error with degrees of freedom, and a two-sided p-value for 0."""

    value: float
    low: float
    high: float
    error: float
    degrees_of_freedom: float

    @property
    def p(self) -> float:
        """Probability of a mean this far from 0 if the true one were 0; 1 where nothing varied."""
        return float(2 * t.sf(abs(self.value) / self.error, self.degrees_of_freedom)) if self.error > 0 else 1.0

    @property
    def minimum_detectable_effect(self) -> float:
        """Smallest true difference that a two-sided test at 5 % finds with 80 % power, with as many items and seeds.

        NaN where nothing varied, which says nothing about what could be found.
        """
        detected = t.ppf(0.5 + COVERAGE / 2, self.degrees_of_freedom) + t.ppf(POWER, self.degrees_of_freedom)
        return float(detected) * self.error if self.error > 0 else math.nan


@dataclass(frozen=True)
class Spread:
    """Variance of a mean over training seeds, with its degrees of freedom; a single seed shows none."""

    variance: float = 0.0
    degrees_of_freedom: float = math.inf

    @classmethod
    def of_scores(cls, seed_means: np.ndarray) -> "Spread":
        """Spread of one arm's mean, pooled over arms; ``seed_means`` is float[arms, seeds].

        Runs of one seed start alike, so what a seed does to all arms is seen as often as there are seeds, not runs.
        """
        arms, seeds = seed_means.shape
        if seeds == 1:
            return cls()
        shared = float(seed_means.mean(axis=0).var(ddof=1))
        single = float((_unexplained(seed_means) ** 2).sum()) / arms / (seeds - 1)
        squares = shared**2 / (seeds - 1) + (single**2 / (arms - 1) / (seeds - 1) if arms > 1 else 0.0)
        return cls((shared + single) / seeds, (shared + single) ** 2 / squares if squares > 0 else math.inf)

    @classmethod
    def of_differences(cls, seed_means: np.ndarray) -> "Spread":
        """Spread of the difference between two arms' means, from ``seed_means``, float64[arms, seeds].

        It is the variance of the interaction: what the effects of arms and seeds leave unexplained.
        """
        arms, seeds = seed_means.shape
        degrees_of_freedom = (arms - 1) * (seeds - 1)
        if degrees_of_freedom == 0:
            return cls()
        squares = float((_unexplained(seed_means) ** 2).sum())
        return cls(2 * squares / degrees_of_freedom / seeds, degrees_of_freedom)


def _unexplained(seed_means: np.ndarray) -> np.ndarray:
    """What effects of arms and of seeds leave of means, float64[arms, seeds]."""
    return seed_means - seed_means.mean(axis=0) - seed_means.mean(axis=1, keepdims=True) + seed_means.mean()


@dataclass(frozen=True)
class Draws:
    """Bootstrap weights of items, float[resamples, items] by benchmark, the same for all arms; rows sum to 1."""

    weights: dict[str, np.ndarray]

    @classmethod
    def make(cls, items: dict[str, int], resamples: int, seed: int) -> "Draws":
        """Draw ``resamples`` times from the given numbers of items."""
        rngs = {name: np.random.default_rng([seed, *name.encode()]) for name in items}
        return cls({name: _weights(rngs[name], count, resamples) for name, count in items.items()})

    def means(self, benchmark: str, values: np.ndarray) -> np.ndarray:
        """Resampled means, float[resamples], of values float[seeds, items]."""
        return self.weights[benchmark] @ values.mean(axis=0)


def _weights(rng: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    if count == 1:
        return np.ones((resamples, 1))
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=resamples) / (count - 1)


def estimate(values: Sequence[np.ndarray], means: np.ndarray, seeds: Spread) -> Estimate:
    """The plain mean over benchmarks of the means of ``values``, each float[seeds, items].

    ``means``, float64[draws], are resampled over items. The interval is their percentile interval, stretched from the
    spread over items to that over items and seeds, and from the normal's width to Student's.
    """
    value, over_items = float(np.mean([by_seed.mean() for by_seed in values])), float(means.std(ddof=1))
    error = math.hypot(over_items, math.sqrt(seeds.variance))
    degrees_of_freedom = _degrees_of_freedom(values, seeds)
    bound = float(t.ppf(0.5 + COVERAGE / 2, degrees_of_freedom))
    if over_items == 0:
        return Estimate(value, value - bound * error, value + bound * error, error, degrees_of_freedom)
    low, high = np.quantile(means, [0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2]) - value
    stretch = error / over_items * bound / _NORMAL_BOUND
    return Estimate(value, value + min(0.0, stretch * low), value + max(0.0, stretch * high), error, degrees_of_freedom)


def _degrees_of_freedom(values: Sequence[np.ndarray], seeds: Spread) -> float:
    """Degrees of freedom of the sum of the variance over seeds and, per benchmark, over items (Satterthwaite 1946)."""
    by_item = [by_seed.mean(axis=0) for by_seed in values if by_seed.shape[1] > 1]
    parts = [(part.var(ddof=1) / len(part) / len(values) ** 2, len(part) - 1) for part in by_item]
    parts.append((seeds.variance, seeds.degrees_of_freedom))
    spread = sum(variance**2 / degrees_of_freedom for variance, degrees_of_freedom in parts)
    return float(sum(variance for variance, _ in parts) ** 2 / spread) if spread > 0 else math.inf


def share(values: np.ndarray, means: np.ndarray, seeds: Spread) -> Estimate:
    """As `estimate`, for the share of items that are right: between 0 and 1.

    ``values``: float64[seeds, items], 0 or 1; ``means``: float64[draws], resampled. Where none or all are right,
    resampling shows no variance, and the bounds are Wilson's.
    """
    estimated, items = estimate([values], means, seeds), values.shape[1]
    if 0 < estimated.value < 1:
        return replace(estimated, low=max(0.0, estimated.low), high=min(1.0, estimated.high))
    low, high = wilson_interval(items if estimated.value else 0, items)
    return replace(estimated, low=low, high=high, error=(high - low) / (2 * _NORMAL_BOUND))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which also holds at 0 and 1; 0 to 1 when there were no trials."""
    if trials == 0:
        return 0.0, 1.0
    interval = binomtest(int(successes), int(trials)).proportion_ci(COVERAGE, method="wilson")
    return float(interval.low), float(interval.high)


def holm(p: list[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given.

    Raises:
        ValueError: one of them is not a number, so that their order is not known.
    """
    if any(math.isnan(value) for value in p):
        raise ValueError(f"p-values that are not numbers cannot be corrected: {p}")
    corrected, largest = [0.0] * len(p), 0.0
    for rank, number in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[number]))
        corrected[number] = largest
    return corrected


def verdict(difference: Estimate, corrected_p: float, higher_is_better: bool) -> str:
    """What a paired difference says, in words."""
    if corrected_p >= 1 - COVERAGE:
        return "no difference seen"
    return "better" if (difference.value > 0) == higher_is_better else "worse"

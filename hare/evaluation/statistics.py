"""Intervals, paired differences and verdicts, over items and training seeds at once.

Arms answer the same items and share their seeds, so that differences are taken item by item and seed by seed before
anything is averaged. Items and seeds are then resampled independently of each other (Owen 2007, the pigeonhole
bootstrap), seeds as a random effect: of n rows or columns n - 1 are drawn with replacement, which keeps the variance
unbiased also for the two or three seeds that anyone can afford (Rao and Wu 1988).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

COVERAGE = 0.95
POWER = 0.8
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, its standard error and the probability of one as far from 0 were there none."""

    value: float
    low: float
    high: float
    error: float
    p: float

    @property
    def resolvable(self) -> float:
        """Smallest true difference that as many items and seeds find four times in five, two-sided at 5 %.

        NaN where nothing varied, which says nothing about what could be found.
        """
        detected = _NORMAL.inv_cdf(0.5 + COVERAGE / 2) + _NORMAL.inv_cdf(POWER)
        return detected * self.error if self.error > 0 else math.nan


@dataclass(frozen=True)
class Draws:
    """Bootstrap weights of items and seeds; the same draws for all arms make their comparison a paired one.

    ``items`` maps a benchmark to float[resamples, items], ``seeds`` is float[resamples, seeds]; rows sum to 1.
    """

    items: dict[str, np.ndarray]
    seeds: np.ndarray

    @classmethod
    def make(cls, items: dict[str, int], seeds: int, resamples: int, seed: int) -> "Draws":
        """Draw ``resamples`` times from the given numbers of items and of training seeds."""
        weights = {
            name: _weights(np.random.default_rng([seed, *name.encode()]), count, resamples)
            for name, count in items.items()
        }
        return cls(weights, _weights(np.random.default_rng([seed]), seeds, resamples))

    def means(self, benchmark: str, values: np.ndarray) -> np.ndarray:
        """Resampled means, float[resamples], of values float[seeds, items]; a model without seeds has one row."""
        by_seed = self.items[benchmark] @ values.T
        return by_seed[:, 0] if len(values) == 1 else (by_seed * self.seeds).sum(axis=1)


def _weights(rng: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    if count == 1:
        return np.ones((resamples, 1))
    return rng.multinomial(count - 1, np.full(count, 1 / count), size=resamples) / (count - 1)


def estimate(value: float, means: np.ndarray) -> Estimate:
    """Percentile interval from resampled means, and a two-sided p-value for 0 that is never less than they can show."""
    low, high = np.quantile(means, [0.5 - COVERAGE / 2, 0.5 + COVERAGE / 2])
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (beyond + 1) / (len(means) + 1))
    return Estimate(value, float(low), float(high), float(means.std(ddof=1)), float(p))


def share(value: float, means: np.ndarray, items: int) -> Estimate:
    """As `estimate`, for a share of items; none or all of them right leaves nothing to resample, so Wilson's bounds."""
    found = estimate(value, means)
    if 0 < value < 1:
        return found
    z = _NORMAL.inv_cdf(0.5 + COVERAGE / 2)
    width = z * z / (items + z * z)
    low, high = (0.0, width) if value == 0 else (1 - width, 1.0)
    return Estimate(value, low, high, width / (2 * z), found.p)


def holm(p: list[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(p), 0.0
    for rank, number in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[number]))
        corrected[number] = largest
    return corrected


def verdict(difference: Estimate, corrected_p: float, higher_is_better: bool) -> str:
    """What a paired difference says, in words; a difference of 0 in every resample is no difference."""
    if corrected_p >= 1 - COVERAGE or math.isclose(difference.low, difference.high):
        return "no difference seen"
    return "better" if (difference.value > 0) == higher_is_better else "worse"

"""Losses of several arms on the same text: bits per byte with intervals, and paired differences.

All arms see the same sequences, and runs of one seed start from the same weights, so differences are paired by
sequence and by seed. Intervals are those of `hare.core.statistics`: sequences are resampled within each category, and
seeds are a random effect. The bits per byte of an arm are the mean over categories, so that a large category does not
drown the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import t

from hare.core.errors import HareError
from hare.core.statistics import COVERAGE, Draws, Estimate, Spread, estimate
from hare.training.run import TrainedRun

RESAMPLES = 2000
MOST_POINTS = 500  # of a run's curve: what its figure smooths anyway would be most of a night's record


def heldout_table(arms: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """All validations: arm, seed, step, tokens, category, sequence, nats, bytes."""
    frames = []
    for (arm, seed), trained in arms.items():
        per_step = trained.run.global_batch * trained.run.mixture.sequence_length
        frame = trained.heldout()
        frames.append(frame.assign(arm=arm, seed=seed, tokens=frame["step"] * per_step))
    return pd.concat(frames)[["arm", "seed", "step", "tokens", "category", "sequence", "nats", "bytes"]]


def bits(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Bits per byte of each group, as column ``bits_per_byte``."""
    sums = frame.groupby(by, sort=False)[["nats", "bytes"]].sum()
    return (sums["nats"] / sums["bytes"] / np.log(2)).rename("bits_per_byte").reset_index()


def curve_table(heldout: pd.DataFrame, tables: Mapping[str, float]) -> pd.DataFrame:
    """Bits per byte along training, mean over categories and seeds: arm, tokens, bits_per_byte, low, high (95 %,
    Student's, over seeds; none of one seed).

    ``tables`` are those of n-gram tables on the same sequences, which follow as rows with no tokens and no interval.
    """
    of_runs = bits(heldout, ["arm", "tokens", "seed", "category"]).groupby(["arm", "tokens", "seed"], sort=False)
    over_seeds = of_runs["bits_per_byte"].mean().groupby(["arm", "tokens"], sort=False)
    mean, count = over_seeds.mean(), over_seeds.count()
    half = t.ppf((1 + COVERAGE) / 2, count - 1) * over_seeds.std() / np.sqrt(count)
    means = pd.DataFrame({"bits_per_byte": mean, "low": mean - half, "high": mean + half}).reset_index()
    rows = [{"arm": name, "tokens": 0, "bits_per_byte": value} for name, value in tables.items()]
    return pd.concat([means, pd.DataFrame(rows)], ignore_index=True) if rows else means


@dataclass(frozen=True)
class PairedLosses:
    """What several arms' runs, each with the same seeds, said of the same held-out sequences.

    ``bits`` holds for each category float[arms, seeds, sequences], whose mean over sequences is the category's bits per
    byte and whose spread is what a sequence adds to its error: the ratio of sums, linearised (Cochran 1977). ``drawn``
    is float[RESAMPLES, arms, seeds]: bits per byte, mean over categories, with sequences resampled.
    """

    bits: dict[str, np.ndarray]
    drawn: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, arms: list[str]) -> "PairedLosses":
        """Of one validation's rows in a `heldout_table`; ``arms`` says the order.

        Raises:
            HareError: a run of one of the arms lacks a seed, or a sequence that others have, or has another in its
                place.
        """
        seeds = sorted(frame["seed"].unique())
        bits, drawn = {}, []
        counts = {name: part["sequence"].nunique() for name, part in frame.groupby("category")}
        weights = Draws.make(counts, RESAMPLES, seed=0).weights
        for name, part in frame.groupby("category"):
            if part.groupby("sequence")["bytes"].nunique().max() > 1:
                raise HareError(f"Runs of one comparison were read on different texts of {name}.",
                                "score all of them on the same texts: delete what is kept of the older runs under "
                                "results/<profile>/training/runs, and run notebook 05 again")
            size = part.groupby("sequence")["bytes"].first().to_numpy()
            nats = part.pivot_table(index=["arm", "seed"], columns="sequence", values="nats")
            grid = nats.reindex(pd.MultiIndex.from_product([arms, seeds])).to_numpy().reshape(len(arms), len(seeds), -1)
            if np.isnan(grid).any():
                by_run = zip(product(arms, seeds), np.isnan(grid).any(axis=-1).flat, strict=True)
                lacking = [f"{arm}-seed{seed}" for (arm, seed), lacks in by_run if lacks]
                raise HareError(f"Runs that lack texts which others of their comparison have: {', '.join(lacking)}.",
                                "train and score every arm with the same seeds, on the same texts")
            each, size = grid / size.mean() / np.log(2), size / size.mean()
            ratio = each.mean(axis=-1, keepdims=True)
            bits[name] = ratio + each - ratio * size
            drawn.append(np.einsum("rn,asn->ras", weights[name], each) / (weights[name] @ size)[:, None, None])
        return cls(bits, np.mean(drawn, axis=0))

    @property
    def seed_means(self) -> np.ndarray:
        """Bits per byte, mean over categories: float[arms, seeds]."""
        return np.mean([values.mean(axis=-1) for values in self.bits.values()], axis=0)

    def spread_of_differences(self) -> Spread:
        """Spread over seeds of the mean difference between two arms, pooled over all of them."""
        return Spread.of_differences(self.seed_means)

    def score(self, arm: int) -> Estimate:
        """Bits per byte of one arm."""
        values = [values[arm] for values in self.bits.values()]
        return estimate(values, self.drawn[:, arm].mean(axis=-1), Spread.of_scores(self.seed_means))

    def difference(self, arm: int, base: int) -> Estimate:
        """Bits per byte of one arm minus another's."""
        values = [values[arm] - values[base] for values in self.bits.values()]
        drawn = (self.drawn[:, arm] - self.drawn[:, base]).mean(axis=-1)
        return estimate(values, drawn, Spread.of_differences(self.seed_means) if arm != base else Spread())


def summary(arms: Mapping[tuple[str, int], TrainedRun]) -> dict[str, float]:
    """How many arms, seeds and tokens, and how fast each run was (median tokens per second)."""
    some = next(iter(arms.values()))
    names = {arm for arm, _ in arms}
    speeds = [speed for trained in arms.values() for speed in trained.metrics()["tokens_per_s"]]
    return {
        "arms": len(names), "seeds_per_arm": len(arms) / len(names), "tokens_per_run": some.run.tokens,
        "tokens_per_s": float(np.median(speeds)),
    }


def run_table(arms: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """One row per run: arm, seed, steps, tokens, seconds, tokens_per_s (median), training_loss, bits_per_byte,
    processor.

    The training loss is the mean of the last tenth of the steps, in nats per token; bits per byte are of the held-out
    text, mean over categories.
    """
    rows = []
    for (arm, seed), trained in arms.items():
        metrics, heldout = trained.metrics(), trained.heldout()
        last = bits(heldout[heldout["step"] == heldout["step"].max()], ["category"])
        rows.append({
            "arm": arm, "seed": seed, "steps": len(metrics), "tokens": trained.run.tokens,
            "seconds": metrics["seconds"].sum(), "tokens_per_s": metrics["tokens_per_s"].median(),
            "training_loss": metrics["loss"].tail(max(1, len(metrics) // 10)).mean(),
            "bits_per_byte": last["bits_per_byte"].mean(), "processor": trained.processor,
        })
    return pd.DataFrame(rows)


def loss_table(arms: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """Training loss of every run along its tokens: arm, seed, tokens, loss (nats per token). Neighbouring steps are
    averaged where there are more than MOST_POINTS, and the row stands at the last of them."""
    frames = []
    for (arm, seed), trained in arms.items():
        metrics = trained.metrics()
        together = (metrics["step"] - 1) // -(-len(metrics) // MOST_POINTS)
        along = metrics.groupby(together).agg(step=("step", "max"), loss=("loss", "mean"))
        tokens = along["step"] * trained.run.global_batch * trained.run.mixture.sequence_length
        frames.append(pd.DataFrame({"arm": arm, "seed": seed, "tokens": tokens, "loss": along["loss"]}))
    return pd.concat(frames)

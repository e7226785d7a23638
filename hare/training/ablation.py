"""What the arms' held-out text says: bits per byte with intervals, and paired differences from D1 with a verdict.

All arms see the same held-out sequences, and runs of one seed start from the same weights, so differences are paired by
sequence and by seed. Intervals are those of `hare.core.statistics`: sequences are resampled within each category, and
seeds are a random effect. The bits per byte of an arm are the mean over categories, so that a large category does not
drown the others.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hare.core.statistics import Draws, Estimate, Spread, estimate
from hare.training.run import TrainedRun

RESAMPLES = 2000
BASELINE = "d1"


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


def curve_table(heldout: pd.DataFrame) -> pd.DataFrame:
    """One row an arm and validation: arm, tokens, bits_per_byte, difference, low, high.

    Bits per byte are means over seeds and categories; the difference from D1 is paired and has its interval.
    """
    arms = list(heldout["arm"].unique())
    rows = []
    for tokens, part in heldout.groupby("tokens"):
        said = PairedLosses.of(part, arms)
        for index, arm in enumerate(arms):
            found = said.difference(index, arms.index(BASELINE))
            rows.append({
                "arm": arm, "tokens": tokens, "bits_per_byte": said.seed_means[index].mean(),
                "difference": found.value, "low": found.low, "high": found.high,
            })
    return pd.DataFrame(rows)


def comparison_table(heldout: pd.DataFrame) -> pd.DataFrame:
    """At the last step, over all categories and for each: quantity, category, value, low, high, seeds, sequences.

    ``quantity`` is an arm or ``<arm> - <arm>``; ``category`` is "all" for the mean over categories. Bits per byte.
    """
    last = heldout[heldout["step"] == heldout["step"].max()]
    arms, categories = list(last["arm"].unique()), sorted(last["category"].unique())
    rows = []
    for name, chosen in [("all", categories), *((category, [category]) for category in categories)]:
        part = last[last["category"].isin(chosen)]
        said = PairedLosses.of(part, arms)
        size = {
            "category": name, "seeds": part["seed"].nunique(),
            "sequences": len(part.drop_duplicates(["category", "sequence"])),
        }
        rows += [
            {"quantity": quantity, "value": found.value, "low": found.low, "high": found.high, **size}
            for quantity, found in _quantities(said, arms)
        ]
    return pd.DataFrame(rows)


def _quantities(losses: "PairedLosses", arms: list[str]) -> list[tuple[str, Estimate]]:
    """Every arm's bits per byte, then every pair's difference."""
    pairs = itertools.combinations(range(len(arms)), 2)
    return [
        *((arm, losses.score(index)) for index, arm in enumerate(arms)),
        *((f"{arms[second]} - {arms[first]}", losses.difference(second, first)) for first, second in pairs),
    ]


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
        """Of one validation's rows in a `heldout_table`; ``arms`` says the order."""
        seeds = sorted(frame["seed"].unique())
        bits, drawn = {}, []
        counts = {name: part["sequence"].nunique() for name, part in frame.groupby("category")}
        weights = Draws.make(counts, RESAMPLES, seed=0).weights
        for name, part in frame.groupby("category"):
            size = part.groupby("sequence")["bytes"].first().to_numpy()
            nats = part.pivot_table(index=["arm", "seed"], columns="sequence", values="nats")
            grid = nats.reindex(pd.MultiIndex.from_product([arms, seeds])).to_numpy().reshape(len(arms), len(seeds), -1)
            each, size = grid / size.mean() / np.log(2), size / size.mean()
            ratio = each.mean(axis=-1, keepdims=True)
            bits[name] = ratio + each - ratio * size
            drawn.append(np.einsum("rn,asn->ras", weights[name], each) / (weights[name] @ size)[:, None, None])
        return cls(bits, np.mean(drawn, axis=0))

    @property
    def seed_means(self) -> np.ndarray:
        """Bits per byte, mean over categories: float[arms, seeds]."""
        return np.mean([found.mean(axis=-1) for found in self.bits.values()], axis=0)

    def spread_of_differences(self) -> Spread:
        """Spread over seeds of the mean difference between two arms, pooled over all of them."""
        return Spread.of_differences(self.seed_means)

    def score(self, arm: int) -> Estimate:
        """Bits per byte of one arm."""
        values = [found[arm] for found in self.bits.values()]
        return estimate(values, self.drawn[:, arm].mean(axis=-1), Spread.of_scores(self.seed_means))

    def difference(self, arm: int, base: int) -> Estimate:
        """Bits per byte of one arm minus another's."""
        values = [found[arm] - found[base] for found in self.bits.values()]
        drawn = (self.drawn[:, arm] - self.drawn[:, base]).mean(axis=-1)
        return estimate(values, drawn, Spread.of_differences(self.seed_means) if arm != base else Spread())


def verdict(comparison: pd.DataFrame) -> list[str]:
    """One plain sentence for each difference from the baseline over all categories."""
    chosen = comparison[(comparison["category"] == "all") & comparison["quantity"].str.endswith(f" - {BASELINE}")]
    said = []
    for row in chosen.itertuples():
        arm = row.quantity.removesuffix(f" - {BASELINE}")
        if row.seeds < 2:
            found = f"one seed cannot tell a difference between {arm} and {BASELINE} from chance in training"
        elif row.low <= 0 <= row.high:
            found = f"no difference between {arm} and {BASELINE} is seen"
        else:
            found = f"{arm} predicts held-out text {'worse' if row.value > 0 else 'better'} than {BASELINE}"
        said.append(
            f"{found}: {row.value:+.3f} bits per byte, 95 % interval {row.low:+.3f} to {row.high:+.3f} "
            f"({row.seeds} {'seed' if row.seeds == 1 else 'seeds'}, {row.sequences} sequences)."
        )
    return said


def summary(arms: Mapping[tuple[str, int], TrainedRun], comparison: pd.DataFrame) -> dict[str, float]:
    """The stage's metrics by the names that DESIGN fixes."""
    some = next(iter(arms.values()))
    names = {arm for arm, _ in arms}
    speeds = [speed for trained in arms.values() for speed in trained.metrics()["tokens_per_s"]]
    metrics: dict[str, float] = {
        "arms": len(names), "seeds_per_arm": len(arms) / len(names), "tokens_per_run": some.run.tokens,
        "tokens_per_s": float(np.median(speeds)),
    }
    for row in comparison[comparison["category"] == "all"].itertuples():
        name = f"heldout_bpb.{row.quantity}"
        if " - " in row.quantity:
            name = "difference_bpb." + row.quantity.replace(" - ", "_minus_")
        metrics |= {name: row.value, f"{name}.low": row.low, f"{name}.high": row.high}
    return metrics


def run_table(arms: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """One row a run: arm, seed, steps, tokens, seconds, tokens_per_s (median), training_loss, bits_per_byte.

    The training loss is the mean of the last tenth of the steps, in nats a token; bits per byte are of the held-out
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
            "bits_per_byte": last["bits_per_byte"].mean(),
        })
    return pd.DataFrame(rows)


def loss_table(arms: Mapping[tuple[str, int], TrainedRun]) -> pd.DataFrame:
    """Training loss of every run and step: arm, seed, tokens, loss (nats a token)."""
    frames = []
    for (arm, seed), trained in arms.items():
        metrics = trained.metrics()
        tokens = metrics["step"] * trained.run.global_batch * trained.run.mixture.sequence_length
        frames.append(pd.DataFrame({"arm": arm, "seed": seed, "tokens": tokens, "loss": metrics["loss"]}))
    return pd.concat(frames)

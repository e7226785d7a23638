"""What the arms' held-out text says: bits per byte with intervals, and paired differences from D1 with a verdict.

All arms see the same held-out sequences, and runs of one seed start from the same weights, so differences are paired by
sequence and by seed. Intervals come from a bootstrap that draws seeds and, within each category, sequences. The bits
per byte of an arm are the mean over categories, so that a large category does not drown the others.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hare.training.run import TrainedRun

RESAMPLES = 2000
INTERVAL = (2.5, 97.5)  # percentiles
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
    arms, categories = list(heldout["arm"].unique()), sorted(heldout["category"].unique())
    rows = []
    for tokens, part in heldout.groupby("tokens"):
        point, drawn = resampled(part, arms, categories)
        base = arms.index(BASELINE)
        for index, arm in enumerate(arms):
            value, low, high = _interval(point[index] - point[base], drawn[:, index] - drawn[:, base])
            rows.append({
                "arm": arm, "tokens": tokens, "bits_per_byte": point[index], "difference": value, "low": low,
                "high": high,
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
        point, drawn = resampled(part, arms, chosen)
        sequences = len(part.drop_duplicates(["category", "sequence"]))
        size = {"category": name, "seeds": part["seed"].nunique(), "sequences": sequences}
        rows += _rows(arms, point, drawn, size)
    return pd.DataFrame(rows)


def _rows(arms: list[str], point: np.ndarray, drawn: np.ndarray, size: dict[str, object]) -> list[dict[str, object]]:
    rows = []
    for index, arm in enumerate(arms):
        value, low, high = _interval(point[index], drawn[:, index])
        rows.append({"quantity": arm, "value": value, "low": low, "high": high, **size})
    for first, second in itertools.combinations(range(len(arms)), 2):
        value, low, high = _interval(point[second] - point[first], drawn[:, second] - drawn[:, first])
        rows.append({"quantity": f"{arms[second]} - {arms[first]}", "value": value, "low": low, "high": high, **size})
    return rows


def resampled(frame: pd.DataFrame, arms: list[str], categories: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bits per byte [arms], mean over seeds and categories, and its bootstrap draws [RESAMPLES, arms], over seeds and
    sequences. ``frame`` is a `heldout_table`; ``arms`` says the order."""
    random = np.random.default_rng(0)
    seeds = sorted(frame["seed"].unique())
    point, drawn = np.zeros((len(arms), len(seeds))), np.zeros((RESAMPLES, len(arms), len(seeds)))
    for category in categories:
        part = frame[frame["category"] == category]
        nats = part.pivot_table(index=["arm", "seed"], columns="sequence", values="nats")
        grid = nats.reindex(pd.MultiIndex.from_product([arms, seeds])).to_numpy().reshape(len(arms), len(seeds), -1)
        size = part.groupby("sequence")["bytes"].first().to_numpy()
        counts = random.multinomial(len(size), np.full(len(size), 1 / len(size)), RESAMPLES)
        point += grid.sum(-1) / size.sum() / np.log(2) / len(categories)
        sums = np.einsum("rn,asn->ras", counts, grid)
        drawn += sums / (counts @ size)[:, None, None] / np.log(2) / len(categories)
    return point.mean(-1), _with_seeds_drawn(drawn, random)


def _with_seeds_drawn(drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mean over seeds drawn with replacement, [RESAMPLES, arms, seeds] to [RESAMPLES, arms].

    A bootstrap over n units underestimates their variance by (n - 1) / n, half of it for two seeds; the seeds'
    deviations from their mean are stretched accordingly.
    """
    seeds = drawn.shape[-1]
    mean = drawn.mean(-1, keepdims=True)
    stretched = mean + (drawn - mean) * np.sqrt(seeds / max(1, seeds - 1))
    weights = random.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    return np.einsum("ras,rs->ra", stretched, weights)


def _interval(value: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    return value, low, high


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

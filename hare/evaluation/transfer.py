"""The transfer matrix, arms by endpoints in bits per byte, and the contrasts between arms that decide the study.

Differences are paired by item and by seed; intervals hold items and seeds (`hare.core.statistics`). A contrast on the
primary endpoint has one of three outcomes: *better* or *worse* (Holm over the contrasts), *equivalent* (two one-sided
tests against the smallest effect of interest, Schuirmann 1987), or *undecided*. All else is descriptive.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t

from hare.core.errors import HareError
from hare.core.statistics import COVERAGE, Estimate, Spread, estimate, holm
from hare.evaluation.endpoints import LABELS, PRIMARY
from hare.training.ablation import PairedLosses

MARGIN = 0.02  # bits per byte: the smallest effect of interest
CONTRASTS = {  # arm minus arm, and what the difference isolates; the last is the paper's own comparison, mix and all
    ("c", "a2"): "the form of tasks, with their text held equal",
    ("c", "c0"): "the content of tasks, with their form held equal",
    ("d", "a1"): "the paper's mixture, with the mix of sources held equal",
    ("b", "a"): "synthetic prose",
    ("d", "a"): "the paper's mixture",
}


def losses_of(rows: pd.DataFrame, endpoint: str, arms: list[str]) -> PairedLosses:
    """What the arms lose on one endpoint; ``rows`` are those of `hare.evaluation.endpoints.read_arms`."""
    chosen = rows[rows["endpoint"] == endpoint].rename(columns={"group": "category", "item": "sequence"})
    return PairedLosses.of(chosen, arms)


def transfer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per arm and endpoint: arm, endpoint, bits_per_byte, low, high, difference (from the first arm),
    difference_low, difference_high, p_holm (of the difference, over all cells but the first arm's), items, seeds."""
    arms, table, chances = list(dict.fromkeys(rows["arm"])), [], []
    for endpoint in endpoints_of(rows):
        losses = losses_of(rows, endpoint, arms)
        for number, arm in enumerate(arms):
            score, change = losses.score(number), losses.difference(number, 0)
            table.append({
                "arm": arm, "endpoint": endpoint, "bits_per_byte": score.value, "low": score.low, "high": score.high,
                "difference": change.value, "difference_low": change.low, "difference_high": change.high,
                **_size(rows, endpoint),
            })
            chances += [told_by(change, losses)] if number else []
    frame = pd.DataFrame(table)
    frame.insert(8, "p_holm", np.nan)
    frame.loc[frame["arm"] != arms[0], "p_holm"] = holm(chances)
    return frame


def told_by(difference: Estimate, losses: PairedLosses) -> float:
    """The p-value of a difference; 1 of a single seed, which does not show how runs vary."""
    return difference.p if losses.seed_means.shape[1] > 1 else 1.0


def contrast_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per contrast whose two arms are there, and endpoint; with none of them, each arm against the first.

    Columns: contrast, endpoint, difference, low, high (95 %), equivalence_low, equivalence_high (90 %), p, p_holm (over
    the contrasts, primary endpoint only), p_equivalence, minimum_detectable_effect, outcome, items, seeds.
    """
    arms, table = list(dict.fromkeys(rows["arm"])), []
    pairs = [pair for pair in CONTRASTS if set(pair) <= set(arms)] or [(arm, arms[0]) for arm in arms[1:]]
    for endpoint in endpoints_of(rows):
        losses = losses_of(rows, endpoint, arms)
        differences = [losses.difference(arms.index(arm), arms.index(base)) for arm, base in pairs]
        corrected = holm([told_by(difference, losses) for difference in differences])
        for (arm, base), difference, p_holm in zip(pairs, differences, corrected, strict=True):
            table.append({
                "contrast": f"{arm}-{base}", "endpoint": endpoint, "difference": difference.value,
                "low": difference.low, "high": difference.high, **_equivalence(difference), "p": difference.p,
                "p_holm": p_holm, "minimum_detectable_effect": difference.minimum_detectable_effect,
                **_size(rows, endpoint),
            })
    frame = pd.DataFrame(table)
    if frame.empty:
        return frame
    return frame.assign(outcome=[outcome(row.difference, row.p_holm, row.p_equivalence, row.seeds)
                                 for row in frame.itertuples()])


def slope_table(rows: pd.DataFrame, topics: Mapping[str, int]) -> pd.DataFrame:
    """What a tripling of the topics that equally much text is drawn from changes, by endpoint: endpoint, slope (bits
    per byte, least squares over the arms), low, high (95 %), p, items, seeds.

    ``topics`` are numbers of topics by arm. Each seed has topics of its own and gives one slope, so that the interval
    holds the choice of topics too; a single seed has none (NaN).
    """
    chosen, table = rows[rows["arm"].isin(topics)], []
    known = 1.0 if chosen["seed"].nunique() > 1 else np.nan
    for endpoint in endpoints_of(chosen):
        losses = losses_of(chosen, endpoint, list(topics))
        triplings = np.log(list(topics.values())) / np.log(3)
        weights = (triplings - triplings.mean()) / ((triplings - triplings.mean()) ** 2).sum()
        slope = estimate(
            [np.tensordot(weights, values, axes=1) for values in losses.bits.values()],
            np.einsum("a,ras->rs", weights, losses.drawn).mean(axis=-1),
            Spread.of_scores((weights @ losses.seed_means)[None]),
        )
        table.append({"endpoint": endpoint, "slope": slope.value, "low": known * slope.low, "high": known * slope.high,
                      "p": known * slope.p, **_size(chosen, endpoint)})
    return pd.DataFrame(table)


def topic_table(rows: pd.DataFrame, topics: Mapping[str, int], slopes: pd.DataFrame) -> pd.DataFrame:
    """The `transfer_table` of the arms that read so many topics, with ``topics``, their number, and each endpoint's
    slope, slope_low and slope_high out of ``slopes``, the `slope_table` of the same rows."""
    table = transfer_table(rows[rows["arm"].isin(topics)])
    table["topics"] = table["arm"].map(topics)
    slopes = slopes.rename(columns={"low": "slope_low", "high": "slope_high"})
    return table.merge(slopes[["endpoint", "slope", "slope_low", "slope_high"]], on="endpoint")


def outcome(difference: float, p_holm: float, p_equivalence: float, seeds: int) -> str:
    """The pre-registered three outcomes; fewer bits per byte are better. One seed decides nothing."""
    if seeds < 2:
        return "undecided"
    if p_holm < 1 - COVERAGE:
        return "better" if difference < 0 else "worse"
    return "equivalent" if p_equivalence < 1 - COVERAGE else "undecided"


def _equivalence(difference: Estimate) -> dict[str, float]:
    """The 90 % interval, and the larger p-value of the two one-sided tests against ± `MARGIN`."""
    if difference.error == 0:
        inside = abs(difference.value) < MARGIN
        return {"equivalence_low": difference.value, "equivalence_high": difference.value,
                "p_equivalence": 0.0 if inside else 1.0}
    width = float(t.ppf(COVERAGE, difference.degrees_of_freedom)) * difference.error
    nearest = (MARGIN - abs(difference.value)) / difference.error
    return {"equivalence_low": difference.value - width, "equivalence_high": difference.value + width,
            "p_equivalence": float(t.sf(nearest, difference.degrees_of_freedom))}


def endpoints_of(rows: pd.DataFrame) -> list[str]:
    """The endpoints that these rows hold, in their order."""
    return [endpoint for endpoint in LABELS if endpoint in set(rows["endpoint"])]


def _size(rows: pd.DataFrame, endpoint: str) -> dict[str, int]:
    chosen = rows[rows["endpoint"] == endpoint]
    return {"items": len(chosen.drop_duplicates(["group", "item"])), "seeds": chosen["seed"].nunique()}


def verdicts(contrasts: pd.DataFrame) -> list[str]:
    """One plain sentence per contrast on the primary endpoint. The form of tasks is told of only where it moved the
    held-out tasks, which is the check of the treatment."""
    sentences = []
    h3 = contrasts[contrasts["endpoint"] == "h3"].set_index("contrast")
    for row in contrasts[contrasts["endpoint"] == PRIMARY].itertuples():
        pair = tuple(row.contrast.split("-"))
        arm, base = (name.upper() if len(name) <= 2 else name.replace("_", " ") for name in pair)
        isolates = f" ({CONTRASTS[pair]})" if pair in CONTRASTS else ""
        failed = pair == ("c", "a2") and row.contrast in h3.index and (
            h3.loc[row.contrast, "low"] <= 0 <= h3.loc[row.contrast, "high"])
        sentences.append(
            f"{arm} against {base}{isolates}: {row.outcome} on {LABELS[PRIMARY]}, "
            f"{row.difference:+.4f} bits per byte, 95 % interval {row.low:+.4f} to {row.high:+.4f}, "
            f"{row.seeds} seeds; smallest detectable effect {row.minimum_detectable_effect:.4f}."
            + (" The treatment failed: held-out tasks show no effect, so this says nothing of tasks." if failed else "")
        )
    return sentences


def noise_table(rows: pd.DataFrame) -> pd.DataFrame:
    """What limits each endpoint: endpoint, run_sd (of a difference between two runs of one seed, bits per byte),
    item_error (of a difference, from the items), arms, seeds, minimum_detectable_effect; the last and item_error are
    those of the pair of arms for which they are largest."""
    arms, table = list(dict.fromkeys(rows["arm"])), []
    for endpoint in endpoints_of(rows):
        losses = losses_of(rows, endpoint, arms)
        seeds = losses.seed_means.shape[1]
        pairs = [(a, b) for a in range(len(arms)) for b in range(a)]
        differences = [losses.difference(a, b) for a, b in pairs]
        errors = [float((losses.drawn[:, a] - losses.drawn[:, b]).mean(axis=-1).std(ddof=1)) for a, b in pairs]
        spread = losses.spread_of_differences()
        table.append({
            "endpoint": endpoint, "run_sd": float(np.sqrt(spread.variance * seeds)),
            "item_error": max(errors, default=np.nan), "arms": len(arms), "seeds": seeds,
            "minimum_detectable_effect": max((one.minimum_detectable_effect for one in differences), default=np.nan),
        })
    return pd.DataFrame(table)


def slope_metrics(slopes: pd.DataFrame) -> dict[str, float]:
    """``slope.<endpoint>`` of a `slope_table`, with ``.low`` and ``.high``; none of a single seed."""
    named: dict[str, float] = {}
    for row in slopes.dropna(subset=["low"]).itertuples() if len(slopes) else ():
        key = f"slope.{row.endpoint}"
        named |= {key: row.slope, f"{key}.low": row.low, f"{key}.high": row.high}
    return named


def metrics(transfer: pd.DataFrame, contrasts: pd.DataFrame, noise: pd.DataFrame) -> dict[str, float]:
    """Names as in ``metrics.json``: ``transfer.<endpoint>.<arm>``, ``contrast.<arm>-<arm>.<endpoint>``,
    ``mde.<endpoint>``."""
    named: dict[str, float] = {}
    for row in transfer.itertuples():
        key = f"transfer.{row.endpoint}.{row.arm}"
        named |= {key: row.bits_per_byte, f"{key}.low": row.low, f"{key}.high": row.high}
    for row in contrasts.itertuples():
        key = f"contrast.{row.contrast}.{row.endpoint}"
        named |= {key: row.difference, f"{key}.low": row.low, f"{key}.high": row.high}
    for row in noise.itertuples():
        if np.isfinite(row.minimum_detectable_effect):
            named[f"mde.{row.endpoint}"] = row.minimum_detectable_effect
    return named


def refuse_mixed_processors(processors: Mapping[tuple[str, int], str]) -> None:
    """Runs of one seed were made on one kind of processor, since sums of floating-point numbers depend on it.

    Arms are compared within a seed, so what a processor does to all arms alike cancels; seeds may differ in it.

    Raises:
        HareError: they were not; the runs are named by processor.
    """
    kinds: dict[int, dict[str, list[str]]] = {}
    for (arm, seed), processor in processors.items():
        kinds.setdefault(seed, {}).setdefault(processor, []).append(f"{arm}-seed{seed}")
    mixed = [
        f"{kind}: {', '.join(runs)}" for by_kind in kinds.values() if len(by_kind) > 1
        for kind, runs in by_kind.items()
    ]
    if mixed:
        raise HareError(
            f"Runs of one seed, which are compared, were made on different kinds of processor ({'; '.join(mixed)}).",
            "train a seed on one: delete the folders of the others' runs of that seed under "
            "work/<profile>/training/runs and, where runs are kept, results/<profile>/training/runs, and run "
            "notebook 05 again",
        )

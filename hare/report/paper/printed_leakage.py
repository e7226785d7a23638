"""The paper's printed leakage tables, read again without any compute: does the score go with the leakage?

Δ is 5-gram accuracy on original samples minus that on rewritten ones, both as printed (Tables 2 and 6). Training splits
are legitimate training data, so only a high Δ on a test split deserves the word leakage; the two are kept apart.
Averages are recomputed from the printed columns, since some printed ones do not follow from them (`study.misprints`).
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from hare.report.paper.published import published

RESAMPLES = 10_000
STARTS = 5  # starting points per item in the leakage method (Xu et al. 2024)
ITEMS_CAP = 3000  # items per split at the most, likewise
GSM8K_ITEMS = {"train": 7473, "test": 1319}
PREDICTORS = {
    "train": "Δ on training splits", "test": "Δ on test splits", "rewritten": "accuracy on rewritten samples",
}
_SCORES = ("mmlu_5shot", "arc_c_25shot", "truthfulqa_0shot", "winogrande_5shot", "hellaswag_10shot", "gsm8k_5shot")


def scores_and_leakage() -> pd.DataFrame:
    """One row per model of Table 1: model, score (%), and the mean over benchmarks of each of `PREDICTORS` (points)."""
    base, leakage = published("open_llm_leaderboard_base"), published("leakage_5gram")
    delta = (leakage.original - leakage.rewritten).groupby([leakage.model, leakage.split]).mean().unstack()
    table = pd.DataFrame({"model": base.model, "score": base[list(_SCORES)].mean(axis=1)})
    for split in ("train", "test"):
        table[split] = table.model.map(delta[split])
    table["rewritten"] = table.model.map(leakage.groupby("model").rewritten.mean())
    return table.sort_values("score", ascending=False, ignore_index=True)


def rank_correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of score with each predictor: predictor, label, value, low, high, models.

    95 % intervals by bootstrap over models; there are few of them, so the intervals are wide.
    """
    draws = np.random.default_rng(0).integers(0, len(table), (RESAMPLES, len(table)))
    rows = []
    for predictor, label in PREDICTORS.items():
        score, other = table["score"].to_numpy(), table[predictor].to_numpy()
        low, high = np.nanquantile(_spearman(score[draws], other[draws]), (0.025, 0.975))
        rows.append((predictor, label, _spearman(score[None], other[None])[0], low, high, len(table)))
    return pd.DataFrame(rows, columns=["predictor", "label", "value", "low", "high", "models"])


def _spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rank correlation per row of two float64[draws, models]: float64[draws]; NaN where a row holds one model only."""
    ranks = [rankdata(values, axis=1) for values in (first, second)]
    first, second = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))


def relative_delta() -> pd.DataFrame:
    """The method's own statistic on GSM8K, the one benchmark printed for both splits and all models.

    One row per model: model, value, low, high: relative Δ (% of the accuracy on original samples) on train minus test.
    Above zero, a model knows the training split better than the test split. The standard error behind the interval
    takes the answers at all starts of all items as independent and originals as unpaired with their rewrites; pairing
    makes the true one smaller.
    """
    table = published("leakage_5gram").query("benchmark == 'GSM8K'").set_index(["model", "split"])
    relative = 100 * (1 - table.rewritten / table.original)
    variance = [
        _relative_variance(row.original / 100, row.rewritten / 100, min(GSM8K_ITEMS[split], ITEMS_CAP) * STARTS)
        for (_, split), row in table.iterrows()
    ]
    error = np.sqrt(pd.Series(variance, index=table.index).groupby("model").sum())
    value = relative.unstack().train - relative.unstack().test
    frame = pd.DataFrame({"value": value, "low": value - 1.96 * error, "high": value + 1.96 * error})
    return frame.sort_values("value", ascending=False).reset_index()


def _relative_variance(original: float, rewritten: float, answers: int) -> float:
    """Variance of 100 (1 − rewritten / original) for two shares of ``answers``, by the delta method."""
    ratio = rewritten / original
    return 1e4 * ratio**2 * ((1 - original) / original + (1 - rewritten) / rewritten) / answers


def printed_metrics() -> dict[str, float]:
    """Metrics ``printed.score_leakage_rank_correlation.<predictor>`` and ``printed.relative_delta.<model>``."""
    metrics: dict[str, float] = {}
    for row in rank_correlations(scores_and_leakage()).itertuples():
        name = f"printed.score_leakage_rank_correlation.{row.predictor}"
        metrics |= {name: row.value, f"{name}.low": row.low, f"{name}.high": row.high}
    for row in relative_delta().itertuples():
        name = f"printed.relative_delta.{row.model.lower()}"
        metrics |= {name: row.value, f"{name}.low": row.low, f"{name}.high": row.high}
    return metrics

"""Estimators of leakage side by side, and what each can tell of a known leak.

Each gives one number per item, higher when the item looks more as though the model had read it. An item's number says
little by itself, since some items are easy for anyone; what is reported is its excess over items never planted, which
chance alone tells apart from planted ones. So the test is a permutation test, exact whatever the numbers' distribution.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import combine_pvalues, mannwhitneyu, rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.core.statistics import holm
from hare.leakage.measure import Measure, score
from hare.leakage.planting import LeakItem

PRIMARY = "fivegram_all_positions"
ESTIMATORS = {
    "fivegram_five_starts": "5-gram, five starts",
    PRIMARY: "5-gram, all positions",
    "minus_rule_rewrites": "the same minus rewrites by rule",
    "minus_given_rewrites": "the same minus published rewrites",
    "answer_nats": "likelihood of the answer",
    "min_k": "Min-20 % tokens",
    "nearest_unplanted": "likelihood minus nearest unplanted items'",
}
PERMUTATIONS = 9_999
POWER_ITEMS = 25  # items of a dose that a user may have to judge by, against as many never planted
_NEAREST = 5
_DRAWS, _OUTER = 200, 30
_ALPHA = 0.05

Values = dict[str, np.ndarray]  # estimator → float64[items], NaN where an item cannot be scored


def estimates(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, items: Sequence[LeakItem], measure: Measure,
              times: np.ndarray, who: str) -> Values:
    """Every estimator for every item: float64[items] each; ``times`` (int64[items]) says which were never planted."""
    texts, starts = [item.text for item in items], [item.answer_start for item in items]
    scores = score(model, tokenizer, texts, measure, f"{who}: items", starts)
    rewritten = score(model, tokenizer, [item.rewritten for item in items], measure, f"{who}: rewrites")
    values = {
        "fivegram_five_starts": scores.at_starts, PRIMARY: scores.everywhere,
        "minus_rule_rewrites": scores.everywhere - rewritten.everywhere,
        "answer_nats": -scores.answer_nats_per_token, "min_k": -scores.hardest_nats_per_token,
        "nearest_unplanted": against_nearest(-scores.nats_per_token, texts, times == 0),
    }
    if all(item.given for item in items):
        published = score(model, tokenizer, [item.given for item in items], measure, f"{who}: published rewrites")
        values["minus_given_rewrites"] = scores.everywhere - published.everywhere
    return {name: values[name] for name in ESTIMATORS if name in values}


def against_nearest(values: np.ndarray, texts: Sequence[str], never: np.ndarray) -> np.ndarray:
    """Each item's value minus the mean of the never-planted items most like it in words: float64[items].

    Likeness is the cosine of word vectors weighted by rarity; an item is not its own neighbour. ``never``: bool[items].
    """
    vectors = TfidfVectorizer().fit_transform(texts)
    likeness = (vectors @ vectors[never].T).toarray()
    likeness[np.flatnonzero(never), np.arange(never.sum())] = -1
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :_NEAREST]
    return values - np.nanmean(values[never][nearest], axis=1)


def permutation_p(planted: np.ndarray, never: np.ndarray, seed: int) -> float:
    """Probability of a difference of means at least this large if planting changed nothing; one-sided.

    ``planted``: float64[m], ``never``: float64[n]. The labels are dealt out anew `PERMUTATIONS` times; counting the
    observed deal among them makes the test exact (Phipson and Smyth 2010). It is 1 where there are no items
    of one kind.
    """
    if not (len(planted) and len(never)):
        return 1.0
    pooled = np.concatenate([planted, never])
    rng, count = np.random.default_rng(seed), len(planted)
    order = np.argsort(rng.random((PERMUTATIONS, len(pooled)), np.float32), axis=1)[:, :count]
    means = pooled[order].mean(axis=1)
    return float((1 + (means >= planted.mean() - 1e-12).sum()) / (1 + PERMUTATIONS))


def auc(planted: np.ndarray, never: np.ndarray) -> float:
    """Probability that a planted item (float64[m]) looks more leaked than a never-planted one (float64[n])."""
    ranks = rankdata(np.concatenate([planted, never]))[: len(planted)]
    return float((ranks.sum() - len(planted) * (len(planted) + 1) / 2) / (len(planted) * len(never)))


def power(planted: np.ndarray, never: np.ndarray, items: int, rng: np.random.Generator) -> float:
    """How often ``items`` items of each kind, drawn with replacement, differ at 5 % by a one-sided rank test.

    ``planted``: float64[planted items]; ``never``: float64[items never planted].
    """
    drawn_planted = planted[rng.integers(len(planted), size=(_DRAWS, items))]
    drawn_never = never[rng.integers(len(never), size=(_DRAWS, items))]
    p = mannwhitneyu(drawn_planted, drawn_never, alternative="greater", axis=1, method="asymptotic").pvalue
    return float((np.nan_to_num(p, nan=1.0) < _ALPHA).mean())


def _groups(values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Values of the never-planted items, and by dose those of the planted ones; items without a value left out."""
    known = ~np.isnan(values)
    doses = sorted(set(times.tolist()) - {0})
    return values[known & (times == 0)], {dose: values[known & (times == dose)] for dose in doses}


def detection_table(runs: Sequence[tuple[np.ndarray, Values]], resamples: int, seed: int) -> pd.DataFrame:
    """What each estimator tells at each dose. ``runs``: times (int64[items]) and values of each run of one size.

    Columns: estimator, dose, items, runs, excess (mean minus that of never-planted items, over runs), auc and power
    with low and high (95 %, items resampled within each run), p (exact permutation test of each run, combined by
    Fisher's method). Power is that of `POWER_ITEMS` items.
    """
    rng = np.random.default_rng([seed, 2])
    rows = []
    for estimator in runs[0][1]:
        split = [_groups(values[estimator], times) for times, values in runs]
        for dose in split[0][1]:
            pairs = [(planted[dose], never) for never, planted in split]
            rows.append({
                "estimator": estimator, "dose": dose, "items": len(pairs[0][0]), "runs": len(pairs),
                "excess": float(np.mean([planted.mean() - never.mean() for planted, never in pairs])),
                **_with_interval("auc", pairs, auc, resamples, rng),
                **_with_interval("power", pairs, lambda a, b: power(a, b, POWER_ITEMS, rng), _OUTER, rng),
                "p": combined_p([permutation_p(*pair, seed) for pair in pairs]),
            })
    return pd.DataFrame(rows)


def _with_interval(name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]],
                   statistic: Callable[[np.ndarray, np.ndarray], float], resamples: int,
                   rng: np.random.Generator) -> dict[str, float]:
    drawn = [np.mean([statistic(_resampled(a, rng), _resampled(b, rng)) for a, b in pairs]) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = float(np.mean([statistic(a, b) for a, b in pairs]))
    return {name: value, f"{name}_low": min(value, float(low)), f"{name}_high": max(value, float(high))}


def _resampled(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return values[rng.integers(len(values), size=len(values))]


def combined_p(p: Sequence[float]) -> float:
    """One p-value of several independent ones (Fisher's method)."""
    return float(combine_pvalues(p).pvalue)


def negative_control(values: Values, times: np.ndarray, seed: int) -> pd.DataFrame:
    """The same test on a model that never read any of the items: no group may differ from the never-planted one.

    ``times``: int64[items]. Columns: estimator, dose, p (exact), corrected (Holm over all rows), leaked (whether the
    control fails).
    """
    rows = []
    for estimator, of_items in values.items():
        never, planted = _groups(of_items, times)
        rows += [{"estimator": estimator, "dose": dose, "p": permutation_p(of_dose, never, seed)}
                 for dose, of_dose in planted.items()]
    frame = pd.DataFrame(rows)
    frame["corrected"] = holm(frame.p.tolist())
    return frame.assign(leaked=frame.corrected < _ALPHA)


def detection_metrics(table: pd.DataFrame) -> dict[str, float]:
    """``auc.<estimator>.dose_<n>``, ``power.<estimator>.dose_<n>`` with intervals, and ``p.<estimator>.dose_<n>``."""
    named: dict[str, float] = {}
    for row in table.itertuples():
        end = f"{row.estimator}.dose_{row.dose}"
        for name in ("auc", "power"):
            named |= {f"{name}.{end}": getattr(row, name), f"{name}.{end}.low": getattr(row, f"{name}_low"),
                      f"{name}.{end}.high": getattr(row, f"{name}_high")}
        named[f"p.{end}"] = row.p
    return named

"""Δ, the leakage measure's answer: accuracy on originals minus accuracy on rewrites, with paired bootstrap intervals.

All shares are in percent, as in the published tables; the paper gives no intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.core.statistics import Draws, Spread, estimate, wilson_interval
from hare.leakage.measure import Measure, Scores, score
from hare.leakage.sets import SampleSet, recorded_name

ESTIMATES = {"at_starts": "the method's starting points", "everywhere": "all positions"}
PERPLEXITIES = {"answer": "answer_nats_per_token", "whole": "nats_per_token"}


@dataclass(frozen=True)
class Pairs:
    """One model on one set: scores of the N originals, and of each rewritten version."""

    original: Scores
    rewritten: tuple[Scores, ...]

    def values(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Originals and rewrites, float64[N] each, averaged over versions, of the items scored in all of them."""
        original = getattr(self.original, kind)
        rewritten = np.array([getattr(scores, kind) for scores in self.rewritten])
        kept = ~np.isnan(original) & ~np.isnan(rewritten).any(axis=0)
        return original[kept], rewritten[:, kept].mean(axis=0)


def measure_set(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, samples: SampleSet, measure: Measure,
                who: str) -> Pairs:
    """Score the originals and every rewritten version; ``who`` names the model on the progress bar."""
    texts = [*samples.originals, *(text for version in samples.rewrites for text in version)]
    starts = [start for version in samples.answer_starts for start in version]
    scores = score(model, tokenizer, texts, measure, f"{who}: {samples.name} {samples.split}", starts)
    cut = len(samples.originals)
    parts = [scores.part(slice(i, i + cut)) for i in range(0, len(texts), cut)]
    return Pairs(parts[0], tuple(parts[1:]))


def difference_of(values: np.ndarray, decisions: int, resamples: int, seed: int) -> dict[str, float]:
    """``delta``, ``low``, ``high`` of per-item differences, float64[models, items].

    Items are resampled, models are a random effect.

    Where no item differs, whether nothing is continued or as much of both, there is nothing to resample. The bounds are
    then those of a share of which not one case was seen (Wilson's) in ``decisions`` per item of one model, on either
    side of 0, in percent: several models' answers to the same items are not independent.
    """
    means = Draws.make({"items": values.shape[1]}, resamples, seed).means("items", values)
    if not values.any():
        bound = 100 * wilson_interval(0, values.shape[1] * decisions)[1]
        return {"delta": 0.0, "low": -bound, "high": bound}
    estimated = estimate([values], means, Spread.of_scores(values.mean(axis=1)[np.newaxis]))
    return {"delta": estimated.value, "low": estimated.low, "high": estimated.high}


def delta_rows(model: str, samples: SampleSet, pairs: Sequence[Pairs], starts: int, resamples: int,
               seed: int) -> list[dict[str, object]]:
    """D, D′ and Δ in percent, one row per estimate; ``pairs`` are those of all models (training seeds) of one kind.

    ``too_short``: items of fewer than n + 2 tokens in some version, which are left out of both.

    ``starts`` is the number of starting points: at least so many independent decisions stand behind an item's score.
    """
    rows = []
    for kind in ESTIMATES:
        original, rewritten = (100 * np.array(part) for part in zip(*(p.values(kind) for p in pairs), strict=True))
        rows.append({
            "model": model, "models": len(pairs), "benchmark": samples.benchmark, "split": samples.split,
            "rewriter": samples.rewriter, "estimate": kind, "items": original.shape[1],
            "too_short": len(samples.originals) - original.shape[1],
            "original": float(original.mean()), "rewritten": float(rewritten.mean()),
            **difference_of(original - rewritten, starts, resamples, seed),
        })
    return rows


def perplexity_rows(model: str, samples: SampleSet, pairs: Sequence[Pairs], resamples: int,
                    seed: int) -> list[dict[str, object]]:
    """The method's perplexity variant, a row each for the answer and for the whole sample.

    Xu et al. average the perplexity of the answer given the question over samples and state by what share of it the
    originals lie below the rewrites (``decrease_percent``); their code puts "Answer:" between the two, ours reads the
    sample as the n-gram measure does, so that one pass serves both. ``delta`` is the mean difference in nats per token,
    rewritten minus original: unlike a difference of mean perplexities it is not ruled by a few long-tailed items.
    Leakage shows above 0 in both.
    """
    rows = []
    for part, kind in PERPLEXITIES.items():
        original, rewritten = (np.array(side) for side in zip(*(p.values(kind) for p in pairs), strict=True))
        if original.size:
            before, after = float(np.exp(original).mean()), float(np.exp(rewritten).mean())
            rows.append({
                "model": model, "benchmark": samples.benchmark, "split": samples.split, "rewriter": samples.rewriter,
                "part": part, "items": original.shape[1], "perplexity_original": before, "perplexity_rewritten": after,
                "decrease_percent": 100 * (after - before) / after,
                **difference_of(rewritten - original, 1, resamples, seed),
            })
    return rows


def metrics(table: pd.DataFrame) -> dict[str, float]:
    """``delta.<benchmark>.<split>.<model>`` with interval, by the method's own starting points."""
    named: dict[str, float] = {}
    for row in table[table.estimate == "at_starts"].itertuples():
        name = f"delta.{recorded_name(row.benchmark, row.rewriter)}.{row.split}.{row.model}"
        named |= {name: row.delta, f"{name}.low": row.low, f"{name}.high": row.high}
    return named

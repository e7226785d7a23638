"""Diversity in numbers: entropy over topics, distinct n-grams, self-BLEU. The paper claims diversity; this measures it.

Entropy is Shannon's, in nats. Distinct-n is the share of n-grams that are different from one another (Li et al. 2016),
at equal text lengths, since it falls with length. Self-BLEU is the mean BLEU-4 of a text against the others of its
sample (Zhu et al. 2018): high means that the texts resemble one another.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.synthesis.passages import words

ORDERS = (1, 2, 3)
_BLEU_ORDERS = 4
_BLEU_WORDS = 60  # of each text, its first words
_BLEU_TEXTS = 80
_RESAMPLES = 200


def topic_entropy(topics: np.ndarray, count: int) -> float:
    """Entropy in nats of topic assignments, int [texts]; log(``count``) when all topics are equally frequent."""
    shares = np.bincount(topics, minlength=count) / max(1, len(topics))
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()) + 0.0


def distinct_ngrams(texts: Sequence[str], order: int, budget: int) -> float:
    """Share of distinct word n-grams among those of the texts' first ``budget`` words, taken text after text."""
    grams: list[tuple[str, ...]] = []
    left = budget
    for text in texts:
        found = words(text)[:left]
        left -= len(found)
        grams += [tuple(found[i : i + order]) for i in range(len(found) - order + 1)]
        if left <= 0:
            break
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> np.ndarray:
    """BLEU-4 of each text against all others, float64 [texts], over the first words of each; 0 where undefined."""
    cut = [found for found in (words(text)[:_BLEU_WORDS] for text in texts) if len(found) >= _BLEU_ORDERS]
    counted = [[Counter(_ngrams(found, n)) for n in range(1, _BLEU_ORDERS + 1)] for found in cut]
    return np.array([_bleu(i, counted, [len(found) for found in cut]) for i in range(len(cut))])


def _ngrams(found: list[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(found[i : i + order]) for i in range(len(found) - order + 1)]


def _bleu(own: int, counted: list[list[Counter]], lengths: list[int]) -> float:
    others = [i for i in range(len(counted)) if i != own]
    if not others:
        return 0.0
    logs = 0.0
    for order, grams in enumerate(counted[own]):
        matched = sum(
            min(n, max(counted[i][order][gram] for i in others)) for gram, n in grams.items()
        )
        logs += math.log((matched or 0.1) / grams.total()) / _BLEU_ORDERS  # 0.1: smoothing for no match (Chen 2014)
    closest = min((lengths[i] for i in others), key=lambda length: (abs(length - lengths[own]), length))
    return math.exp(logs + min(0.0, 1 - closest / lengths[own]))


def measure(parts: dict[str, Sequence[str]], topics: dict[str, np.ndarray], count: int, seed: int) -> pd.DataFrame:
    """Diversity of each part of the data: ``part``, ``measure``, ``value``, ``low``, ``high``, ``texts``.

    ``topics[part]`` is int [texts of the part]. Low and high are the 2.5 and 97.5 percentiles of a bootstrap over
    texts (for distinct-n, which a bootstrap biases, they equal the value).
    """
    samples = {part: _shuffled(texts, seed) for part, texts in parts.items()}
    budget = min(sum(len(words(text)) for text in texts[:400]) for texts in samples.values())
    rows = []
    for part, texts in samples.items():
        rows.append(_entropy_row(part, topics[part], count, seed))
        for order in ORDERS:
            value = distinct_ngrams(texts, order, budget)
            rows.append((part, f"distinct_{order}", value, value, value, len(texts)))
        rows.append(_bleu_row(part, texts[:_BLEU_TEXTS], seed))
    return pd.DataFrame(rows, columns=["part", "measure", "value", "low", "high", "texts"])


def _shuffled(texts: Sequence[str], seed: int) -> list[str]:
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    return shuffled


def _entropy_row(part: str, topics: np.ndarray, count: int, seed: int) -> tuple:
    draw = np.random.default_rng(seed)
    resampled = [topic_entropy(draw.choice(topics, len(topics)), count) for _ in range(_RESAMPLES)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    value = topic_entropy(topics, count)
    return part, "topic_entropy_nats", value, min(low, value), max(high, value), len(topics)


def _bleu_row(part: str, texts: Sequence[str], seed: int) -> tuple:
    scores, draw = self_bleu(texts), np.random.default_rng(seed)
    if not len(scores):
        return part, "self_bleu", 0.0, 0.0, 0.0, 0
    means = [draw.choice(scores, len(scores)).mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return part, "self_bleu", float(scores.mean()), float(low), float(high), len(scores)


def metrics(frame: pd.DataFrame) -> dict[str, float]:
    """The measures as recorded: ``diversity.<part>.<measure>``, with interval where there is one."""
    found = {}
    for row in frame.itertuples():
        name = f"diversity.{row.part}.{row.measure}"
        found[name] = float(row.value)
        if row.low < row.high:
            found |= {f"{name}.low": float(row.low), f"{name}.high": float(row.high)}
    return found

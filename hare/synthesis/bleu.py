"""Self-BLEU (Zhu et al. 2018): how much the texts of a sample resemble one another."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from hare.data.text import words

_BLEU_ORDERS = 4
_BLEU_WORDS = 60  # of each text, its first words


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

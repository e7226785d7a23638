"""Measures of diversity and of even quality, the same for raw and cleaned text and for every part of the data.

The paper asserts both and measures neither. Entropy over topics is Shannon's, in nats. Distinct-n is the share of
n-grams that differ from one another (Li et al. 2016), at equal numbers of words. Dispersion is the mean cosine distance
of two texts' embeddings. Quality is measured by bits per word, the logarithm of perplexity, under a reference model
of well-edited English: the median, and the spread from the 10th to the 90th percentile.
"""

from collections.abc import Callable, Sequence

import numpy as np

from hare.data.document_words import words_of
from hare.data.words import words

_RESAMPLES = 200


def topic_entropy(topics: np.ndarray, count: int) -> float:
    """Entropy in nats of topic assignments, int[texts]; log(``count``) when all topics are equally frequent."""
    shares = np.bincount(topics, minlength=count) / max(1, len(topics))
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()) + 0.0


def topic_coverage(topics: np.ndarray, count: int) -> float:
    """Share of the topics that hold at least one text; ``topics``: int64[texts]."""
    return len(np.unique(topics)) / count


def distinct_ngrams(texts: Sequence[str], order: int, budget: int) -> float:
    """Share of distinct word n-grams among those of the texts' first ``budget`` words, taken text after text."""
    grams: list[tuple[str, ...]] = []
    left = budget
    for text in texts:
        tokens = words(text)[:left]
        left -= len(tokens)
        grams += [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
        if left <= 0:
            break
    return len(set(grams)) / len(grams) if grams else 0.0


def dispersion(vectors: np.ndarray) -> float:
    """Mean cosine distance of two different rows of unit vectors, float32[texts, width]; 0 for a single text."""
    count = len(vectors)
    if count < 2:
        return 0.0
    total = vectors.sum(axis=0, dtype=np.float64)
    return float(1 - ((total**2).sum() - count) / (count * (count - 1)))


def quality_spread(bits: np.ndarray) -> float:
    """From the 10th to the 90th percentile of bits per word, float64[texts]: small means even quality."""
    low, high = np.quantile(bits, [0.1, 0.9])
    return float(high - low)


def bootstrapped(values: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int) -> tuple:
    """Value, 2.5 and 97.5 percentile of the resampled value, and the number of texts.

    ``values``: float64[texts] or float64[texts, columns]; ``statistic`` turns some of its rows into a number.
    """
    if not len(values):
        return 0.0, 0.0, 0.0, 0
    draw, value = np.random.default_rng(seed), float(statistic(values))
    resampled = [statistic(values[draw.integers(len(values), size=len(values))]) for _ in range(_RESAMPLES)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return value, min(float(low), value), max(float(high), value), len(values)


class ReferenceModel:
    """Bits per word under an interpolated bigram model: 0.6 bigram, 0.3 unigram, 0.1 uniform over unseen words."""

    def __init__(self, texts: list[str]):
        streams = [words_of(text).hashes for text in texts]
        self.words, self.counts = np.unique(np.concatenate(streams), return_counts=True)
        pairs = [_pairs(stream) for stream in streams if len(stream) > 1]
        self.pairs, self.pair_counts = np.unique(np.concatenate(pairs), return_counts=True)
        self.total = int(self.counts.sum())

    def bits_per_word(self, text: str) -> float:
        """Mean bits per word of ``text``, its first word left out; NaN when it has only one."""
        hashes = words_of(text).hashes
        if len(hashes) < 2:
            return float("nan")
        history = np.maximum(_look_up(self.words, self.counts, hashes[:-1]), 1)
        bigram = _look_up(self.pairs, self.pair_counts, _pairs(hashes)) / history
        unigram = _look_up(self.words, self.counts, hashes[1:]) / self.total
        return float(-np.log2(0.6 * bigram + 0.3 * unigram + 0.1 / (2 * len(self.words))).mean())


def _pairs(hashes: np.ndarray) -> np.ndarray:
    return hashes[:-1] * np.uint64(0x9E3779B97F4A7C15) ^ hashes[1:]


def _look_up(keys: np.ndarray, counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Counts of the wanted keys, 0 for unknown ones; ``keys`` is sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, counts[places], 0)

"""Diversity and consistency in numbers, for each part of the data and for their mixtures.

The paper asserts both and measures neither. Entropy over topics is Shannon's, in nats; since it grows with the number
of texts, it is also given at equal numbers of texts (rarefaction), as is coverage, the share of topics with any text.
Distinct-n is the share of n-grams that differ from one another (Li et al. 2016), at equal numbers of words. Self-BLEU
(Zhu et al. 2018) is high where texts resemble one another. Dispersion is the mean cosine distance of two texts'
embeddings. Consistency is measured by bits per word under a reference model: the median, and the spread from the 10th
to the 90th percentile.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import sacrebleu

from hare.core.paths import REPOSITORY
from hare.core.progress import Progress
from hare.core.reading import read_table
from hare.data.diversity import (
    ReferenceModel,
    bootstrapped,
    dispersion,
    distinct_ngrams,
    quality_spread,
    topic_coverage,
    topic_entropy,
)
from hare.data.shards import read_documents
from hare.data.text import rank
from hare.data.words import words
from hare.synthesis.embeddings import embed
from hare.synthesis.topics import TopicModel

ORDERS = (1, 2, 3)
MIXTURES = (("d1", "d2"), ("d1", "d2", "d3"))
_MOST_TEXTS = 500  # of a part; each has to be embedded
_BLEU_TEXTS = 80
_BLEU_WORDS = 60  # of each text, its first words
_DISTINCT_TEXTS = 400
_RESAMPLES = 200
_REFERENCE_DOCUMENTS = 5000
_COLUMNS = ["part", "measure", "value", "low", "high", "texts"]


@dataclass(frozen=True)
class Part:
    """Texts in random order, with the topic, vector and bits per word of each."""

    texts: tuple[str, ...]
    topics: np.ndarray  # int[texts]
    vectors: np.ndarray  # float32[texts, width], unit length
    bits: np.ndarray  # float64[texts]: bits per word; NaN for a text of one word

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, count: int) -> "Part":
        """The first ``count`` texts."""
        return Part(self.texts[:count], self.topics[:count], self.vectors[:count], self.bits[:count])


def self_bleu(texts: Sequence[str]) -> np.ndarray:
    """BLEU-4 of each text against all others by sacrebleu, float64[texts], over the first 60 words of each.

    Zhu et al. 2018. Texts of fewer than four words are left out; a text that is alone has 0.
    """
    cut = [words(text)[:_BLEU_WORDS] for text in texts]
    lines = [" ".join(tokens) for tokens in cut if len(tokens) >= 4]
    if len(lines) < 2:
        return np.zeros(len(lines))
    bleu = sacrebleu.BLEU(tokenize="none", effective_order=True)
    scores = [bleu.sentence_score(line, lines[:i] + lines[i + 1 :]).score for i, line in enumerate(lines)]
    return np.array(scores) / 100


def reference_model(folder: Path, seed: int, avoiding: frozenset[str]) -> ReferenceModel:
    """Model of bits per word of edited English, fitted to Wikipedia documents of D1 other than those in
    ``avoiding``."""
    known = [row for row in read_documents(folder) if row["metadata"]["category"] == "wikipedia"]
    usable = [row for row in known if row["id"] not in avoiding] or known
    drawn = sorted(usable or list(read_documents(folder)), key=lambda row: rank(seed, row["id"]))
    return ReferenceModel([row["text"] for row in drawn[:_REFERENCE_DOCUMENTS]])


def described(texts: Sequence[str], topics: TopicModel, reference: ReferenceModel, seed: int) -> Part:
    """Texts of one part of the data, drawn at random, each with its topic, its vector and its bits per word."""
    shuffled = random.Random(seed).sample(list(texts), min(_MOST_TEXTS, len(texts)))
    vectors = embed(shuffled)
    bits = np.array([reference.bits_per_word(text) for text in shuffled])
    return Part(tuple(shuffled), topics.nearest(vectors), vectors, bits)


def published_weights() -> dict[str, float]:
    """The paper's sampling weights of d1, d2 and d3, in percent of the tokens of its second stage."""
    published = read_table(REPOSITORY / "results" / "published" / "mixture.csv")
    totals = published.groupby("part")["weight_percent"].sum()
    return {str(part).lower(): float(weight) for part, weight in totals.items()}


def with_mixtures(parts: dict[str, Part]) -> dict[str, Part]:
    """The parts, and the mixtures that the paper trains on, with its weights by words and no text repeated."""
    weights = published_weights()
    return parts | {"+".join(names): mixture({n: parts[n] for n in names}, weights) for names in MIXTURES}


def mixture(parts: dict[str, Part], weights: dict[str, float]) -> Part:
    """Texts of all parts, as many as fit the weights by words; the part that runs out first sets the size."""
    lengths = {name: np.array([len(words(text)) for text in part.texts]) for name, part in parts.items()}
    size = min(lengths[name].sum() / weights[name] for name in parts)
    counts = {name: int(np.searchsorted(lengths[name].cumsum(), size * weights[name])) + 1 for name in parts}
    taken = [part.take(counts[name]) for name, part in parts.items()]
    order = np.random.default_rng(0).permutation(sum(map(len, taken)))
    texts = [text for part in taken for text in part.texts]
    joined = [np.concatenate([getattr(part, name) for part in taken])[order] for name in ("topics", "vectors", "bits")]
    return Part(tuple(texts[i] for i in order), *joined)


def measure(parts: dict[str, Part], count: int, seed: int) -> pd.DataFrame:
    """All measures of all parts: ``part``, ``measure``, ``value``, ``low``, ``high``, ``texts``; ``count`` topics.

    Low and high are the 2.5 and 97.5 percentiles of a bootstrap over texts, or, where a measure is taken at equal
    numbers of texts, of draws without replacement. For distinct-n, which a bootstrap biases, they equal the value.
    """
    budget = min(sum(len(words(text)) for text in part.texts[:_DISTINCT_TEXTS]) for part in parts.values())
    equal = min(map(len, parts.values()))
    rows = []
    with Progress("measure diversity", len(parts), "parts") as progress:
        for name, part in parts.items():
            rows += [(name, *row) for row in _rows(part, count, equal, budget, seed)]
            progress.advance()
    return pd.DataFrame(rows, columns=_COLUMNS)


def _rows(part: Part, count: int, equal: int, budget: int, seed: int) -> list[tuple]:
    entropy, coverage = partial(topic_entropy, count=count), partial(topic_coverage, count=count)
    bits = part.bits[np.isfinite(part.bits)]
    bleu = self_bleu(part.texts[:_BLEU_TEXTS])
    return [
        ("topic_entropy_nats", *bootstrapped(part.topics, entropy, seed)),
        ("topic_entropy_at_equal_texts_nats", *_rarefied(part.topics, entropy, equal, seed)),
        ("topic_coverage_at_equal_texts", *_rarefied(part.topics, coverage, equal, seed)),
        *((f"distinct_{n}", *[distinct_ngrams(part.texts, n, budget)] * 3, len(part)) for n in ORDERS),
        ("self_bleu", *bootstrapped(bleu, np.mean, seed)),
        ("dispersion", *_dispersion_row(part.vectors)),
        ("median_bits_per_word", *bootstrapped(bits, np.median, seed)),
        ("spread_bits_per_word", *bootstrapped(bits, quality_spread, seed)),
    ]


def _dispersion_row(vectors: np.ndarray) -> tuple:
    """The mean distance over pairs with its normal interval as a U-statistic (Hoeffding 1948).

    A bootstrap would draw texts twice and count the distance of a text to itself.
    """
    value, count = dispersion(vectors), len(vectors)
    distances = 1 - (vectors @ vectors.sum(axis=0) - (vectors**2).sum(axis=1)) / max(1, count - 1)  # mean per text
    margin = 1.96 * 2 * float(distances.std()) / math.sqrt(max(1, count))
    return value, value - margin, value + margin, count


def _rarefied(values: np.ndarray, statistic: Callable[[np.ndarray], float], size: int, seed: int) -> tuple:
    """Mean of a statistic over draws of ``size`` texts without replacement, with the draws' percentiles."""
    draw = np.random.default_rng(seed)
    drawn = [statistic(draw.permutation(values)[:size]) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.mean(drawn)), float(low), float(high), size


def metrics(frame: pd.DataFrame) -> dict[str, float]:
    """The measures as recorded: ``diversity.<part>.<measure>``, with interval where there is one."""
    values = {}
    for row in frame.itertuples():
        name = f"diversity.{row.part}.{row.measure}"
        values[name] = float(row.value)
        if row.low < row.high:
            values |= {f"{name}.low": float(row.low), f"{name}.high": float(row.high)}
    return values

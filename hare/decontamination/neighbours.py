"""Nearest benchmark items in a space of words and word pairs: what finds a paraphrase that shares no long n-gram.

Every item is one vector: a dimension for each word and for each pair of neighbouring words, weighted by how rare it is
among the items (TF-IDF, each counted once), of length 1. A document is compared window by window with all items, by the
cosine. Pairs tell a paraphrase from a text about the same thing: both share rare words, but only a paraphrase keeps
many pairs in their order, common words among them. Windows are long: what a stretch of running text happens to share
with a short item weighs less in them, so that the threshold can be lower and paraphrases that stand alone are found;
inside a longer document fewer are.

This is the plainest of embeddings: it needs no model and no download, and it knows no synonyms; a paraphrase is found
by the rarer words, names and short runs that it keeps. Whether a neural embedding would find more is measured by
`hare.bench.neural_neighbours`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from hare.data.words import WordHashes, ngram_hashes, word_hashes
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.ngrams import Matches
from hare.decontamination.rarity import Rarity, words_of_items

WINDOW = 120  # words; a document is read in windows that overlap by half
_COMMON = 0.02  # words and pairs in more than this share of the items tell nothing apart and are left out
_WINDOWS_AT_ONCE = 512


@dataclass(frozen=True)
class Neighbours:
    """Items as unit vectors over words and pairs of words, both called features.

    ``rarity``: the features; ``weights``: float32[features], 0 for common ones; ``by_feature``: the items' vectors,
    features by items. A feature that no item holds weighs as much as the rarest.
    """

    rarity: Rarity
    weights: np.ndarray
    by_feature: csr_matrix

    @classmethod
    def of(cls, index: BenchmarkIndex) -> "Neighbours":
        """The vectors of all items of an index; all passages of an item count together."""
        index = replace(index, words=with_pairs(index.words))
        parts = list(words_of_items(index))
        short, item = (np.concatenate(part) for part in zip(*parts, strict=True))
        rarity = Rarity.of(index)
        feature = np.searchsorted(rarity.vocabulary, short)
        weights = rarity.nats
        weights[rarity.frequency > _COMMON * index.items] = 0
        values = weights[feature]
        lengths = np.sqrt(np.bincount(item, values.astype(np.float64) ** 2, minlength=index.items))
        values = values / np.maximum(lengths, 1e-9)[item]
        kept = values > 0
        shape = (len(weights), index.items)
        by_feature = csr_matrix((values[kept].astype(np.float32), (feature[kept], item[kept])), shape=shape)
        return cls(rarity, weights, by_feature)

    def nearest(self, words: WordHashes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The item nearest to any window of each text, its cosine (0: no word known), and the window's first word.

        int64[texts], float32[texts] and int64[texts]. ``words``: the texts, as `word_hashes` gives them.
        """
        item, cosine = np.zeros(len(words.counts), np.int64), np.zeros(len(words.counts), np.float32)
        first = np.zeros(len(words.counts), np.int64)
        for spans, vectors in self._windows(words):
            products = (vectors @ self.by_feature).tocsr()
            for row, (owner, start, _) in enumerate(spans):
                values = products.data[products.indptr[row]: products.indptr[row + 1]]
                if len(values) and values.max() > cosine[owner]:
                    best = int(values.argmax())
                    cosine[owner], item[owner] = values[best], products.indices[products.indptr[row] + best]
                    first[owner] = start - words.offsets[owner]
        return item, cosine, first

    def _windows(self, words: WordHashes) -> Iterator[tuple[list[tuple[int, int, int]], csr_matrix]]:
        """Windows in lots: each one's text, first word and end, and their unit vectors, windows by features."""
        features = with_pairs(words).hashes
        spans = [(text, start, min(start + WINDOW, end))
                 for text, (first, end) in enumerate(zip(words.offsets, words.offsets[1:], strict=False))
                 for start in range(first, max(end - WINDOW // 2, first + 1), WINDOW // 2) if start < end]
        for low in range(0, len(spans), _WINDOWS_AT_ONCE):
            some = spans[low: low + _WINDOWS_AT_ONCE]
            yield some, self._vectors([features[2 * start : 2 * end] for _, start, end in some])

    def _vectors(self, windows: Sequence[np.ndarray]) -> csr_matrix:
        distinct = [np.unique(window) for window in windows]
        row = np.repeat(np.arange(len(distinct)), [len(window) for window in distinct])
        place, known = self.rarity.places(np.concatenate(distinct))
        values = np.where(known, self.weights[place], np.log(self.rarity.items))
        lengths = np.sqrt(np.bincount(row, values.astype(np.float64) ** 2, minlength=len(distinct)))
        values = (values / np.maximum(lengths, 1e-9)[row]).astype(np.float32)
        return csr_matrix((values[known], (row[known], place[known])), shape=(len(distinct), len(self.weights)))


def with_pairs(words: WordHashes) -> WordHashes:
    """Each word followed by the pair that it makes with the next one; the last of a text stands twice instead.

    uint64[2 · words], so that word k of the batch lies at place 2k.
    """
    hashes = np.repeat(words.hashes, 2)
    hashes[1:-1:2] = ngram_hashes(words.hashes, 2)
    last = words.offsets[1:][words.counts > 0] - 1
    hashes[2 * last + 1] = words.hashes[last]
    return WordHashes(hashes, 2 * words.offsets)


@dataclass(frozen=True)
class NeighbourRule:
    """A document goes when some window of it lies nearer than ``cosine`` to a benchmark item."""

    neighbours: Neighbours
    cosine: float

    name = "neighbour"
    ngrams = ()

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return self.neighbours.nearest(matches.words)[1] > self.cosine


def calibrated(neighbours: Neighbours, clean: Sequence[str], share: float = 0.00025) -> NeighbourRule:
    """The rule whose threshold only ``share`` of some clean documents lie above.

    A quarter of the one in a thousand that is aimed at, since a threshold from some thousand documents is uncertain
    itself, and paraphrases lie far above it.
    """
    cosines = neighbours.nearest(word_hashes(clean))[1]
    return NeighbourRule(neighbours, float(np.quantile(cosines, 1 - share, method="higher")))

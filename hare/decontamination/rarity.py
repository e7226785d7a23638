"""How rare each word is among the benchmark items: what a rule may count on when it finds the word in a document."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hare.decontamination.index import BenchmarkIndex

_ITEMS_AT_ONCE = 8192
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Rarity:
    """Words of the items by rarity.

    ``vocabulary``: uint32[words], the leading halves of their hashes, sorted; ``frequency``: int64[words], items that
    hold the word; ``items``: how many items there are.
    """

    vocabulary: np.ndarray
    frequency: np.ndarray
    items: int

    @classmethod
    def of(cls, index: BenchmarkIndex) -> "Rarity":
        """Count the words of all passages of an index, each once per item."""
        short = np.concatenate([words for words, _ in words_of_items(index)])
        vocabulary, frequency = np.unique(short, return_counts=True)
        return cls(vocabulary, frequency, index.items)

    @property
    def nats(self) -> np.ndarray:
        """float32[words]: logarithm of how many items there are for each that holds the word."""
        return np.log(self.items / self.frequency).astype(np.float32)

    def places(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where word hashes (uint64[m]) stand in the vocabulary, int64[m], and which of them are in it, bool[m]."""
        short = shortened(hashes)
        place = np.minimum(np.searchsorted(self.vocabulary, short), len(self.vocabulary) - 1)
        return place, self.vocabulary[place] == short


def shortened(hashes: np.ndarray) -> np.ndarray:
    """The leading halves of word hashes: uint64[m] → uint32[m]."""
    return (hashes >> _HALF).astype(np.uint32)


def words_of_items(index: BenchmarkIndex) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of short hash, uint32[pairs], and item, int32[pairs], each once, for some thousands of items at a time."""
    for low in range(0, index.items, _ITEMS_AT_ONCE):
        first, last = np.searchsorted(index.item_of_passage, (low, low + _ITEMS_AT_ONCE))
        words = slice(index.words.offsets[first], index.words.offsets[last])
        item = np.repeat(index.item_of_passage[first:last].astype(np.uint64), index.words.counts[first:last])
        pairs = _distinct(item << _HALF | index.words.hashes[words] >> _HALF)
        yield (pairs & _LOW).astype(np.uint32), (pairs >> _HALF).astype(np.int32)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Distinct values, sorted; for millions of them faster than `numpy.unique`."""
    ordered = np.sort(values)
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if len(ordered) else ordered

"""The words of one document at a time, shared by the blocks of a cleaning pass that examine it one after the other.

On short texts the overhead of a call exceeds its work, so the words of a few dozen texts are found together, and counts
per text are differences of running sums over all of them.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hare.data.vocabulary import Vocabulary
from hare.data.words import measured_words, ngram_hashes

_TOGETHER = 32_768  # characters of texts whose words are found together: their arrays stay in the cache

_Item = TypeVar("_Item")


class _Texts:
    """Words of several texts, with everything that is computed for all of them together."""

    def __init__(self, texts: Sequence[str]):
        words = measured_words(texts)
        self.hashes, self.sizes, self.numeric = words.hashes, words.sizes, words.numeric
        self.bounds = words.offsets.tolist()  # offset of each text among the words
        self._ngrams: dict[int, NDArray[np.uint64]] = {}
        self._known: dict[tuple[Vocabulary, int], tuple[list[int], list[int]]] = {}
        self._known_sums: dict[Vocabulary, NDArray[np.int64]] = {}

    @cached_property
    def size_sums(self) -> NDArray[np.int64]:
        """0 and the running sums of the sizes: int64[words + 1]."""
        return _running(self.sizes)

    @cached_property
    def numeric_sums(self) -> NDArray[np.int64]:
        """0 and the running counts of words of digits alone: int64[words + 1]."""
        return _running(self.numeric)

    @cached_property
    def numbers_in_a_row(self) -> list[int]:
        """The places, ascending, of words of digits alone that are followed by two more."""
        return (self.numeric[2:] & self.numeric[1:-1] & self.numeric[:-2]).nonzero()[0].tolist()

    def ngrams(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all n-grams of ``size`` words; those that cross the boundary of two texts are meaningless."""
        if size not in self._ngrams:
            self._ngrams[size] = ngram_hashes(self.hashes, size)
        return self._ngrams[size]

    def known(self, vocabulary: Vocabulary, size: int) -> tuple[list[int], list[int]]:
        """Places, ascending, and hashes of the words (``size`` 1) or pairs (2) that belong to a vocabulary."""
        if (vocabulary, size) not in self._known:
            hashes = self.ngrams(size)
            places = vocabulary.holds(hashes).nonzero()[0]
            self._known[vocabulary, size] = places.tolist(), hashes[places].tolist()
        return self._known[vocabulary, size]

    def known_sums(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """0 and the running counts of words that belong to a vocabulary: int64[words + 1]."""
        if vocabulary not in self._known_sums:
            self._known_sums[vocabulary] = _running(vocabulary.holds(self.hashes))
        return self._known_sums[vocabulary]


def _running(values: NDArray) -> NDArray[np.int64]:
    """0 and the running sums, int64[values + 1]; differences of two are the sums between them."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    values.cumsum(out=sums[1:])
    return sums


class Words:
    """The words of a text, by their hashes, sizes and n-grams."""

    def __init__(self, texts: _Texts, place: int):
        self._texts = texts
        self._first, self._end = texts.bounds[place], texts.bounds[place + 1]

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each word, int64[words]."""
        return self._texts.sizes[self._first : self._end]

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each word, uint64[words]."""
        return self._texts.hashes[self._first : self._end]

    @property
    def bytes(self) -> int:
        """Sum of the sizes in bytes."""
        return self._sum(self._texts.size_sums)

    @property
    def with_letters(self) -> int:
        """Number of words that hold a letter; the others are digits."""
        return len(self) - self._sum(self._texts.numeric_sums)

    @property
    def numbers_in_a_row(self) -> bool:
        """Whether three neighbouring words hold no letter."""
        places = self._texts.numbers_in_a_row
        next_place = bisect_left(places, self._first)
        return next_place < len(places) and places[next_place] < self._end - 2

    def ngrams(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all n-grams, uint64[words - size + 1], read-only; of the whole text when it is shorter."""
        if 0 < len(self) < size:
            return ngram_hashes(self.hashes, len(self))
        return self._texts.ngrams(size)[self._first : self._end - size + 1] if len(self) else self.hashes

    def known(self, vocabulary: Vocabulary, size: int) -> set[int]:
        """Hashes of the words (``size`` 1) or of the pairs of neighbouring words (2) that belong to a vocabulary."""
        places, hashes = self._texts.known(vocabulary, size)
        if not places:
            return set()
        return set(hashes[bisect_left(places, self._first) : bisect_left(places, self._end - size + 1)])

    def known_by_part(self, vocabulary: Vocabulary, parts: int) -> list[int]:
        """How many words of each of ``parts`` belong to a vocabulary; part k begins at word ``k * words // parts``."""
        sums, count = self._texts.known_sums(vocabulary), len(self)
        at = [int(sums[self._first + part * count // parts]) for part in range(parts + 1)]
        return [end - first for first, end in pairwise(at)]

    def _sum(self, running: NDArray[np.int64]) -> int:
        return int(running[self._end]) - int(running[self._first])


def words_of(text: str) -> Words:
    """The words of ``text``; cached for the blocks that examine the same document one after the other."""
    prepared = _PREPARED.get(text)
    return _words_of(text) if prepared is None else prepared


def prepare(texts: Sequence[str]) -> None:
    """Find the words of some texts together; `words_of` returns them until the next texts are prepared."""
    together = _Texts(texts)
    _PREPARED.clear()
    _PREPARED.update((text, Words(together, place)) for place, text in enumerate(texts))


def some_together(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """The items in lists small enough to be prepared together; ``size`` gives an item's number of characters."""
    gathered: list[_Item] = []
    total = 0
    for item in items:
        characters = size(item)
        if total + characters > _TOGETHER and gathered:
            yield gathered
            gathered, total = [], 0
        gathered.append(item)
        total += characters
    if gathered:
        yield gathered


_PREPARED: dict[str, Words] = {}


@lru_cache(maxsize=2)
def _words_of(text: str) -> Words:
    return Words(_Texts([text]), 0)

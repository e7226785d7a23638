"""Words as arrays: where they start, how long they are, a 64-bit hash each. Plain numpy over UTF-8 bytes.

A word here is a run of letters, digits and underscores of any script, whatever its case. datatrove's own English
tokenizer is spaCy, several times slower than a whole cleaning pass may be.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cache, cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hare.data.vocabulary import Vocabulary

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHIFT = np.uint64(29)
_MODULUS = 1 << 64
_FIRST_LETTER = ord("a") + 1  # in the table below
_NONE = np.zeros(1, dtype=np.uint64)
_TOGETHER = 32_768  # characters of texts whose words are found together: their arrays stay in the cache

_Item = TypeVar("_Item")


def _folding() -> bytes:
    """Byte → one more than its lower-case form when it belongs to a word, else 0; a table for ``bytes.translate``."""
    table = bytearray(256)
    for byte in range(255):  # 255 never occurs in UTF-8
        if byte >= 128:
            table[byte] = byte + 1
        elif chr(byte).isalnum() or chr(byte) == "_":
            table[byte] = ord(chr(byte).lower()) + 1
    return bytes(table)


_FOLDED = _folding()


@cache
def _folded_character(character: str) -> str:
    """The same for a character outside ASCII: lower case, and a blank for what belongs to no word."""
    return "".join(lower if lower.isalnum() else " " for lower in character.lower())


def _folded_outside_ascii(text: str) -> str:
    """A text has few different characters outside ASCII: replacing each beats looking at every character's class."""
    for character in set(_NOT_ASCII.findall(text)):
        folded = _folded_character(character)
        if folded != character:
            text = text.replace(character, folded)
    return text


class _Powers:
    """``base ** k`` and its inverse modulo 2**64 for an odd ``base``, as tables that grow to the longest text seen."""

    def __init__(self, base: int):
        self.base, self.inverse = base, pow(base, -1, _MODULUS)
        self.count = 0
        self.grow(1 << 14)

    def grow(self, count: int) -> None:
        """Make both tables at least ``count`` long."""
        if count > self.count:
            self.count = 1 << (count - 1).bit_length()
            self.up, self.down = (self._table(base) for base in (self.base, self.inverse))

    def _table(self, base: int) -> NDArray[np.uint64]:
        powers = np.full(self.count, base, dtype=np.uint64)
        powers[0] = 1
        return powers.cumprod()

    def prefix_sums(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Running sums of ``values[k] * base**k``: their differences are polynomial hashes of what lies between.

        That costs the same few passes over memory whatever the lengths of the pieces are (Karp & Rabin 1987). The
        hash of a piece still has to be multiplied by the inverse power of its place.
        """
        self.grow(len(values))
        terms = values * self.up[: len(values)]
        return np.add.accumulate(terms, out=terms)


_OF_BYTES, _OF_WORDS = _Powers(0x100000001B3), _Powers(0x9E3779B97F4A7C15)


class _Texts:
    """The words of some texts, one after the other, and what is found in all of them at once.

    On short texts a call costs more than what it computes, so that a few dozen texts together take half the time. For
    the same reason what is counted in every text comes from running sums over all: two looks at an array.
    """

    def __init__(self, texts: Sequence[str]):
        padded = [_padded(text) for text in texts]
        folded = np.frombuffer(b"".join(padded).translate(_FOLDED), dtype=np.uint8)
        inside = folded != 0
        edges = (inside[1:] != inside[:-1]).nonzero()[0]  # the place before the first and of the last byte of a word
        self.before, last = edges[0::2], edges[1::2]
        sums = _OF_BYTES.prefix_sums(folded)
        self.hashes = sums[last] - sums[self.before]
        self.hashes *= _OF_BYTES.down[self.before]
        self.hashes ^= self.hashes >> _SHIFT
        self.lengths, self.alphabetic = last - self.before, _with_letters(folded, self.before, last)
        self.starts = [0, *accumulate(map(len, padded))]  # of each text among the bytes
        self.bounds = self.before.searchsorted(self.starts).tolist()  # of each text among the words
        self._runs: dict[int, NDArray[np.uint64]] = {}
        self._known: dict[tuple[Vocabulary, int], tuple[list[int], list[int]]] = {}
        self._known_sums: dict[Vocabulary, NDArray[np.int64]] = {}

    @cached_property
    def sums(self) -> NDArray[np.uint64]:
        """0 and the running sums of the hashes: uint64[words + 1]."""
        return np.concatenate((_NONE, _OF_WORDS.prefix_sums(self.hashes)))

    @cached_property
    def length_sums(self) -> NDArray[np.int64]:
        """0 and the running sums of the lengths: int64[words + 1]."""
        return _running(self.lengths)

    @cached_property
    def alphabetic_sums(self) -> NDArray[np.int64]:
        """0 and the running counts of words with a letter: int64[words + 1]."""
        return _running(self.alphabetic)

    @cached_property
    def numbers_in_a_row(self) -> list[int]:
        """The places, ascending, of words that hold no letter and are followed by two more of that kind."""
        digits = ~self.alphabetic
        return (digits[2:] & digits[1:-1] & digits[:-2]).nonzero()[0].tolist()

    def shingles(self, first: int, end: int, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words from word ``first`` to before word ``end``."""
        runs = self.sums[first + size : end + 1] - self.sums[first : end - size + 1]
        runs *= _OF_WORDS.down[first : end - size + 1]
        runs ^= runs >> _SHIFT
        return runs

    def runs(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words; those that begin in one text and end in another mean nothing."""
        if size not in self._runs:
            count = len(self.hashes)
            self._runs[size] = self.shingles(0, count, size) if count >= size else _NONE[:0]
        return self._runs[size]

    def known(self, vocabulary: Vocabulary, size: int) -> tuple[list[int], list[int]]:
        """Places, ascending, and hashes of the words (``size`` 1) or pairs (2) that belong to a vocabulary."""
        if (vocabulary, size) not in self._known:
            hashes = self.runs(size) if size > 1 else self.hashes
            places = vocabulary.holds(hashes).nonzero()[0]
            self._known[vocabulary, size] = places.tolist(), hashes[places].tolist()
        return self._known[vocabulary, size]

    def known_sums(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """0 and the running counts of words that belong to a vocabulary: int64[words + 1]."""
        if vocabulary not in self._known_sums:
            self._known_sums[vocabulary] = _running(vocabulary.holds(self.hashes))
        return self._known_sums[vocabulary]


def _running(values: NDArray) -> NDArray[np.int64]:
    """0 and the running sums: their differences are the sums of what lies between."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    values.cumsum(out=sums[1:])
    return sums


class Words:
    """The words of a text: ``hashes`` uint64[words], and ``lengths`` int64[words] in bytes."""

    def __init__(self, texts: _Texts, place: int):
        self._texts, self._start = texts, texts.starts[place]
        self._first, self._end = texts.bounds[place], texts.bounds[place + 1]

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each word, int64[words]."""
        return self._texts.lengths[self._first : self._end]

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each word, uint64[words]."""
        return self._texts.hashes[self._first : self._end]

    @property
    def bytes(self) -> int:
        """Sum of the lengths."""
        return self._sum(self._texts.length_sums)

    @property
    def with_letters(self) -> int:
        """How many words hold a letter; the others are digits and underscores."""
        return self._sum(self._texts.alphabetic_sums)

    @property
    def numbers_in_a_row(self) -> bool:
        """Whether three neighbouring words hold no letter."""
        places = self._texts.numbers_in_a_row
        found = bisect_left(places, self._first)
        return found < len(places) and places[found] < self._end - 2

    def shingles(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words, uint64[words - size + 1]; of the whole text when it is shorter."""
        size = min(size, len(self))
        return self._texts.shingles(self._first, self._end, size) if size else _NONE[:0]

    def usual_shingles(self, size: int) -> NDArray[np.uint64]:
        """The same, not to be written to: for a ``size`` that is asked of every text, computed for all at once."""
        if len(self) < size:
            return self.shingles(size)
        return self._texts.runs(size)[self._first : self._end - size + 1]

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

    def beginning(self, text: str) -> "Words":
        """The words of a ``text`` that the own text begins with, and that ends where a word does or between words."""
        found = copy(self)
        found._end = int(self._texts.before.searchsorted(self._start + len(_padded(text)) - 1))
        return found

    def _sum(self, running: NDArray[np.int64]) -> int:
        return int(running[self._end]) - int(running[self._first])


def words_of(text: str) -> Words:
    """The words of ``text``; kept for the blocks that look at the same document one after the other."""
    prepared = _PREPARED.get(text)
    return _words_of(text) if prepared is None else prepared


def prepare(texts: Sequence[str]) -> None:
    """Find the words of some texts together; `words_of` has them at hand until the next texts are prepared."""
    together = _Texts(texts)
    _PREPARED.clear()
    _PREPARED.update((text, Words(together, place)) for place, text in enumerate(texts))


def trim(text: str, end: int) -> str:
    """``text[:end]``, which ends where a word does or between words: prepared words need not be found again."""
    trimmed, prepared = text[:end], _PREPARED.get(text)
    if prepared is not None:
        _PREPARED[trimmed] = prepared.beginning(trimmed)
    return trimmed


def some_together(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """The items in lists of as many as are best prepared together; ``size`` is the number of an item's characters."""
    gathered: list[_Item] = []
    total = 0
    for item in items:
        own = size(item)
        if total + own > _TOGETHER and gathered:
            yield gathered
            gathered, total = [], 0
        gathered.append(item)
        total += own
    if gathered:
        yield gathered


_PREPARED: dict[str, Words] = {}


@lru_cache(maxsize=2)
def _words_of(text: str) -> Words:
    return Words(_Texts([text]), 0)


def _padded(text: str) -> bytes:
    return f" {text if text.isascii() else _folded_outside_ascii(text)} ".encode("utf-8", errors="replace")


def _with_letters(
    folded: NDArray[np.uint8], before: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which words hold a letter: all but those whose every byte is a digit or an underscore, and these are few."""
    others = (folded - 1 < _FIRST_LETTER - 1).nonzero()[0]  # a 0 becomes 255
    if len(others) == 0:
        return np.ones(len(last), dtype=np.bool_)
    counts = np.bincount(last.searchsorted(others), minlength=len(last))
    return counts != last - before

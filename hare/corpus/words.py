"""Words as arrays: where they start, how long they are, a 64-bit hash each. Plain numpy over UTF-8 bytes.

datatrove's own English tokenizer is spaCy, several times slower than a whole cleaning pass may be. A word here is a
run of letters, digits and underscores of any script; dashes, quotation marks and no-break spaces end it as any other
punctuation does. Case is ignored.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache, cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHIFT = np.uint64(29)
_MODULUS = 1 << 64
_FIRST_LETTER = ord("a") + 1  # in the table below
_NONE = np.zeros(1, dtype=np.uint64)
_SLOTS = 1 << 12  # of a vocabulary: it stays in the processor's first cache


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

    On short texts a call costs more than what it computes, so that a few dozen texts together take half the time.
    """

    def __init__(self, texts: Sequence[str]):
        padded = [_padded(text) for text in texts]
        folded = np.frombuffer(b"".join(padded).translate(_FOLDED), dtype=np.uint8)
        inside = folded != 0
        edges = (inside[1:] != inside[:-1]).nonzero()[0]  # the place before the first and of the last byte of a word
        before, last = edges[0::2], edges[1::2]
        sums = _OF_BYTES.prefix_sums(folded)
        self.hashes = sums[last] - sums[before]
        self.hashes *= _OF_BYTES.down[before]
        self.hashes ^= self.hashes >> _SHIFT
        self.lengths, self.alphabetic = last - before, _with_letters(folded, before, last)
        ends = np.cumsum([len(text) for text in padded])
        self.bounds = [0, *before.searchsorted(ends).tolist()]  # of each text among the words
        self._known: dict[tuple[int, Vocabulary], NDArray[np.bool_]] = {}

    @cached_property
    def sums(self) -> NDArray[np.uint64]:
        """0 and the running sums of the hashes: shape (words + 1,)."""
        return np.concatenate((_NONE, _OF_WORDS.prefix_sums(self.hashes)))

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        return self.shingles(0, len(self.hashes), 2)

    def shingles(self, first: int, end: int, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words from word ``first`` to before word ``end``."""
        runs = self.sums[first + size : end + 1] - self.sums[first : end - size + 1]
        runs *= _OF_WORDS.down[first : end - size + 1]
        runs ^= runs >> _SHIFT
        return runs

    def known(self, vocabulary: "Vocabulary", size: int) -> NDArray[np.bool_]:
        """Which of the words (``size`` 1) or of the pairs (2) belong to a vocabulary."""
        if (size, vocabulary) not in self._known:
            self._known[size, vocabulary] = vocabulary.holds(self.hashes if size == 1 else self.pairs)
        return self._known[size, vocabulary]


class Words:
    """The words of a text; all arrays have the shape (words,) and lengths are in bytes."""

    def __init__(self, texts: _Texts, place: int):
        self._texts, self._first, self._end = texts, texts.bounds[place], texts.bounds[place + 1]

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self._texts.lengths[self._first : self._end]

    @property
    def hashes(self) -> NDArray[np.uint64]:
        return self._texts.hashes[self._first : self._end]

    @property
    def alphabetic(self) -> NDArray[np.bool_]:
        """Whether the word holds a letter."""
        return self._texts.alphabetic[self._first : self._end]

    @property
    def pairs(self) -> NDArray[np.uint64]:
        """Hashes of neighbouring words: `shingles` of two."""
        return self._texts.pairs[self._first : self._end - 1] if len(self) > 1 else self.shingles(2)

    def shingles(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words, shape (words - size + 1,); of the whole text when it is shorter."""
        size = min(size, len(self))
        return self._texts.shingles(self._first, self._end, size) if size else _NONE[:0]

    def known(self, vocabulary: "Vocabulary") -> NDArray[np.bool_]:
        """Which of the words belong to a vocabulary."""
        return self._texts.known(vocabulary, 1)[self._first : self._end]

    def known_pairs(self, vocabulary: "Vocabulary") -> NDArray[np.bool_]:
        """Which of the pairs of two neighbouring words do, shape (words - 1,)."""
        return self._texts.known(vocabulary, 2)[self._first : max(self._first, self._end - 1)]


def words_of(text: str) -> Words:
    """The words of ``text``; kept for the blocks that look at the same document one after the other."""
    prepared = _PREPARED.get(text)
    return _words_of(text) if prepared is None else prepared


def prepare(texts: Sequence[str]) -> None:
    """Find the words of some texts together; `words_of` has them at hand until the next texts are prepared."""
    together = _Texts(texts)
    _PREPARED.clear()
    _PREPARED.update((text, Words(together, place)) for place, text in enumerate(texts))


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


class Vocabulary:
    """A few known hashes, each in the slot that some of its bits name, so that one look tells whether another is one.

    Raises:
        ValueError: no choice of bits gives each hash a slot of its own; a few dozen hashes always find one.
    """

    def __init__(self, hashes: Iterable[int]):
        known = np.array(sorted(set(hashes)), dtype=np.uint64)
        for shift in range(0, 53):
            slots = self._slots(known, np.uint64(shift))
            if len(np.unique(slots)) == len(known):
                break
        else:
            raise ValueError(f"{len(known)} hashes are too many for {_SLOTS} slots")
        self._shift = np.uint64(shift)
        self._table = np.zeros(_SLOTS, dtype=np.uint64)
        self._table[0] = 1 << shift  # an empty slot holds a hash that belongs to another
        self._table[slots] = known

    @staticmethod
    def _slots(hashes: NDArray[np.uint64], shift: np.uint64) -> NDArray[np.int64]:
        return ((hashes >> shift) & np.uint64(_SLOTS - 1)).view(np.int64)

    def holds(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of ``hashes`` are known; shape as ``hashes``."""
        return self._table[self._slots(hashes, self._shift)] == hashes

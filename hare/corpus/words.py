"""Words as arrays: where they start, how long they are, a 64-bit hash each. Plain numpy over UTF-8 bytes.

datatrove's own English tokenizer is spaCy, several times slower than a whole cleaning pass may be. A word here is a
run of letters, digits and underscores of any script; dashes, quotation marks and no-break spaces end it as any other
punctuation does. Case is ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SHIFT = np.uint64(29)
_MODULUS = 1 << 64
_LARGEST = _MODULUS - 1
_FIRST_LETTER = ord("a") + 1  # in the table below


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
        return (values * self.up[: len(values)]).cumsum()


_OF_BYTES, _OF_WORDS = _Powers(0x100000001B3), _Powers(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """The words of a text; all arrays have the shape (words,) and lengths are in bytes."""

    lengths: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    alphabetic: NDArray[np.bool_]  # the word holds a letter

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _sums(self) -> NDArray[np.uint64]:
        return _OF_WORDS.prefix_sums(self.hashes)

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        """Hashes of neighbouring words: `shingles` of two."""
        return self.shingles(2)

    def shingles(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words, shape (words - size + 1,); of the whole text when it is shorter."""
        size = min(size, len(self))
        if size == 0:
            return np.zeros(0, dtype=np.uint64)
        runs = self._sums[size - 1 :].copy()
        runs[1:] -= self._sums[:-size]
        runs *= _OF_WORDS.down[: len(runs)]
        runs ^= runs >> _SHIFT
        return runs


@lru_cache(maxsize=2)
def words_of(text: str) -> Words:
    """The words of ``text``; kept for the blocks that look at the same document one after the other."""
    folded_outside = text if text.isascii() else _folded_outside_ascii(text)
    padded = f" {folded_outside} ".encode("utf-8", errors="replace")
    folded = np.frombuffer(padded.translate(_FOLDED), dtype=np.uint8)
    inside = folded != 0
    edges = (inside[1:] != inside[:-1]).nonzero()[0]  # the place before the first and that of the last byte of a word
    before, last = edges[0::2], edges[1::2]
    sums = _OF_BYTES.prefix_sums(folded)
    hashes = sums[last] - sums[before]
    hashes *= _OF_BYTES.down[before]
    hashes ^= hashes >> _SHIFT
    letters = (folded >= _FIRST_LETTER).cumsum(dtype=np.int32)
    return Words(last - before, hashes, letters[last] > letters[before])


def contains(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of ``hashes`` occur in ``known``, a short sorted array made by `vocabulary`; shape as ``hashes``."""
    return known[known.searchsorted(hashes)] == hashes


def vocabulary(hashes: Iterable[int]) -> NDArray[np.uint64]:
    """The hashes as `contains` wants them."""
    return np.array([*sorted(set(hashes)), _LARGEST], dtype=np.uint64)

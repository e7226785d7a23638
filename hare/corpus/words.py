"""Words as arrays: where they start, how long they are, a 64-bit hash each. Plain numpy over UTF-8 bytes.

datatrove's own English tokenizer is spaCy, several times slower than a whole cleaning pass may be. A word here is a
run of letters, digits and underscores of any script; dashes, quotation marks and no-break spaces end it as any other
punctuation does. Case is ignored.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SEPARATOR = re.compile(r"[^\w\x00-\x7f]+")  # what is no letter outside ASCII; inside it, a table decides
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_LONGEST_WORD = 1 << 12  # bytes; longer runs wrap around in the hash, which is harmless


def _folding() -> NDArray[np.uint8]:
    """Byte → its lower-case form when it belongs to a word, else 0; one row of 256."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(256):
        if byte >= 128:
            table[byte] = byte
        elif chr(byte).isalnum() or chr(byte) == "_":
            table[byte] = ord(chr(byte).lower())
    return table


_FOLDED = _folding()
_POWERS = np.cumprod(np.full(_LONGEST_WORD, _PRIME, dtype=np.uint64))


@dataclass(frozen=True)
class Words:
    """The words of a text; all arrays have the shape (words,) and lengths are in bytes."""

    lengths: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    alphabetic: NDArray[np.bool_]  # the word holds a letter

    def __len__(self) -> int:
        return len(self.hashes)

    def shingles(self, size: int) -> NDArray[np.uint64]:
        """Hashes of all runs of ``size`` words, shape (words - size + 1,); of the whole text when it is shorter."""
        size = min(size, len(self))
        if size == 0:
            return np.zeros(0, dtype=np.uint64)
        count = len(self) - size + 1
        rolled = self.hashes[:count].copy()
        for offset in range(1, size):
            rolled *= _MIX
            rolled ^= rolled >> _SHIFT
            rolled += self.hashes[offset : offset + count]
        return rolled


@lru_cache(maxsize=2)
def words_of(text: str) -> Words:
    """The words of ``text``; kept for the blocks that look at the same document one after the other."""
    lowered = text if text.isascii() else _SEPARATOR.sub(" ", text.lower())
    folded = _FOLDED[np.frombuffer(lowered.encode("utf-8", errors="replace"), dtype=np.uint8)]
    inside = np.zeros(len(folded) + 2, dtype=np.bool_)
    np.not_equal(folded, 0, out=inside[1:-1])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    lengths = edges[1::2] - edges[0::2]
    if len(lengths) == 0:
        return Words(lengths, np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.bool_))
    taken = folded[inside[1:-1]]
    firsts = np.cumsum(lengths) - lengths
    places = (np.arange(len(taken)) - np.repeat(firsts, lengths)) % _LONGEST_WORD
    hashes = np.add.reduceat((taken.astype(np.uint64) + np.uint64(1)) * _POWERS[places], firsts)
    hashes ^= hashes >> _SHIFT
    letters = np.add.reduceat((taken >= ord("a")).astype(np.int32), firsts)
    return Words(lengths, hashes, letters > 0)

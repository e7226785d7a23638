"""A set of 64-bit hashes with vectorised membership tests for millions of hashes."""

from functools import cached_property

import numpy as np

_FILTER_BITS_PER_ENTRY = 16
_BIT = np.uint8(1) << np.arange(8, dtype=np.uint8)


class HashSet:
    """Distinct, well-mixed 64-bit hashes in sorted order.

    A directory indexed by the leading bits, built on first use, gives a hash's position to within an entry or two. A
    bit filter, of which about one bit in 16 is set, rejects most hashes that are not in the set beforehand. Memory per
    entry: 8 bytes, 2 to 4 for the directory, 2 to 4 for the filter.
    """

    def __init__(self, hashes: np.ndarray):
        """``hashes``: uint64, in any order, repetitions allowed."""
        ordered = np.sort(hashes)
        fresh = np.ones(len(ordered), bool)
        np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
        self.hashes = ordered[fresh]
        directory_bits = max(1, len(self.hashes).bit_length() - 1)
        filter_bits = max(3, (len(self.hashes) * _FILTER_BITS_PER_ENTRY).bit_length() - 1)
        self._directory_shift, self._filter_shift = np.uint64(64 - directory_bits), np.uint64(64 - filter_bits)

    def __len__(self) -> int:
        return len(self.hashes)

    @cached_property
    def _directory(self) -> np.ndarray:
        """int32[2^leading bits]: number of entries before the first one with these leading bits."""
        size = 1 << 64 - int(self._directory_shift)
        counts = np.bincount(_leading(self.hashes, self._directory_shift), minlength=size)
        return (np.cumsum(counts) - counts).astype(np.int32)

    @cached_property
    def _filter(self) -> np.ndarray:
        """uint8[2^leading bits / 8]: one bit per value of the leading bits, set when an entry has it."""
        filled = np.zeros(1 << 61 - int(self._filter_shift), np.uint8)
        if len(self.hashes):
            position = _leading(self.hashes, self._filter_shift)
            byte = position >> 3
            first = np.flatnonzero(np.concatenate(([True], byte[1:] != byte[:-1])))
            filled[byte[first]] = np.bitwise_or.reduceat(_BIT[position & 7], first)
        return filled

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """Which of ``hashes`` (uint64[m], any order, most of them not) are in the set: bool[m]."""
        position = _leading(hashes, self._filter_shift)
        is_member = (self._filter[position >> 3] & _BIT[position & 7]) != 0
        likely = np.flatnonzero(is_member)
        is_member[likely] = self.contains_likely(hashes[likely])
        return is_member

    def contains_likely(self, hashes: np.ndarray) -> np.ndarray:
        """As `contains`, uint64[m] to bool[m], without the filter: for hashes most of which are in the set."""
        place = self._directory[_leading(hashes, self._directory_shift)].astype(np.int64)
        below = np.arange(len(hashes))
        while len(below):
            inside = place[below] < len(self.hashes)
            below = below[inside]
            below = below[self.hashes[place[below]] < hashes[below]]
            place[below] += 1
        inside = place < len(self.hashes)
        inside[inside] = self.hashes[place[inside]] == hashes[inside]
        return inside


def _leading(hashes: np.ndarray, shift: np.uint64) -> np.ndarray:
    """The leading bits, uint64[m] to int64[m], ready to be used as indices."""
    return (hashes >> shift).view(np.int64)

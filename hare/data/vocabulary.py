"""A small set of known words, tested with one table look-up per word."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_SLOTS = 1 << 12  # of a table, which so stays in the processor's first cache


class Vocabulary:
    """A few known hashes in a table, each in the slot that some of its bits name: one look-up tests any other hash.

    Raises:
        ValueError: no choice of bits gives each hash a separate slot; for a few dozen hashes there always is one.
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
        """Which of ``hashes``, uint64[words], are known: bool[words]."""
        return self._table[self._slots(hashes, self._shift)] == hashes

"""Near-duplicates among texts that arrive one by one, by the MinHash signatures used for D1 (Broder 1997)."""

from collections.abc import Sequence

import numpy as np

from hare.data.minhash import VALUES, signatures_of

BANDS = 30  # of four values: finds a pair of similarity 0.6 with probability 0.98
THRESHOLD = 0.6  # estimated Jaccard similarity of five-word shingles; generated pages vary more than copies do
assert VALUES % BANDS == 0


def signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures, uint32[texts, VALUES]."""
    return signatures_of(texts).values


class NearDuplicates:
    """An index of texts; `first_like` finds an earlier one that a new text nearly repeats."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._rows: list[np.ndarray] = []
        self._bands: dict[tuple[int, bytes], list[int]] = {}

    def add(self, key: str, signature: np.ndarray) -> None:
        """Remember a text, its signature uint32[VALUES], under ``key``."""
        for band in self._bands_of(signature):
            self._bands.setdefault(band, []).append(len(self._keys))
        self._keys.append(key)
        self._rows.append(signature)

    def first_like(self, signature: np.ndarray) -> str | None:
        """Key of the first remembered text whose estimated similarity to uint32[VALUES] reaches `THRESHOLD`."""
        candidates = {row for band in self._bands_of(signature) for row in self._bands.get(band, ())}
        for row in sorted(candidates):
            if (self._rows[row] == signature).mean() >= THRESHOLD:
                return self._keys[row]
        return None

    @staticmethod
    def _bands_of(signature: np.ndarray) -> list[tuple[int, bytes]]:
        return [(number, part.tobytes()) for number, part in enumerate(np.split(signature, BANDS))]

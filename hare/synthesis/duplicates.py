"""Near-duplicates by MinHash over word 5-grams, with rensa's signatures (Broder 1997)."""

from collections.abc import Sequence

import numpy as np
from rensa import RMinHash

from hare.data.text import words

PERMUTATIONS = 128
BANDS = 32
SHINGLE_WORDS = 5
THRESHOLD = 0.6  # estimated Jaccard similarity
_MINHASH_SEED = 7


def signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures, uint32 [texts, PERMUTATIONS]."""
    shingled = []
    for text in texts:
        found = words(text)
        count = max(1, len(found) - SHINGLE_WORDS + 1)
        shingled.append(sorted({" ".join(found[i : i + SHINGLE_WORDS]) for i in range(count)}))
    digests = RMinHash.digests_from_token_sets(shingled, PERMUTATIONS, _MINHASH_SEED)
    return np.asarray(digests, dtype=np.uint32).reshape(len(texts), PERMUTATIONS)


class NearDuplicates:
    """An index of texts; `first_like` finds an earlier one that a new text nearly repeats."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._rows: list[np.ndarray] = []
        self._bands: dict[tuple[int, bytes], list[int]] = {}

    def add(self, key: str, signature: np.ndarray) -> None:
        """Remember a text under ``key``."""
        for band in self._bands_of(signature):
            self._bands.setdefault(band, []).append(len(self._keys))
        self._keys.append(key)
        self._rows.append(signature)

    def first_like(self, signature: np.ndarray) -> str | None:
        """Key of the first remembered text whose estimated similarity reaches `THRESHOLD`."""
        candidates = {row for band in self._bands_of(signature) for row in self._bands.get(band, ())}
        for row in sorted(candidates):
            if (self._rows[row] == signature).mean() >= THRESHOLD:
                return self._keys[row]
        return None

    @staticmethod
    def _bands_of(signature: np.ndarray) -> list[tuple[int, bytes]]:
        return [(number, part.tobytes()) for number, part in enumerate(np.split(signature, BANDS))]

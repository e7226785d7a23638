"""MinHash signatures (Broder 1997) by the Rust-backed rensa, and the search for duplicates among them.

20 bands of 6 values find a pair of Jaccard similarity 0.8 with probability 0.998 (datatrove's default, 14 bands of 8:
0.92); every candidate is then checked on all 120 values, so more candidates cost precision nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rensa
import xxhash
from numpy.typing import NDArray

from hare.corpus.words import words_of

SHINGLE = 5  # words
BANDS, ROWS = 20, 6
VALUES = BANDS * ROWS
LEAST_SIMILARITY = 0.7  # estimated Jaccard
_SEED = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Signatures:
    """Of documents in order: ``digests`` uint64 (documents,) of their words, ``values`` uint32 (documents, VALUES)."""

    digests: NDArray[np.uint64]
    values: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True)
class Duplicate:
    """Document ``index`` repeats the kept document ``of``; similarity 1.0 with ``exact`` means the same words."""

    index: int
    of: int
    similarity: float
    exact: bool


def signatures_of(texts: Sequence[str]) -> Signatures:
    """Signatures of some texts; case, punctuation and spacing are ignored."""
    shingles, offsets, digests = [], [0], []
    for text in texts:
        words = words_of(text)
        shingles.append(words.shingles(SHINGLE))
        offsets.append(offsets[-1] + len(shingles[-1]))
        digests.append(xxhash.xxh64_intdigest(words.hashes.tobytes()))
    if not texts:
        return Signatures(np.zeros(0, np.uint64), np.zeros((0, VALUES), np.uint32))
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(shingles), offsets, VALUES, _SEED)
    return Signatures(np.array(digests, dtype=np.uint64), np.array(matrix.to_rows(), dtype=np.uint32))


def joined(parts: Sequence[Signatures]) -> Signatures:
    """Signatures of several shards, one after the other."""
    return Signatures(
        np.concatenate([part.digests for part in parts]), np.concatenate([part.values for part in parts])
    )


def duplicates(signatures: Signatures) -> list[Duplicate]:
    """Documents that repeat an earlier kept one, in order. The first of a group stays.

    A document is only ever compared with documents that stay, so a chain of small changes is not removed whole.
    """
    _, first, group = np.unique(signatures.digests, return_index=True, return_inverse=True)
    original = first[group]
    exact = {int(i): int(original[i]) for i in np.flatnonzero(original != np.arange(len(original)))}
    near = _near_duplicates(signatures.values, np.flatnonzero(original == np.arange(len(original))))
    found = [Duplicate(index, of, 1.0, True) for index, of in exact.items()] + near
    return sorted(found, key=lambda duplicate: duplicate.index)


def _near_duplicates(values: NDArray[np.uint32], alive: NDArray[np.int64]) -> list[Duplicate]:
    """Greedy pass over the documents ``alive`` that share a band with another one."""
    buckets = _shared_buckets(values[alive])
    kept: dict[int, list[int]] = defaultdict(list)
    found = []
    for position in np.flatnonzero((buckets >= 0).any(axis=1)):
        index, own = int(alive[position]), [int(bucket) for bucket in buckets[position] if bucket >= 0]
        candidates = sorted({other for bucket in own for other in kept[bucket]})
        if candidates:
            similarities = (values[candidates] == values[index]).mean(axis=1)
            best = int(similarities.argmax())
            if similarities[best] >= LEAST_SIMILARITY:
                found.append(Duplicate(index, candidates[best], float(similarities[best]), False))
                continue
        for bucket in own:
            kept[bucket].append(index)
    return found


def _shared_buckets(values: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Shape (documents, BANDS): number of the bucket that a band falls into, -1 where no other document does."""
    buckets = np.full((len(values), BANDS), -1, dtype=np.int64)
    for band in range(BANDS):
        keys = np.zeros(len(values), dtype=np.uint64)
        for row in range(ROWS):
            keys = (keys ^ values[:, band * ROWS + row]) * _MIX
        _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        shared = sizes[group] > 1
        buckets[shared, band] = group[shared] * BANDS + band
    return buckets

"""MinHash signatures (Broder 1997) by the Rust-backed rensa, and the search for duplicates among them.

20 bands of 6 values find a pair of Jaccard similarity 0.8 with probability 0.998 (datatrove's default, 14 bands of 8:
0.92); every candidate is then checked on all 120 values, so more candidates do not lower precision.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import rensa
import xxhash
from numpy.typing import NDArray

from hare.data.document_words import prepare, some_together, words_of

SHINGLE = 5  # words
BANDS, ROWS = 20, 6
VALUES = BANDS * ROWS
LEAST_SIMILARITY = 0.7  # estimated Jaccard
_SEED = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Searchable(Protocol):
    """What the search for duplicates needs from signatures, in memory or in files."""

    digests: NDArray[np.uint64]

    def band_keys(self, band: int) -> NDArray[np.uint64]:
        """One key per document, uint64[documents]: equal where two signatures agree in that band."""

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Values of the documents ``indices``, int64[some]: uint32[some, VALUES]."""


@dataclass(frozen=True)
class Signatures:
    """Per document, in order: ``digests`` uint64[documents] of its words, ``values`` uint32[documents, VALUES]."""

    digests: NDArray[np.uint64]
    values: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.digests)

    def band_keys(self, band: int) -> NDArray[np.uint64]:
        """As `Searchable.band_keys`: uint64[documents]."""
        return band_keys(self.values, band)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
        """As `Searchable.rows`: int64[some] to uint32[some, VALUES]."""
        return self.values[indices]


def band_keys(values: NDArray[np.uint32], band: int) -> NDArray[np.uint64]:
    """One hash per document of the values of a band: uint32[documents, VALUES] to uint64[documents]."""
    keys = np.zeros(len(values), dtype=np.uint64)
    for row in range(ROWS):
        keys = (keys ^ values[:, band * ROWS + row]) * _MIX
    return keys


@dataclass(frozen=True)
class Duplicate:
    """Document ``index`` repeats the kept document ``of``; similarity 1.0 with ``exact`` means the same words."""

    index: int
    of: int
    similarity: float
    exact: bool


class Signer:
    """Takes documents one by one, while their words are cached, and computes all signatures together."""

    def __init__(self) -> None:
        self._digests: list[int] = []
        self._shingles: list[NDArray[np.uint64]] = []
        self._offsets = [0]

    @property
    def shingles(self) -> int:
        """Number of shingles taken so far, which determines the memory used."""
        return self._offsets[-1]

    def take(self, text: str) -> None:
        """Add a document; case, punctuation and spacing of ``text`` are ignored."""
        words = words_of(text)
        self._shingles.append(words.ngrams(SHINGLE))
        self._offsets.append(self._offsets[-1] + len(self._shingles[-1]))
        self._digests.append(xxhash.xxh64_intdigest(words.hashes))

    def signed(self) -> Signatures:
        """Signatures of what was taken, in order."""
        if not self._digests:
            return Signatures(np.zeros(0, np.uint64), np.zeros((0, VALUES), np.uint32))
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
            np.concatenate(self._shingles), self._offsets, VALUES, _SEED
        )
        values = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint32, len(self._digests) * VALUES)
        return Signatures(np.array(self._digests, dtype=np.uint64), values.reshape(-1, VALUES))


def signatures_of(texts: Iterable[str]) -> Signatures:
    """Signatures of some texts."""
    signer = Signer()
    for some in some_together(texts, len):
        prepare(some)
        for text in some:
            signer.take(text)
    return signer.signed()


def duplicates(signatures: Searchable) -> list[Duplicate]:
    """Documents that repeat an earlier kept one, in order. The first of a group stays.

    A document is compared only with documents that stay, so a chain of small changes is not removed as a whole.
    """
    _, first, group = np.unique(signatures.digests, return_index=True, return_inverse=True)
    original = first[group]
    is_first = original == np.arange(len(original))
    exact = [Duplicate(int(i), int(original[i]), 1.0, True) for i in np.flatnonzero(~is_first)]
    near = _near_duplicates(signatures, np.flatnonzero(is_first))
    return sorted(exact + near, key=lambda duplicate: duplicate.index)


def _near_duplicates(signatures: Searchable, alive: NDArray[np.int64]) -> list[Duplicate]:
    """Greedy pass over the documents ``alive`` that share a band with another; only their values are in memory."""
    members, buckets = _shared_buckets(signatures, alive)
    if len(members) == 0:
        return []
    starts = np.flatnonzero(np.r_[True, members[1:] != members[:-1]])
    indices = alive[members[starts]]
    values = signatures.rows(indices)
    kept: dict[int, list[int]] = defaultdict(list)
    near = []
    for position, document_buckets in enumerate(np.split(buckets, starts[1:])):
        candidates = sorted({other for bucket in document_buckets.tolist() for other in kept[bucket]})
        if candidates:
            similarities = (values[candidates] == values[position]).mean(axis=1)
            best = int(similarities.argmax())
            if similarities[best] >= LEAST_SIMILARITY:
                original = int(indices[candidates[best]])
                near.append(Duplicate(int(indices[position]), original, float(similarities[best]), False))
                continue
        for bucket in document_buckets.tolist():
            kept[bucket].append(position)
    return near


def _shared_buckets(signatures: Searchable, alive: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in ``alive``, ascending, each with the number of a bucket that it shares with another document."""
    members, buckets = [], []
    for band in range(BANDS):
        _, group, sizes = np.unique(signatures.band_keys(band)[alive], return_inverse=True, return_counts=True)
        shared = np.flatnonzero(sizes[group] > 1)
        members.append(shared)
        buckets.append(group[shared] * BANDS + band)
    joined = np.concatenate(members)
    order = joined.argsort(kind="stable")
    return joined[order], np.concatenate(buckets)[order]

"""Hashes of all n-grams of words, and where a text's n-grams occur in an index."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hare.data.hash_set import HashSet
from hare.data.words import WordHashes, ngram_hashes, with_next_word

_BLOCK = 1 << 15  # n-grams hashed at once, so that the temporary arrays stay in the processor's cache


def ngram_blocks(words: WordHashes, n: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All n-grams of a batch, block by block.

    Yields the position of the block's first word, the hashes, uint64[n-grams], and which stay inside one text,
    bool[n-grams].
    """
    inside = np.ones(max(len(words.hashes) - n + 1, 0), bool)
    for end in words.offsets[1:-1].tolist():
        inside[max(end - n + 1, 0) : end] = False
    for low in range(0, len(inside), _BLOCK):
        yield low, ngram_hashes(words.hashes[low : low + _BLOCK + n - 1], n), inside[low : low + _BLOCK]


def distinct_ngrams(words: WordHashes, n: int) -> HashSet:
    """The distinct n-grams of a batch, none of which crosses from one text to the next."""
    hashes, size = np.empty(len(words.hashes), np.uint64), 0
    for _, block, inside in ngram_blocks(words, n):
        kept = block[inside]
        hashes[size : size + len(kept)] = kept
        size += len(kept)
    return HashSet(hashes[:size])


@dataclass(frozen=True)
class Matches:
    """The n-grams of a batch of texts that are in an index, for each n.

    ``starts[n]``: int64, sorted positions of their first words, in the batch's word numbering; ``hashes[n]``: uint64.
    """

    words: WordHashes
    starts: dict[int, np.ndarray]
    hashes: dict[int, np.ndarray]

    def counts(self, n: int) -> np.ndarray:
        """n-grams found, per text: int64[texts]."""
        return np.diff(np.searchsorted(self.starts[n], self.words.offsets))

    def shares(self, n: int) -> np.ndarray:
        """Share of a text's n-grams that were found: float64[texts], NaN for texts of fewer than n words."""
        totals = self.words.counts - n + 1
        return np.where(totals > 0, self.counts(n) / np.maximum(totals, 1), np.nan)

    def longest_spans(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The longest run of overlapping n-grams found, per text: its first word in the text and its length in words.

        Two int64[texts]; the length is 0 where none was found.
        """
        starts = self.starts[n]
        first, longest = np.zeros(len(self.words.counts), np.int64), np.zeros(len(self.words.counts), np.int64)
        if len(starts):
            run = np.flatnonzero(np.concatenate(([True], np.diff(starts) > 1)))
            lengths = np.diff(np.concatenate((run, [len(starts)]))) + n - 1
            text = np.searchsorted(self.words.offsets, starts[run], side="right") - 1
            order = np.lexsort((-run, lengths))  # the last one written stays: the longest, and of those the first
            longest[text[order]] = lengths[order]
            first[text[order]] = starts[run[order]] - self.words.offsets[text[order]]
        return first, longest


def find_matches(words: WordHashes, index: dict[int, HashSet]) -> Matches:
    """Look all n-grams of a batch up, for every n of the index, the smallest n (at least 2) first.

    An n-gram can only be in the index when the shorter ones inside it are, for the index is made of whole passages; so
    only the smallest n is looked up everywhere, and several n cost little more than one.
    """
    matches = Matches(words, {}, {})
    shorter = 0
    for n in sorted(index):
        if not shorter:
            starts, hashes = _matches_everywhere(words, n, index[n])
        else:
            starts, hashes = _extended(words.hashes, starts, hashes, shorter, n)
            kept = index[n].contains_likely(hashes)
            starts, hashes = starts[kept], hashes[kept]
        matches.starts[n], matches.hashes[n], shorter = starts, hashes, n
    return matches


def _matches_everywhere(words: WordHashes, n: int, index: HashSet) -> tuple[np.ndarray, np.ndarray]:
    starts, hashes = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for low, block, inside in ngram_blocks(words, n):
        hits = np.flatnonzero(index.contains(block) & inside)
        starts.append(hits + low)
        hashes.append(block[hits])
    return np.concatenate(starts), np.concatenate(hashes)


def _extended(
    words: np.ndarray, starts: np.ndarray, hashes: np.ndarray, n: int, longer: int
) -> tuple[np.ndarray, np.ndarray]:
    """From the n-grams found to the ``longer``-grams that can still be found: those in which every n-gram was.

    They stay inside one text, because n-grams found at neighbouring starts share n − 1 ≥ 1 words.
    """
    by = longer - n
    last = max(len(starts) - by, 0)
    kept = np.flatnonzero(starts[len(starts) - last :] - starts[:last] == by)
    starts, hashes = starts[kept], hashes[kept]
    for size in range(n, longer):
        hashes = with_next_word(hashes, words[starts + size])
    return starts, hashes

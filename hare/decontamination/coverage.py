"""Item coverage: how much of a benchmark item stands within a short stretch of a document, however long that is.

A share of the *document* cannot see an item inside a longer document. So the question is turned round: from each n-gram
that a document shares with an item, the stretch around it is grown in both directions to about the item's length, and
the share of the item's words that lie in it is counted, each weighted by its rarity among the items (the idea of Ai2's
``decon``). Order does not matter within the stretch, so that shuffled options or changed numbers hide little.
"""

from dataclasses import dataclass

import numpy as np

from hare.data.words import WordHashes
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.ngrams import Matches, ngram_blocks
from hare.decontamination.rarity import Rarity, shortened, words_of_items

SEED_NGRAM = 8  # words of the n-grams that a stretch is grown from
_MOST_PLACES = 64  # an n-gram that stands at more places of the index is a common phrase, and grows nothing
_LONGEST = 400  # words of a unit that are counted
_CANDIDATES_AT_ONCE = 4096
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Places:
    """Where each n-gram of the index stands.

    ``hashes``: uint64[n-grams], sorted; ``words``: int32[n-grams], the first word of each in the index's numbering.
    """

    hashes: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, index: BenchmarkIndex, n: int) -> "Places":
        """List all n-grams of ``n`` words of all passages."""
        hashes, words = [], []
        for low, block, inside in ngram_blocks(index.words, n):
            kept = np.flatnonzero(inside)
            hashes.append(block[kept])
            words.append((kept + low).astype(np.int32))
        joined = np.concatenate([np.zeros(0, np.uint64), *hashes])
        order = np.argsort(joined, kind="stable")
        return cls(joined[order], np.concatenate([np.zeros(0, np.int32), *words])[order])

    def pairs(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each n-gram (uint64[m]) with each of its places: numbers of the n-grams, and first words; int64[pairs] each.

        n-grams with more than `_MOST_PLACES` places have no pair.
        """
        first = np.searchsorted(self.hashes, hashes, side="left")
        count = np.searchsorted(self.hashes, hashes, side="right") - first
        count[count > _MOST_PLACES] = 0
        return np.repeat(np.arange(len(hashes)), count), self.words[_ranges(first, count)].astype(np.int64)


def _ranges(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """first, first + 1, … of each range, one after the other: int64[sum of count]."""
    before = np.cumsum(count) - count
    return np.arange(count.sum()) + np.repeat(first - before, count)


@dataclass(frozen=True)
class Coverage:
    """The best-covered item of each text: float64[texts] share (0: none), int64[texts] item (−1: none)."""

    share: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class ItemCoverageRule:
    """A document goes when some stretch of it holds more than ``threshold`` of an item.

    A unit of an item is its question, or one of its passages (the question's end with one answer, or with all of
    them). Only units whose words weigh at least ``least_nats`` together are judged: a shorter one says too little.
    """

    index: BenchmarkIndex
    rarity: Rarity
    places: Places
    threshold: float = 0.7
    least_nats: float = 20.0

    @classmethod
    def of(cls, index: BenchmarkIndex, rarity: Rarity | None = None) -> "ItemCoverageRule":
        """The rule over all items of an index."""
        return cls(index, rarity or Rarity.of(index), Places.of(index, SEED_NGRAM))

    name = "item-coverage"
    ngrams = (SEED_NGRAM,)

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return self.coverage(matches).share > self.threshold

    def coverage(self, matches: Matches) -> Coverage:
        """How much of an item each text holds in one stretch; n-grams of `SEED_NGRAM` words were looked up before."""
        words = matches.words
        best = Coverage(np.zeros(len(words.counts)), np.full(len(words.counts), -1))
        seed, place = self.places.pairs(matches.hashes[SEED_NGRAM])
        position = matches.starts[SEED_NGRAM][seed]
        kept = _first_of_diagonal(position, place)
        position, place = position[kept], place[kept]
        for low in range(0, len(position), _CANDIDATES_AT_ONCE):
            part = slice(low, low + _CANDIDATES_AT_ONCE)
            self._judge(words, position[part], place[part], best)
        return best

    def too_short(self) -> int:
        """Items that cannot be judged, since all their words together weigh too little."""
        nats, total = self.rarity.nats, np.zeros(self.index.items)
        for short, item in words_of_items(self.index):
            total += np.bincount(item, nats[np.searchsorted(self.rarity.vocabulary, short)], minlength=len(total))
        return int((total < self.least_nats).sum())

    def _judge(self, words: WordHashes, position: np.ndarray, place: np.ndarray, best: Coverage) -> None:
        """Grow a stretch around each pair of positions (texts, index), int64[pairs] each; keep the best in ``best``."""
        offsets = self.index.words.offsets
        passage = np.searchsorted(offsets, place, side="right") - 1
        item = self.index.item_of_passage[passage]
        begin, end = offsets[passage], offsets[passage + 1]
        opens = np.concatenate(([True], self.index.item_of_passage[1:] != self.index.item_of_passage[:-1]))[passage]
        question = np.flatnonzero(opens & (place < begin + self.index.question_words[item]))
        position, place, item = (np.concatenate([all_, all_[question]]) for all_ in (position, place, item))
        end = np.concatenate([end, begin[question] + self.index.question_words[item[: len(opens)][question]]])
        begin = np.concatenate([begin, begin[question]])
        size = np.minimum(end - begin, _LONGEST)
        text = np.searchsorted(words.offsets, position, side="right") - 1
        reach = size // 2 + SEED_NGRAM
        left = np.maximum(position - (place - begin) - reach, words.offsets[text])
        right = np.minimum(position - (place - begin) + size + reach, words.offsets[text + 1])
        share = self._shares(words, (begin, size), (left, np.maximum(right - left, 0)))
        order = np.argsort(share, kind="stable")
        improved = order[share[order] > best.share[text[order]]]
        best.share[text[improved]], best.item[text[improved]] = share[improved], item[improved]

    def _shares(self, words: WordHashes, unit: tuple[np.ndarray, np.ndarray],
                stretch: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Weighted share of each unit's distinct words that its stretch holds, float64[candidates]; 0 for light units.

        ``unit`` and ``stretch``: first word and number of words, in the index and in the texts.
        """
        count = len(unit[0])
        unit_keys = np.unique(_keys(self.index.words.hashes, *unit))
        held = np.isin(unit_keys, _keys(words.hashes, *stretch), assume_unique=False)
        candidate = (unit_keys >> _HALF).astype(np.int64)
        place, known = self.rarity.places(unit_keys << _HALF)
        nats = np.where(known, self.rarity.nats[place], 0).astype(np.float64)
        total = np.bincount(candidate, nats, minlength=count)
        share = np.bincount(candidate, nats * held, minlength=count) / np.maximum(total, 1e-9)
        return np.where(total >= self.least_nats, share, 0)


def _keys(hashes: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Number of the range and short hash of the word, for every word of some ranges: uint64[words]."""
    owner = np.repeat(np.arange(len(first), dtype=np.uint64), count)
    return owner << _HALF | shortened(hashes[_ranges(first, count)]).astype(np.uint64)


def _first_of_diagonal(position: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Of pairs that follow one another in text and index alike, the first: numbers of the pairs, int64."""
    order = np.lexsort((position, position - place))
    diagonal, where = (position - place)[order], position[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(diagonal) != 0) | (np.diff(where) > SEED_NGRAM)
    return order[fresh]

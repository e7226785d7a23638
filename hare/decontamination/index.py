"""The index: n-grams of every sample of every benchmark in use, and which item each of them comes from."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd

from hare.decontamination import benchmarks
from hare.decontamination.benchmark_sources import Row
from hare.decontamination.hash_set import HashSet
from hare.decontamination.ngrams import ngram_blocks
from hare.decontamination.passages import passages
from hare.decontamination.words import WordHashes, word_hashes
from hare.run.files import read_jsonl
from hare.run.progress import track

_THREADS = 2


@dataclass(frozen=True)
class Split:
    """One split of one benchmark; its items are numbered ``first`` to ``first + items - 1`` in the index."""

    benchmark: str
    subset: str
    split: str
    first: int
    items: int


@dataclass(frozen=True)
class Item:
    """A benchmark item by name: the place of a row in its split, and the row itself."""

    benchmark: str
    subset: str
    split: str
    row_number: int
    row: Row


@dataclass(frozen=True)
class BenchmarkIndex:
    """Sets of n-gram hashes, and the hashed passages that they were made from.

    ``words``: all passages, one after the other; ``item_of_passage``: int32[passages]; ``sets[n]``: the distinct
    n-grams. Memory: some 15 bytes an n-gram and n, 8 bytes a word.
    """

    splits: tuple[Split, ...]
    words: WordHashes
    item_of_passage: np.ndarray
    sets: dict[int, HashSet]

    @property
    def items(self) -> int:
        """Number of benchmark items."""
        return sum(split.items for split in self.splits)

    def lookup(self, numbers: Iterable[int]) -> dict[int, Item]:
        """Items by their numbers, from 0 to `items` − 1; each split is read once."""
        wanted, found = np.unique(np.fromiter(numbers, np.int64)), {}
        for split in self.splits:
            inside = wanted[(wanted >= split.first) & (wanted < split.first + split.items)]
            if len(inside):
                lines = benchmarks.file(split.benchmark, split.split, split.subset).read_text("utf-8").split("\n")
                for number in inside.tolist():
                    place = number - split.first
                    row = json.loads(lines[place])
                    found[number] = Item(split.benchmark, split.subset, split.split, place, row)
        return found

    def items_with(self, n: int, hashes: np.ndarray) -> pd.DataFrame:
        """Every item that holds one of these n-grams: columns ``hash`` (uint64) and ``item``, distinct and sorted."""
        wanted, found = HashSet(hashes), []
        for low, block, inside in ngram_blocks(self.words, n):
            starts = np.flatnonzero(wanted.contains(block) & inside)
            passage = np.searchsorted(self.words.offsets, starts + low, side="right") - 1
            found.append(pd.DataFrame({"hash": block[starts], "item": self.item_of_passage[passage]}))
        return pd.concat(found).drop_duplicates().sort_values(["hash", "item"], ignore_index=True)


def build_index(sizes: Sequence[int], items_per_split: int = 0) -> BenchmarkIndex:
    """Index every benchmark that can be read here: all splits, or their first ``items_per_split`` items when above 0.

    ``sizes`` are the n of the n-grams, in words, from 2 on.
    """
    splits, batches, owners = [], [], []
    first = 0
    names = [name for name in benchmarks.BENCHMARKS if benchmarks.available(name)]
    for name in track(names, "read the benchmarks", "benchmarks"):
        for subset, split in ((b, s) for b in benchmarks.subsets(name) for s in benchmarks.splits(name, b)):
            found = [passages(name, row, max(sizes)) for row in _first_rows(name, subset, split, items_per_split)]
            batches.append(word_hashes([text for texts in found for text in texts]))
            owners.append(np.repeat(np.arange(first, first + len(found), dtype=np.int32), [len(p) for p in found]))
            splits.append(Split(name, subset, split, first, len(found)))
            first += len(found)
    words = _joined(batches)
    with ThreadPoolExecutor(_THREADS) as threads:  # numpy hashes and sorts outside Python's lock
        sets = list(track(threads.map(partial(_distinct, words), sorted(sizes)), "index the n-grams", "lengths"))
    return BenchmarkIndex(tuple(splits), words, np.concatenate(owners), dict(zip(sorted(sizes), sets, strict=True)))


def _first_rows(name: str, subset: str, split: str, count: int) -> list[Row]:
    rows: Iterable[Row] = read_jsonl(benchmarks.file(name, split, subset))
    return list(islice(rows, count or None))


def _joined(batches: list[WordHashes]) -> WordHashes:
    counts = np.concatenate([np.zeros(1, np.int64), *(batch.counts for batch in batches)])
    return WordHashes(np.concatenate([batch.hashes for batch in batches]), np.cumsum(counts))


def _distinct(words: WordHashes, n: int) -> HashSet:
    hashes, size = np.empty(len(words.hashes), np.uint64), 0
    for _, block, inside in ngram_blocks(words, n):
        found = block[inside]
        hashes[size : size + len(found)] = found
        size += len(found)
    return HashSet(hashes[:size])

"""The index: n-grams of every sample of every benchmark in use, and which item each of them comes from."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from hare.benchmarks import registry as benchmarks
from hare.benchmarks.sources import Row
from hare.core.code import code_of
from hare.core.files import read_jsonl, write_json
from hare.core.paths import cache_folder
from hare.core.progress import track
from hare.core.provenance import digest_of
from hare.core.seals import kept_folder
from hare.data.hash_set import HashSet
from hare.data.words import WordHashes, word_hashes
from hare.decontamination.ngrams import distinct_ngrams, ngram_blocks

_THREADS = 2
_ARRAYS = ("hashes", "offsets", "owners", "questions")


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

    ``words``: all passages, one after the other; ``item_of_passage``: int32[passages]; ``question_words``:
    int32[items], how many words of each item's first passage are its question; ``sets[n]``: the distinct n-grams.
    Memory: some 15 bytes per n-gram and n, 8 bytes per word.
    """

    splits: tuple[Split, ...]
    words: WordHashes
    item_of_passage: np.ndarray
    question_words: np.ndarray
    sets: dict[int, HashSet]

    @property
    def items(self) -> int:
        """Number of benchmark items."""
        return sum(split.items for split in self.splits)

    def lookup(self, numbers: Iterable[int]) -> dict[int, Item]:
        """Items by their numbers, from 0 to `items` − 1; each split is read once."""
        wanted, items = np.unique(np.fromiter(numbers, np.int64)), {}
        for split in self.splits:
            inside = wanted[(wanted >= split.first) & (wanted < split.first + split.items)]
            if len(inside):
                lines = benchmarks.file(split.benchmark, split.split, split.subset).read_text("utf-8").split("\n")
                for number in inside.tolist():
                    place = number - split.first
                    row = json.loads(lines[place])
                    items[number] = Item(split.benchmark, split.subset, split.split, place, row)
        return items

    def items_with(self, n: int, hashes: np.ndarray) -> pd.DataFrame:
        """Every item that holds one of the n-grams ``hashes``, uint64[m]: columns ``hash`` and ``item``, sorted."""
        wanted, tables = HashSet(hashes), []
        for low, block, inside in ngram_blocks(self.words, n):
            starts = np.flatnonzero(wanted.contains(block) & inside)
            passage = np.searchsorted(self.words.offsets, starts + low, side="right") - 1
            tables.append(pd.DataFrame({"hash": block[starts], "item": self.item_of_passage[passage]}))
        return pd.concat(tables).drop_duplicates().sort_values(["hash", "item"], ignore_index=True)


def build_index(sizes: Sequence[int], items_per_split: int = 0) -> BenchmarkIndex:
    """Index every benchmark that can be read here: all splits, or their first ``items_per_split`` items when above 0.

    ``sizes`` are the n of the n-grams, in words, from 2 on.
    """
    splits, words, owners, questions = _hashed_benchmarks(max(sizes), items_per_split)
    with ThreadPoolExecutor(_THREADS) as threads:  # numpy hashes and sorts outside Python's lock
        sets = list(track(threads.map(partial(distinct_ngrams, words), sorted(sizes)), "index the n-grams", "lengths"))
    return BenchmarkIndex(splits, words, owners, questions, dict(zip(sorted(sizes), sets, strict=True)))


Hashed = tuple[tuple[Split, ...], WordHashes, np.ndarray, np.ndarray]  # splits, words, item of passage, question words


def _hashed_benchmarks(longest: int, items_per_split: int) -> Hashed:
    """Every passage hashed. Whole benchmarks are kept in the cache under a digest of what they were made from."""
    if items_per_split:
        return _hash_benchmarks(longest, items_per_split)
    files = [str(benchmarks.file(name, split, subset).relative_to(cache_folder())) for name, subset, split in _parts()]
    code = code_of("hare.decontamination.index", leaving_out=("core/",))
    folder = cache_folder() / "benchmark_index" / digest_of([code, longest, files])[:24]
    kept_folder(folder, lambda temporary: _write_hashed(_hash_benchmarks(longest, 0), temporary))
    hashes, offsets, owners, questions = (np.load(folder / f"{name}.npy") for name in _ARRAYS)
    splits = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    return tuple(Split(**split) for split in splits), WordHashes(hashes, offsets), owners, questions


def _write_hashed(hashed: Hashed, folder: Path) -> None:
    splits, words, owners, questions = hashed
    write_json(folder / "splits.json", [asdict(split) for split in splits])
    for name, array in zip(_ARRAYS, (words.hashes, words.offsets, owners, questions), strict=True):
        np.save(folder / f"{name}.npy", array)


def _parts() -> list[tuple[str, str, str]]:
    """Benchmark, subset and split of everything that can be read on this machine."""
    return [(name, subset, split) for name in benchmarks.SPECS if benchmarks.available(name)
            for subset in benchmarks.subsets(name) for split in benchmarks.splits(name, subset)]


def _hash_benchmarks(longest: int, items_per_split: int) -> Hashed:
    splits, batches, owners, questions = [], [], [], []
    first = 0
    for name, subset, split in track(_parts(), "read the benchmarks", "splits"):
        rows = _first_rows(name, subset, split, items_per_split)
        passages = [benchmarks.passages(name, row, longest) for row in rows]
        batches.append(word_hashes([text for texts in passages for text in texts]))
        questions.append(word_hashes([benchmarks.texts(name, row)[0] for row in rows]).counts.astype(np.int32))
        owners.append(np.repeat(np.arange(first, first + len(rows), dtype=np.int32), list(map(len, passages))))
        splits.append(Split(name, subset, split, first, len(rows)))
        first += len(rows)
    return tuple(splits), _joined(batches), np.concatenate(owners), np.concatenate(questions)


def _first_rows(name: str, subset: str, split: str, count: int) -> list[Row]:
    rows: Iterable[Row] = read_jsonl(benchmarks.file(name, split, subset))
    return list(islice(rows, count or None))


def _joined(batches: list[WordHashes]) -> WordHashes:
    counts = np.concatenate([np.zeros(1, np.int64), *(batch.counts for batch in batches)])
    return WordHashes(np.concatenate([batch.hashes for batch in batches]), np.cumsum(counts))

"""Taking benchmark text out of a part of the training data, and keeping the evidence."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hare.core.files import folder_written_whole, read_jsonl, write_jsonl
from hare.core.progress import Progress
from hare.data.shards import shard_files
from hare.data.words import word_hashes, word_spans
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.ngrams import Matches, find_matches
from hare.decontamination.rules import ANY_13, EitherRule

Document = dict[str, Any]
_CHARACTERS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Plan:
    """How one part is treated: the rules, and the longest document allowed, in words (0: of any length)."""

    part: str
    rule: EitherRule
    most_words: int = 0


@dataclass(frozen=True)
class Overlap:
    """A document that shares n-grams with benchmarks.

    ``document``: its row, or only its id when it is kept; ``rules``: names of those that say it has to go;
    ``shares[n]``: share of its n-grams found, where it is long enough to have any; ``ngram``: the longest n of which
    any was found, and ``hashes`` those n-grams (uint64); ``span``: the longest text covered by them.
    """

    part: str
    document: Document
    rules: tuple[str, ...]
    shares: dict[int, float]
    ngram: int
    hashes: np.ndarray
    span: str


@dataclass
class PartReport:
    """What became of one part: counts of documents, and the documents behind them."""

    part: str
    documents: int = 0
    not_judged: int = 0
    too_long: list[Document] = field(default_factory=list)
    removed: list[Overlap] = field(default_factory=list)
    touched: list[Overlap] = field(default_factory=list)  # kept, though a 13-gram of theirs is in a benchmark

    def removed_by(self, rule: str) -> int:
        """How many of the removed documents the rule whose name starts with ``rule`` says have to go."""
        return sum(any(name.startswith(rule) for name in overlap.rules) for overlap in self.removed)


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Group documents into lists of some millions of characters, so that memory stays bounded."""
    batch, size = [], 0
    for document in documents:
        batch.append(document)
        size += len(document["text"])
        if size >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def decontaminate(plan: Plan, source: Path, target: Path, index: BenchmarkIndex) -> PartReport:
    """Copy the documents of ``source`` that the plan keeps to ``target``, shard by shard, and report on the others.

    Both are folders of JSON-lines shards; ``target`` appears whole or not at all.
    """
    report = PartReport(plan.part)
    sets = {n: index.sets[n] for n in sorted({*plan.rule.ngrams, *ANY_13.ngrams})}
    megabytes = sum(shard.stat().st_size for shard in shard_files(source)) / 1e6
    with folder_written_whole(target) as temporary, Progress(f"decontaminate {plan.part}", megabytes, "MB") as progress:
        for shard in shard_files(source):
            kept = (document for batch in batches(read_jsonl(shard)) for document in _kept(plan, batch, sets, report))
            write_jsonl(temporary / shard.name, kept)
            progress.advance(shard.stat().st_size / 1e6)
    return report


def _kept(plan: Plan, batch: list[Document], sets: dict, report: PartReport) -> Iterator[Document]:
    matches = find_matches(word_hashes([document["text"] for document in batch]), sets)
    too_long = matches.words.counts > (plan.most_words or np.inf)
    votes = {rule.name: rule.drops(matches) for rule in plan.rule.rules}
    dropped, touched = np.any(list(votes.values()), axis=0), ANY_13.drops(matches)
    report.documents += len(batch)
    report.not_judged += int(((matches.words.counts < min(plan.rule.ngrams)) & ~too_long).sum())
    overlaps = _Overlaps(plan.part, matches, votes)
    for place, document in enumerate(batch):
        if too_long[place]:
            report.too_long.append(document)
        elif dropped[place]:
            report.removed.append(overlaps.of(place, document))
        else:
            if touched[place]:
                report.touched.append(replace(overlaps.of(place, document), document={"id": document["id"]}))
            yield document


class _Overlaps:
    """Makes the `Overlap` of single documents of a batch."""

    def __init__(self, part: str, matches: Matches, votes: dict[str, np.ndarray]):
        self._part, self._matches, self._votes = part, matches, votes
        self._shares = {n: matches.shares(n) for n in matches.starts}
        self._spans = {n: matches.longest_spans(n) for n in matches.starts}

    def of(self, place: int, document: Document) -> Overlap:
        matches = self._matches
        shares = {n: float(share[place]) for n, share in self._shares.items() if not np.isnan(share[place])}
        ngram = max(n for n, share in shares.items() if share > 0)
        limits = np.searchsorted(matches.starts[ngram], matches.words.offsets[place : place + 2])
        hashes = np.unique(matches.hashes[ngram][slice(*limits)])
        first, length = (int(values[place]) for values in self._spans[ngram])
        spans = word_spans(document["text"])
        shared = document["text"][spans[first][0] : spans[first + length - 1][1]]
        rules = tuple(name for name, drops in self._votes.items() if drops[place])
        return Overlap(self._part, document, rules, shares, ngram, hashes, shared)

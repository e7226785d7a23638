"""Passages: excerpts of a few sentences, from which topics, seeds and tasks are made."""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare.core.progress import track
from hare.data.shards import read_documents
from hare.data.text import rank, sentences

LINE_BASED = frozenset({"code", "math"})  # categories whose line breaks carry meaning
WINDOW_WORDS = 60  # a passage ends with the sentence that reaches this many words
LONGEST_WORDS = 160
SHORTEST_WORDS = 25
LONGEST_BLOCK = 1000  # characters of a passage of code or mathematics
WINDOWS_PER_DOCUMENT = 24
_DOCUMENT_CHARACTERS = 200_000  # the rest of a longer document is ignored


@dataclass(frozen=True)
class Passage:
    """An excerpt of one document; ``id`` is ``<document>#<number of the excerpt>``."""

    id: str
    document: str
    source: str
    category: str
    text: str


def windows(text: str, category: str) -> Iterator[str]:
    """Cut a document into passages, in order: whole sentences of prose, whole blocks of code and mathematics."""
    text = text[:_DOCUMENT_CHARACTERS]
    yield from _block_windows(text) if category in LINE_BASED else _prose_windows(text)


def _prose_windows(text: str) -> Iterator[str]:
    gathered: list[str] = []
    count = 0
    for paragraph in text.split("\n\n"):
        for sentence in sentences(paragraph):
            for part in _parts(sentence):
                gathered.append(part)
                count += part.count(" ") + 1
                if count >= WINDOW_WORDS:
                    yield " ".join(gathered)
                    gathered, count = [], 0
    if count >= SHORTEST_WORDS:
        yield " ".join(gathered)


def _parts(sentence: str) -> list[str]:
    """A sentence, or, where it is too long (text without punctuation, tables), its consecutive parts."""
    pieces = sentence.split(" ")
    if len(pieces) <= LONGEST_WORDS - WINDOW_WORDS:
        return [sentence]
    return [" ".join(pieces[i : i + WINDOW_WORDS]) for i in range(0, len(pieces), WINDOW_WORDS)]


def _block_windows(text: str) -> Iterator[str]:
    gathered = ""
    for block in re.split(r"\n(?=\n|\S)", text):
        if gathered and len(gathered) + len(block) > LONGEST_BLOCK:
            yield gathered.strip("\n")
            gathered = ""
        gathered += block[:LONGEST_BLOCK] + "\n"
    if len(gathered.split()) >= SHORTEST_WORDS:
        yield gathered.strip("\n")


def passages_of(document: dict[str, Any], seed: int) -> list[Passage]:
    """Passages of one document, at most `WINDOWS_PER_DOCUMENT` of them, drawn by hash and kept in order."""
    metadata, name = document["metadata"], document["id"]
    passages = [
        Passage(f"{name}#{number}", name, metadata["source"], metadata["category"], text)
        for number, text in enumerate(windows(document["text"], metadata["category"]))
    ]
    if len(passages) <= WINDOWS_PER_DOCUMENT:
        return passages
    kept = {p.id for p in heapq.nsmallest(WINDOWS_PER_DOCUMENT, passages, key=lambda p: rank(seed, p.id))}
    return [passage for passage in passages if passage.id in kept]


class _Lowest:
    """Keeps the passages with the lowest ranks: a uniform sample that does not depend on the order of the input."""

    def __init__(self, size: int):
        self._size = size
        self._heap: list[tuple[int, str, Passage]] = []

    def see(self, place: int, passage: Passage) -> None:
        entry = (-place, passage.id, passage)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    def kept(self) -> list[Passage]:
        return [passage for *_, passage in self._heap]


@dataclass(frozen=True)
class Sample:
    """Passages of D1, each list sorted by id: ``balanced`` over categories; ``natural``, drawn uniformly."""

    balanced: list[Passage]
    natural: list[Passage]


def sample_passages(folder: Path, per_category: int, natural: int, seed: int) -> Sample:
    """At most ``per_category`` passages of each category of a folder of documents, and ``natural`` ones of all."""
    pools: dict[str, _Lowest] = {}
    everything = _Lowest(natural)
    for document in track(read_documents(folder), "cut D1 into passages", "documents"):
        for passage in passages_of(document, seed):
            place = rank(seed, passage.id)
            pools.setdefault(passage.category, _Lowest(per_category)).see(place, passage)
            everything.see(place, passage)
    balanced = [passage for pool in pools.values() for passage in pool.kept()]
    return Sample(*(sorted(drawn, key=lambda p: p.id) for drawn in (balanced, everything.kept())))

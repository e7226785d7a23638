"""The shape of a cleaning block: look at a document, keep it, edit it or remove it, and leave a trace of what was done.

A block is a datatrove pipeline step, so the same list of blocks runs under datatrove's local, Slurm and Ray executors.
"""

import time
from abc import abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import orjson
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

EXCERPT = 240  # characters
HERE = "▸"  # in an excerpt, before the place that was objected to
_TIMED = 8  # of so many documents one is timed


@dataclass(frozen=True)
class Removal:
    """Why a document goes: a reason in words, the score that decided, and where in the text (characters) to look."""

    reason: str
    score: float
    at: int = 0


@dataclass(frozen=True)
class Edit:
    """A change to a document that stays: what was taken out, how often, and what it looked like."""

    reason: str
    count: int
    excerpt: str


class Stopwatch:
    """Processor seconds spent on documents, estimated from one in `_TIMED`.

    Reading the processor's clock asks the operating system, which costs as much as a cheap block does.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._calls, self._started = 0, 0.0

    def start(self) -> None:
        """Start the clock before a document, if this is one of those that are timed."""
        if self._calls % _TIMED == 0:
            self._started = time.process_time()

    def stop(self) -> None:
        """Stop it after the document, and count its time for all those that are not timed."""
        if self._calls % _TIMED == 0:
            self.seconds += _TIMED * (time.process_time() - self._started)
        self._calls += 1


class Block(PipelineStep):
    """Base of all cleaning blocks.

    Each run counts documents and bytes in and out and processor seconds spent (by sample), as datatrove statistics of
    its task; a task holds one shard of one source, so these are counts by source. Documents in = documents out +
    documents removed, always.
    Removals go to ``<trace>/removed/<block>/<rank>.jsonl``, edits to ``<trace>/edits/<block>/<rank>.jsonl``.
    """

    type = "block"

    def __init__(self, trace: Path):
        super().__init__()
        self.trace = str(trace)

    @abstractmethod
    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the list of edits just made to its text, empty when it is fine as it was."""

    def start(self, rank: int) -> None:
        """Prepare for a shard; called once per task, in the process that runs it."""

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Pass on what stays; see the class for what is counted and written."""
        documents_in = documents_out = bytes_in = bytes_out = edits = 0
        clock = Stopwatch()
        self.start(rank)
        with ExitStack() as stack:
            removed, edited = (stack.enter_context(self._trace(kind, rank)) for kind in ("removed", "edits"))
            for document in data:
                clock.start()
                documents_in += 1
                bytes_in += utf8_length(document.text)
                verdict = self.judge(document)
                if stays := not isinstance(verdict, Removal):
                    for edit in verdict:
                        edited.write(_edit_row(document, self.name, edit))
                    edits += len(verdict)
                    documents_out += 1
                    bytes_out += utf8_length(document.text)
                else:
                    removed.write(_removal_row(document, self.name, verdict))
                clock.stop()
                if stays:
                    yield document
        self.stat_update("documents_in", value=documents_in)
        self.stat_update("documents_out", value=documents_out)
        self.stat_update("bytes_in", value=bytes_in)
        self.stat_update("bytes_out", value=bytes_out)
        self.stat_update("edits", value=edits)
        self.stat_update("seconds", value=clock.seconds)

    def _trace(self, kind: str, rank: int) -> "_Trace":
        return _Trace(Path(self.trace) / kind / self.name / f"{rank:05d}.jsonl")


class _Trace:
    """A file of rows that appears with the first of them.

    datatrove's writer puts its file's name together anew for every row, which costs ten times what writing it does.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file: IO[bytes] | None = None

    def __enter__(self) -> "_Trace":
        return self

    def __exit__(self, *error: object) -> None:
        if self.file:
            self.file.close()

    def write(self, row: dict[str, Any]) -> None:
        """Add a row, as a line of JSON."""
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("wb")
        self.file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE, default=float))  # float: numpy's own


@lru_cache(maxsize=4)
def utf8_length(text: str) -> int:
    """Bytes of ``text`` in UTF-8; kept for the blocks that count the same document one after the other."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="replace"))


def _row(document: Document, block: str, decision: Removal | Edit) -> dict[str, Any]:
    """What the rows of ``removed.jsonl`` and ``edits.jsonl`` begin with."""
    return {
        "id": document.id, "source": document.metadata.get("source", ""),
        "category": document.metadata.get("category", ""), "block": block, "reason": decision.reason,
    }


def _removal_row(document: Document, block: str, removal: Removal) -> dict[str, Any]:
    start = max(0, removal.at - EXCERPT // 2)
    before, behind = document.text[start : removal.at], document.text[removal.at : start + EXCERPT]
    excerpt = _writable(f"{before}{HERE}{behind}" if before else behind)
    score, size = round(removal.score, 4), utf8_length(document.text)
    return _row(document, block, removal) | {"score": score, "bytes": size, "excerpt": excerpt}


def _edit_row(document: Document, block: str, edit: Edit) -> dict[str, Any]:
    return _row(document, block, edit) | {"score": edit.count, "excerpt": _writable(edit.excerpt[:EXCERPT])}


def _writable(excerpt: str) -> str:
    """The excerpt with a question mark for each half of a broken surrogate pair, which no file can hold."""
    return excerpt.encode("utf-8", errors="replace").decode("utf-8")

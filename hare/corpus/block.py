"""The shape of a cleaning block: look at a document, keep it, edit it or remove it, and leave a trace of what was done.

A block is a datatrove pipeline step, so the same list of blocks runs under datatrove's local, Slurm and Ray executors.
"""

import time
from abc import abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter

EXCERPT = 240  # characters
_TIMED = 8  # every so many documents one is timed: reading the processor clock costs as much as a cheap block


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
        """Prepare for a shard; called once a task, in the process that runs it."""

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Pass on what stays; see the class for what is counted and written."""
        counts = dict.fromkeys(("documents_in", "documents_out", "bytes_in", "bytes_out", "edits"), 0)
        seconds = 0.0
        self.start(rank)
        with ExitStack() as stack:
            removed, edited = (stack.enter_context(self._writer(kind)) for kind in ("removed", "edits"))
            for document in data:
                timed = counts["documents_in"] % _TIMED == 0
                started = time.process_time() if timed else 0.0
                counts["documents_in"] += 1
                counts["bytes_in"] += utf8_length(document.text)
                verdict = self.judge(document)
                if isinstance(verdict, Removal):
                    removed.write(_trace_of(document, self.name, verdict), rank)
                else:
                    counts["edits"] += len(verdict)
                    for edit in verdict:
                        edited.write(_trace_of(document, self.name, edit), rank)
                    counts["documents_out"] += 1
                    counts["bytes_out"] += utf8_length(document.text)
                seconds += _TIMED * (time.process_time() - started) if timed else 0.0
                if not isinstance(verdict, Removal):
                    yield document
        for name, value in counts.items():
            self.stat_update(name, value=value)
        self.stat_update("seconds", value=seconds)

    def _writer(self, kind: str) -> JsonlWriter:
        folder = f"{self.trace}/{kind}/{self.name}"
        return JsonlWriter(folder, "${rank}.jsonl", compression=None, adapter=lambda _, document: document.metadata)


@lru_cache(maxsize=4)
def utf8_length(text: str) -> int:
    """Bytes of ``text`` in UTF-8; kept for the blocks that count the same document one after the other."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="replace"))


def _trace_of(document: Document, block: str, what: Removal | Edit) -> Document:
    """A row of ``removed.jsonl`` or ``edits.jsonl``, dressed as a document so that datatrove's writer takes it."""
    row: dict[str, Any] = {
        "id": document.id, "source": document.metadata.get("source", ""),
        "category": document.metadata.get("category", ""), "block": block, "reason": what.reason,
    }
    if isinstance(what, Removal):
        row |= {"score": round(what.score, 4), "bytes": utf8_length(document.text)}
        row["excerpt"] = _writable(document.text[max(0, what.at - EXCERPT // 2) :][:EXCERPT])
    else:
        row |= {"score": what.count, "excerpt": _writable(what.excerpt[:EXCERPT])}
    return Document(text="", id=document.id, metadata=row)


def _writable(excerpt: str) -> str:
    """The excerpt with a question mark for each half of a broken surrogate pair, which no file can hold."""
    return excerpt.encode("utf-8", errors="replace").decode("utf-8")

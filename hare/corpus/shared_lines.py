"""Lines that several documents share word for word: notices, stock parameters, standard notes.

Deduplication below the document, as datatrove does it by sentence, but for whole lines: what repeats in the sources at
hand are paragraphs, and a sentence taken out of the middle of one leaves a hole. Signing goes shard by shard; resolving
is one task that holds 24 bytes per line, of the categories that ask for it (`rules.Rules.shares_no_lines`).
"""

import re
from pathlib import Path

import numpy as np
import xxhash
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from numpy.typing import NDArray

from hare.core.files import written_whole
from hare.corpus.block import Block, Edit, Removal, Stopwatch, utf8_length
from hare.corpus.deduplicate import removed_ids
from hare.corpus.rules import RULES, Rules
from hare.data.document_words import words_of

LEAST_WORDS = 8  # shorter lines are headings and names
LEAST_WORDS_OF_FIELD = 25  # of a line "name: value", for countries that share a value do not repeat one another
LEAST_DOCUMENTS = 3  # that hold the line; two may agree by chance
LINE = np.dtype([("document", "<u8"), ("line", "<u8")])  # hashes of a document's id and of one of its lines
_FIELD = re.compile(r"\s*[^.:]{1,80}: ")


def line_hash(line: str) -> int | None:
    """Hash of a line, whatever its case and spacing; None for a line too short to tell.

    Cut at blanks, not into `hare.data.words`: rows of a table that differ in a sign alone are different lines.
    """
    pieces = line.lower().split()
    if len(pieces) < LEAST_WORDS or (len(pieces) < LEAST_WORDS_OF_FIELD and _FIELD.match(line)):
        return None
    return xxhash.xxh64_intdigest(" ".join(pieces))


def lines_of(identifier: str, text: str) -> NDArray:
    """The document's different lines, LINE[lines]; none when it is a single one.

    A document of one line that another repeats is a duplicate of it.
    """
    if "\n" not in text:
        return np.empty(0, dtype=LINE)
    hashes = dict.fromkeys(line_digest for line in text.split("\n") if (line_digest := line_hash(line)) is not None)
    lines = np.empty(len(hashes), dtype=LINE)
    lines["document"], lines["line"] = xxhash.xxh64_intdigest(identifier), list(hashes)
    return lines


def shared(lines: NDArray) -> NDArray[np.bool_]:
    """Which of all documents' ``lines``, LINE[lines] in order, stand in enough documents: bool[lines].

    The first occurrence of a line does not count.
    """
    order = lines["line"].argsort(kind="stable")
    ordered = lines["line"][order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(lines) else order
    sizes = np.diff(np.r_[starts, len(ordered)])
    is_shared = np.zeros(len(lines), dtype=np.bool_)
    is_shared[order] = np.repeat(sizes >= LEAST_DOCUMENTS, sizes)
    is_shared[order[starts]] = False
    return is_shared


def without_lines(text: str, gone: set[int]) -> tuple[str, list[str]]:
    """The text without the lines whose hashes are ``gone`` and the headings that introduced them; and those lines."""
    kept: list[str] = []
    taken: list[str] = []
    for line in text.split("\n"):
        if line_hash(line) in gone:
            taken.append(line.strip())
            if kept and kept[-1].rstrip().endswith(":") and line_hash(kept[-1]) is None:
                kept.pop()
        elif line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
    return "\n".join(kept).strip(), taken


class SignLines(PipelineStep):
    """Passes documents on and leaves their lines in ``<folder>/<rank>.lines``."""

    name, type = "sign lines", "deduplication of lines"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = str(folder)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """The file appears when the shard's last document has passed."""
        with written_whole(_file(self.folder, rank)) as temporary, temporary.open("wb") as file:
            size, clock = 0, Stopwatch()
            for document in data:
                clock.start()
                if _rules(document).shares_no_lines:
                    file.write(lines_of(document.id, document.text).tobytes())
                size += utf8_length(document.text)
                clock.stop()
                yield document
        self.stat_update("bytes_in", value=size)
        self.stat_update("seconds", value=clock.seconds)


class ResolveLines(PipelineStep):
    """Decides for the whole corpus which lines go; one task, behind `deduplicate.Resolve`, whose decisions it reads."""

    name, type = "resolve lines", "deduplication of lines"

    def __init__(self, folder: Path, decisions: Path, shards: int):
        super().__init__()
        self.folder, self.decisions, self.shards = str(folder), str(decisions), shards

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write ``<decisions>/<rank>.lines`` for each shard: the lines that go."""
        yield from data or ()
        parts = [self._surviving(shard) for shard in range(self.shards)]
        goes = shared(np.concatenate(parts))
        for shard, places in enumerate(np.split(goes, np.cumsum([len(part) for part in parts])[:-1])):
            with written_whole(_file(self.decisions, shard)) as temporary:
                parts[shard][places].tofile(temporary)

    def _surviving(self, shard: int) -> NDArray:
        """The lines of the shard's documents that are no duplicates."""
        lines = np.fromfile(_file(self.folder, shard), dtype=LINE)
        gone = [xxhash.xxh64_intdigest(name) for name in removed_ids(Path(self.decisions), shard)]
        return lines[~np.isin(lines["document"], np.array(gone, dtype=np.uint64))]


def _file(folder: str, rank: int) -> Path:
    return Path(folder) / f"{rank:05d}.lines"


def _rules(document: Document) -> Rules:
    return RULES[document.metadata["category"]]


class SharedLines(Block):
    """Lines that stand in several documents: they stay in the first; a document of little else goes."""

    name = "shared_lines"

    def __init__(self, trace: Path, decisions: Path):
        super().__init__(trace)
        self.decisions = str(decisions)

    def start(self, rank: int) -> None:
        """Prepare for a shard; see `Block.start`."""
        self.gone: dict[int, set[int]] = {}
        for document, line in np.fromfile(_file(self.decisions, rank), dtype=LINE).tolist():
            self.gone.setdefault(document, set()).add(line)

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        gone = self.gone.get(xxhash.xxh64_intdigest(document.id))
        if gone is None:
            return []
        text, taken = without_lines(document.text, gone)
        if len(words_of(text)) < _rules(document).least_words:
            return Removal("little but lines of other documents", 1 - len(text) / len(document.text))
        document.text = text
        return [Edit("line of other documents", len(taken), taken[0])]

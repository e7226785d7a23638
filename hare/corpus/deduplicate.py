"""Duplicates across all sources, as datatrove steps: sign every shard, resolve once, filter every shard.

Signing and filtering run shard by shard under any executor; resolving is one task that holds some 50 bytes per document
besides the signatures of those that resemble another. For corpora that exceed one machine's memory even so, datatrove's
own four-stage MinHash is the path.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import xxhash
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter

from hare.core.files import write_json, written_whole
from hare.corpus.block import Block, Edit, Removal, Stopwatch, utf8_length
from hare.corpus.signature_files import StoredSignatures, append, names_in
from hare.data.minhash import Duplicate, Signer, duplicates

_BATCH = 250_000  # shingles signed together: a fixed amount of memory, whatever the documents


class Sign(PipelineStep):
    """Passes documents on and leaves ``<folder>/<rank>.signatures`` and, of ids and categories, ``<rank>.names``."""

    name, type = "sign", "deduplication"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = str(folder)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Both files appear when the shard's last document has passed; until then a batch at most is in memory."""
        size, seconds, signer, clock = 0, 0.0, Signer(), Stopwatch()
        with written_whole(_signatures(self.folder, rank)) as signed, written_whole(_names(self.folder, rank)) as named:
            with named.open("wb") as names:
                for document in data:
                    clock.start()
                    signer.take(document.text)
                    names.write(orjson.dumps((document.id, document.metadata["category"])) + b"\n")
                    size += utf8_length(document.text)
                    clock.stop()
                    if signer.shingles > _BATCH:
                        seconds += _seconds_to_append(signer, signed)
                        signer = Signer()
                    yield document
            seconds += _seconds_to_append(signer, signed)
        self.stat_update("bytes_in", value=size)
        self.stat_update("seconds", value=seconds + clock.seconds)


def _seconds_to_append(signer: Signer, file: Path) -> float:
    """Sign what was taken, at the end of a file, and say what processor time that took."""
    started = time.process_time()
    append(signer.signed(), file)
    return time.process_time() - started


def _signatures(folder: str, rank: int) -> Path:
    return Path(folder) / f"{rank:05d}.signatures"


def _names(folder: str, rank: int) -> Path:
    return Path(folder) / f"{rank:05d}.names"


class Resolve(PipelineStep):
    """Decides for the whole corpus which documents are duplicates and which are held out; one task."""

    name, type = "resolve", "deduplication"

    def __init__(self, folder: Path, decisions: Path, shards: int, fraction: float, seed: int):
        super().__init__()
        self.folder, self.decisions, self.shards = str(folder), str(decisions), shards
        self.fraction, self.seed = fraction, seed

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write ``<decisions>/<rank>.json`` for each shard: removals by document id, and held-out ids."""
        repeats = duplicates(StoredSignatures([_signatures(self.folder, shard) for shard in range(self.shards)]))
        gone = {duplicate.index: duplicate for duplicate in repeats}
        wanted = {duplicate.of for duplicate in repeats}
        originals: dict[int, str] = {}
        split = _Split(self.fraction, self.seed)
        for index, identifier, category in itertools.chain.from_iterable(self._names_by_shard()):
            if index in wanted:
                originals[index] = identifier
            if index not in gone:
                split.see(identifier, category)
        for shard, names in enumerate(self._names_by_shard()):
            removed, heldout = [], []
            for index, identifier, category in names:
                if index in gone:
                    removed.append(_row(gone[index], identifier, originals))
                elif split.holds_out(identifier, category):
                    heldout.append(identifier)
            write_json(Path(self.decisions) / f"{shard:05d}.json", {"removed": removed, "heldout": heldout})
        yield from ()

    def _names_by_shard(self) -> Iterator[Iterator[tuple[int, str, str]]]:
        """For each shard the index in the corpus, id and category of its documents; to be read one after the other."""
        index = itertools.count()
        for shard in range(self.shards):
            yield ((next(index), *names) for names in names_in(_names(self.folder, shard)))


class _Split:
    """Held out are the documents whose hash of the id falls into the lowest ``fraction``, whatever else there is.

    A category that would have none, or nothing else, gives or keeps the one with the lowest hash.
    """

    def __init__(self, fraction: float, seed: int):
        self.fraction, self.seed = fraction, seed
        self.seen: Counter[str] = Counter()
        self.below: Counter[str] = Counter()
        self.lowest: dict[str, tuple[float, str]] = {}

    def see(self, identifier: str, category: str) -> None:
        """Count a document that stays."""
        rank = held_out_rank(identifier, self.seed)
        self.seen[category] += 1
        self.below[category] += rank < self.fraction
        self.lowest[category] = min(self.lowest.get(category, (1.0, "")), (rank, identifier))

    def holds_out(self, identifier: str, category: str) -> bool:
        """Whether the document is held out, once all have been seen."""
        if self.seen[category] > 1 and self.below[category] in (0, self.seen[category]):
            return (identifier == self.lowest[category][1]) == (self.below[category] == 0)
        return self.seen[category] > 1 and held_out_rank(identifier, self.seed) < self.fraction


def removed_ids(decisions: Path, shard: int) -> list[str]:
    """Ids of the shard's documents that `Resolve` has found to be duplicates."""
    decided = json.loads((decisions / f"{shard:05d}.json").read_text(encoding="utf-8"))
    return [row[0] for row in decided["removed"]]


def held_out_rank(identifier: str, seed: int) -> float:
    """A number in [0, 1) that depends on the document's id alone."""
    return xxhash.xxh64_intdigest(identifier, seed=seed) / 2**64


def _row(duplicate: Duplicate, identifier: str, originals: dict[int, str]) -> list[object]:
    return [identifier, originals[duplicate.of], duplicate.similarity, duplicate.exact]


class _Duplicates(Block):
    """Shared half of the two blocks: what `Resolve` decided for this shard."""

    exact: bool

    def __init__(self, trace: Path, decisions: Path):
        super().__init__(trace)
        self.decisions = str(decisions)

    def start(self, rank: int) -> None:
        """Prepare for a shard; see `Block.start`."""
        decided = json.loads((Path(self.decisions) / f"{rank:05d}.json").read_text(encoding="utf-8"))
        rows = (row[:3] for row in decided["removed"] if row[3] == self.exact)
        self.repeats = {name: (of, similarity) for name, of, similarity in rows}

    def judge(self, document: Document) -> Removal | list[Edit]:
        """Why the document is removed, or the edits made to its text; see `Block.judge`."""
        if document.id not in self.repeats:
            return []
        of, similarity = self.repeats[document.id]
        return Removal(f"repeats {of}", similarity)


class ExactDuplicates(_Duplicates):
    """Documents with the same words as an earlier one, in any source."""

    name, exact = "exact_duplicates", True


class NearDuplicates(_Duplicates):
    """Documents whose five-word shingles are nearly those of an earlier one, in any source."""

    name, exact = "near_duplicates", False


class HoldOut(PipelineStep):
    """Writes held-out documents to a folder of their own and passes on the others."""

    name, type = "hold out", "split"

    def __init__(self, folder: Path, decisions: Path):
        super().__init__()
        self.folder, self.decisions = str(folder), str(decisions)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents for training."""
        decided = json.loads((Path(self.decisions) / f"{rank:05d}.json").read_text(encoding="utf-8"))
        chosen = set(decided["heldout"])
        with JsonlWriter(self.folder, "${rank}.jsonl", compression=None) as writer:
            for document in data:
                if document.id in chosen:
                    writer.write(document, rank)
                else:
                    yield document

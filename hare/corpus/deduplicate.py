"""Duplicates across all sources, as datatrove steps: sign every shard, resolve once, filter every shard.

Signing and filtering run shard by shard under any executor; resolving is one task that holds 500 bytes a document. For
corpora whose signatures exceed one machine's memory datatrove's own four-stage MinHash is the path.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.jsonl import JsonlWriter

from hare.corpus.block import Block, Edit, Removal, utf8_length
from hare.corpus.signatures import Duplicate, Signatures, duplicates, joined, signatures_of
from hare.run.files import write_json, written_whole

_BATCH = 1000  # documents signed together


class Sign(PipelineStep):
    """Passes documents on and leaves their signatures, ids and categories in ``<folder>/<rank>.npz`` and ``.json``."""

    name, type = "sign", "deduplication"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = str(folder)

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write the shard's signatures when its last document has passed."""
        parts, names, batch = [], [], []
        size = seconds = 0.0
        for document in data:
            batch.append(document.text)
            names.append((document.id, document.metadata["category"]))
            size += utf8_length(document.text)
            if len(batch) == _BATCH:
                started = time.process_time()
                parts.append(signatures_of(batch))
                seconds += time.process_time() - started
                batch = []
            yield document
        started = time.process_time()
        signatures = joined([*parts, signatures_of(batch)])
        self.stat_update("bytes_in", value=size)
        self.stat_update("seconds", value=seconds + time.process_time() - started)
        stem = Path(self.folder) / f"{rank:05d}"
        with written_whole(stem.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
            np.savez(file, digests=signatures.digests, values=signatures.values)
        write_json(stem.with_suffix(".json"), names)


class Resolve(PipelineStep):
    """Decides for the whole corpus which documents are duplicates and which are held out; one task.

    Held out are the documents whose hash of the id falls into the lowest ``fraction``: independent of corpus size and
    order. A category that would have none, or nothing else, gives or keeps the one with the lowest hash.
    """

    name, type = "resolve", "deduplication"

    def __init__(self, folder: Path, decisions: Path, shards: int, fraction: float, seed: int):
        super().__init__()
        self.folder, self.decisions, self.shards = str(folder), str(decisions), shards
        self.fraction, self.seed = fraction, seed

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Write ``<decisions>/<rank>.json`` for each shard: removals by document id, and held-out ids."""
        parts, names, ranks = [], [], []
        for shard in range(self.shards):
            stem = Path(self.folder) / f"{shard:05d}"
            with np.load(stem.with_suffix(".npz")) as arrays:
                parts.append(Signatures(arrays["digests"], arrays["values"]))
            names += json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
            ranks += [shard] * len(parts[-1])
        found = duplicates(joined(parts))
        gone = {duplicate.index for duplicate in found}
        kept = [tuple(name) for index, name in enumerate(names) if index not in gone]
        heldout = self._held_out(kept)
        by_shard: list[dict[str, list]] = [{"removed": [], "heldout": []} for _ in range(self.shards)]
        for duplicate in found:
            by_shard[ranks[duplicate.index]]["removed"].append(_row(duplicate, names))
        for index, (identifier, _) in enumerate(names):
            if identifier in heldout:
                by_shard[ranks[index]]["heldout"].append(identifier)
        for shard, decided in enumerate(by_shard):
            write_json(Path(self.decisions) / f"{shard:05d}.json", decided)
        yield from ()

    def _held_out(self, kept: list[tuple[str, str]]) -> set[str]:
        chosen: set[str] = set()
        for category in sorted({category for _, category in kept}):
            ranked = sorted((held_out_rank(name, self.seed), name) for name, of in kept if of == category)
            below = [name for rank, name in ranked if rank < self.fraction]
            chosen |= set(below or [ranked[0][1]]) if len(ranked) > 1 else set()
        return chosen


def held_out_rank(identifier: str, seed: int) -> float:
    """A number in [0, 1) that depends on the document's id alone."""
    return xxhash.xxh64_intdigest(identifier, seed=seed) / 2**64


def _row(duplicate: Duplicate, names: list[list[str]]) -> list[object]:
    return [names[duplicate.index][0], names[duplicate.of][0], duplicate.similarity, duplicate.exact]


class _Duplicates(Block):
    """Shared half of the two blocks: what `Resolve` decided for this shard."""

    exact: bool

    def __init__(self, trace: Path, decisions: Path):
        super().__init__(trace)
        self.decisions = str(decisions)

    def start(self, rank: int) -> None:
        decided = json.loads((Path(self.decisions) / f"{rank:05d}.json").read_text(encoding="utf-8"))
        own = (row[:3] for row in decided["removed"] if row[3] == self.exact)
        self.found = {name: (of, similarity) for name, of, similarity in own}

    def judge(self, document: Document) -> Removal | list[Edit]:
        if document.id not in self.found:
            return []
        of, similarity = self.found[document.id]
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

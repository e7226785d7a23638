"""The cleaning of D1 from raw sources to shards, on datatrove: the same lists of steps under every executor.

Three launches, each finished before the next: filter and sign every source; resolve duplicates once; filter duplicates
and split. datatrove marks completed shards, so a killed run continues where it stopped. Everything lies in a folder
named after a digest of what decides the outcome, so shards of another configuration are never taken over.
"""

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers.jsonl import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter

from hare.core.code import code_of
from hare.core.files import folder_written_whole, read_jsonl, write_jsonl, written_whole
from hare.core.provenance import digest_of
from hare.core.sections import CLEANING_BLOCKS, EVERY_BLOCK, Corpus
from hare.corpus.block import Block, utf8_length
from hare.corpus.blocks import single_document_blocks
from hare.corpus.deduplicate import ExactDuplicates, HoldOut, NearDuplicates, Resolve, Sign
from hare.corpus.executors import cluster, launch
from hare.corpus.redoing import forget_damaged, remember
from hare.corpus.sample import Sample
from hare.corpus.shared_lines import ResolveLines, SharedLines, SignLines
from hare.corpus.slurm_executor import end_jobs
from hare.corpus.sources.source import Source

BLOCKS = CLEANING_BLOCKS
_NO_CLEANING = ("core", "driver")  # folders of code that runs a cleaning without deciding what comes of it


class ReadSource(PipelineStep):
    """Reads the source whose number is the rank, up to a limit of raw text."""

    name, type = "read", "source"

    def __init__(self, sources: Iterable[Source], max_mb: float):
        super().__init__()
        self.sources, self.max_mb = tuple(sources), max_mb

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield raw documents with metadata ``source``, ``category`` and ``punctuated``."""
        source = self.sources[rank]
        metadata = {"source": source.name, "category": source.category, "punctuated": source.punctuated}
        taken = 0
        for key, text in source.rows():
            taken += utf8_length(text)
            yield Document(text=text, id=f"{source.name}/{key}", metadata=dict(metadata))
            if taken >= self.max_mb * 1e6 / source.shards:
                break


class ReadShard(JsonlReader):
    """Reads the one file that an earlier launch wrote under this rank; none when no document was left."""

    def run(self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Yield the shard's documents."""
        name = f"{rank:05d}.jsonl"
        if self.data_folder.isfile(name):
            for document in self.read_file(name):
                document.metadata.pop("file_path", None)
                yield document


@dataclass(frozen=True)
class Cleaned:
    """Where a cleaning has left its shards and its traces; ``sources`` are in the order of the ranks."""

    folder: Path
    sources: tuple[Source, ...]

    @property
    def launches(self) -> dict[str, Path]:
        """Folders of datatrove's logs and statistics."""
        return {name: self.folder / "logs" / name for name in ("filter", "resolve", "deduplicate")}


def fetch_archives(sources: Iterable[Source]) -> None:
    """Download what the sources need and is not in the cache; one process, before the workers start."""
    for source in sources:
        source.prepare()


def clean(config: Corpus, sources: tuple[Source, ...], work: Path, left_out: frozenset[str] = frozenset()) -> Cleaned:
    """Run all blocks but those ``left_out`` over ``sources``; shards, removals and statistics lie in a folder under
    ``work``."""
    fetch_archives(sources)
    folder = work / f"cleaning-{_digest(config, sources, left_out)}"
    for stale in work.glob("cleaning-*"):
        if stale != folder:
            end_jobs(stale / "logs")
            shutil.rmtree(stale)
    count, logs, filtered = len(sources), folder / "logs", folder / "filtered"
    forget_damaged(folder)
    with cluster(config.cleaning_executor):
        steps = filtering(config, sources, folder, left_out)
        launch("filter sources", steps, config, logs / "filter", [s.work for s in sources])
        remember(folder, "filter")
        launch("find duplicates", resolving(config, count, folder), config, logs / "resolve", [1.0])
        remember(folder, "resolve")
        sizes = {path.name: path.stat().st_size for path in filtered.glob("*.jsonl")}
        work = [sizes.get(f"{rank:05d}.jsonl", 0) for rank in range(count)]
        launch("remove duplicates", deduplicating(folder, left_out), config, logs / "deduplicate", work)
        remember(folder, "deduplicate")
    return Cleaned(folder, sources)


def clean_without(block: str, config: Corpus, cleaned: Cleaned, work: Path, d1: Path) -> None:
    """Make D1 as it is when one block, or every block, is left out: a folder of shards ``d1``.

    What ``cleaned`` holds out is held out of it too: a hash of the ids sees to that, but not for a document that
    repeats one that a block had removed.
    """
    left_out = frozenset(BLOCKS if block == EVERY_BLOCK else [block])
    without = clean(config, cleaned.sources, work / "without" / block, left_out)
    held_out = {row["id"] for shard in (cleaned.folder / "heldout").glob("*.jsonl") for row in read_jsonl(shard)}
    with folder_written_whole(d1) as temporary:
        for shard in sorted((without.folder / "d1").glob("*.jsonl")):
            write_jsonl(temporary / shard.name, (row for row in read_jsonl(shard) if row["id"] not in held_out))


def filtering(
    config: Corpus, sources: tuple[Source, ...], folder: Path, left_out: frozenset[str] = frozenset()
) -> list[PipelineStep]:
    """First launch, one task per source: the blocks that look at one document, then signatures of what is left."""
    soundness, *others = single_document_blocks(folder)
    return [
        ReadSource(sources, config.max_mb_per_source),
        *_but(left_out, soundness),
        Sample(folder / "raw"),
        *_but(left_out, *others),
        Sign(folder / "signatures"),
        SignLines(folder / "signatures"),
        JsonlWriter(str(folder / "filtered"), "${rank}.jsonl", compression=None),
    ]


def resolving(config: Corpus, shards: int, folder: Path) -> list[PipelineStep]:
    """Second launch, one task: which documents repeat an earlier one, which are held out, which lines are shared."""
    signatures, decisions = folder / "signatures", folder / "decisions"
    return [
        Resolve(signatures, decisions, shards, config.heldout_fraction, config.corpus_seed),
        ResolveLines(signatures, decisions, shards),
    ]


def _but(left_out: frozenset[str], *blocks: Block) -> list[Block]:
    return [block for block in blocks if block.name not in left_out]


def deduplicating(folder: Path, left_out: frozenset[str] = frozenset()) -> list[PipelineStep]:
    """Third launch, one task per source: remove duplicates, split off the held-out documents."""
    decisions = folder / "decisions"
    return [
        ReadShard(str(folder / "filtered"), compression=None),
        *_but(
            left_out, ExactDuplicates(folder, decisions), NearDuplicates(folder, decisions),
            SharedLines(folder, decisions),
        ),
        Sample(folder / "kept"),
        HoldOut(folder / "heldout", decisions),
        JsonlWriter(str(folder / "d1"), "${rank}.jsonl", compression=None),
    ]


def publish(cleaned: Cleaned, d1: Path, heldout: Path, removed: Path, edits: Path) -> None:
    """Copy shards and traces to where later stages look for them, each whole or not at all."""
    for name, target in (("d1", d1), ("heldout", heldout)):
        with folder_written_whole(target) as temporary:
            shutil.copytree(cleaned.folder / name, temporary, dirs_exist_ok=True)
    for name, target in (("removed", removed), ("edits", edits)):
        with written_whole(target) as temporary, temporary.open("wb") as joined:
            for part in trace_files(cleaned.folder / name):
                joined.write(part.read_bytes())


def trace_files(folder: Path) -> Iterator[Path]:
    """Files of traces in the order of the blocks, then of the ranks."""
    for block in BLOCKS:
        yield from sorted((folder / block).glob("*.jsonl"))


def _digest(config: Corpus, sources: tuple[Source, ...], left_out: frozenset[str] = frozenset()) -> str:
    """What decides the outcome: configuration, sources and the code that cleans; not where and on how many cores."""
    settings = dataclasses.asdict(config)
    for free in ("cleaning_workers", "cleaning_executor", "cleaning_sbatch", "blocks_left_out"):
        settings.pop(free)
    cards = [(s.name, s.category, s.punctuated, s.members, s.version) for s in sources]
    readers = {type(source).__module__ for source in sources} | {
        source.read.__module__ for source in sources if isinstance(source, Source)
    }
    code = code_of(__name__, *sorted(readers), leaving_out=_NO_CLEANING)
    return digest_of([settings, cards, code, *sorted(left_out)])[:16]

"""The cleaning of D1 from raw sources to shards, on datatrove: the same lists of steps under every executor.

Three launches, each finished before the next: filter and sign every source; resolve duplicates once; filter duplicates
and split. datatrove marks completed shards, so a killed run continues where it stopped. Everything lies in a folder
named after a digest of what decides the outcome, so shards of another configuration are never taken over.
"""

import contextlib
import dataclasses
import io
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import multiprocess
from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers.jsonl import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from loguru import logger

from hare.corpus.block import utf8_length
from hare.corpus.blocks import single_document_blocks
from hare.corpus.deduplicate import ExactDuplicates, HoldOut, NearDuplicates, Resolve, Sign
from hare.corpus.sample import Sample
from hare.corpus.source import Source
from hare.run.files import folder_written_whole, sha256_of, written_whole
from hare.run.profile import Corpus
from hare.run.progress import Progress
from hare.run.provenance import digest_of

_SECONDS_BETWEEN_LOOKS = 0.25
BLOCKS = (
    "soundness", "language", "personal_information", "completeness", "repetition", "exact_duplicates",
    "near_duplicates",
)


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


class _QuietLocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor with its log in files only, so that a notebook stays readable."""

    def _launch_run_for_rank(self, *arguments: Any, **keywords: Any) -> Any:
        with contextlib.redirect_stderr(io.StringIO()):
            return super()._launch_run_for_rank(*arguments, **keywords)


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


def clean(config: Corpus, sources: tuple[Source, ...], work: Path) -> Cleaned:
    """Run all blocks over ``sources``; shards, removals and statistics lie in a folder under ``work``."""
    fetch_archives(sources)
    folder = work / f"cleaning-{_digest(config, sources)}"
    for stale in work.glob("cleaning-*"):
        if stale != folder:
            shutil.rmtree(stale)
    count = len(sources)
    launch("filter sources", filtering(config, sources, folder), count, config, folder / "logs" / "filter")
    launch("find duplicates", resolving(config, count, folder), 1, config, folder / "logs" / "resolve")
    launch("remove duplicates", deduplicating(folder), count, config, folder / "logs" / "deduplicate")
    return Cleaned(folder, sources)


def filtering(config: Corpus, sources: tuple[Source, ...], folder: Path) -> list[PipelineStep]:
    """First launch, one task a source: the blocks that look at one document, then signatures."""
    soundness, *others = single_document_blocks(folder)
    return [
        ReadSource(sources, config.max_mb_per_source),
        soundness,
        Sample(folder / "raw"),
        *others,
        Sign(folder / "signatures"),
        JsonlWriter(str(folder / "filtered"), "${rank}.jsonl", compression=None),
    ]


def resolving(config: Corpus, shards: int, folder: Path) -> list[PipelineStep]:
    """Second launch, one task: which documents repeat an earlier one, which are held out."""
    return [
        Resolve(folder / "signatures", folder / "decisions", shards, config.heldout_fraction, config.corpus_seed)
    ]


def deduplicating(folder: Path) -> list[PipelineStep]:
    """Third launch, one task a source: remove duplicates, split off the held-out documents."""
    decisions = folder / "decisions"
    return [
        ReadShard(str(folder / "filtered"), compression=None),
        ExactDuplicates(folder, decisions),
        NearDuplicates(folder, decisions),
        Sample(folder / "kept"),
        HoldOut(folder / "heldout", decisions),
        JsonlWriter(str(folder / "d1"), "${rank}.jsonl", compression=None),
    ]


def launch(what: str, pipeline: list[PipelineStep], tasks: int, config: Corpus, logs: Path) -> None:
    """Run a list of steps under the profile's executor and wait until every task has ended."""
    logger.disable("datatrove")
    executor = executor_for(config.cleaning_executor, pipeline, tasks, config.cleaning_workers, logs)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            executor.run()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    with Progress(what, tasks, "task") as progress:
        thread.start()
        done = 0
        while not failures and (thread.is_alive() or done < tasks):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            finished = tasks - len(executor.get_incomplete_ranks(skip_completed=True))
            progress.advance(finished - done)
            done = finished
    if failures:
        raise failures[0]


def executor_for(name: str, pipeline: list[PipelineStep], tasks: int, workers: int, logs: Path) -> PipelineExecutor:
    """datatrove's executor called ``name``: local, slurm (one array job, partition from $SBATCH_PARTITION) or ray."""
    common: dict[str, Any] = {"pipeline": pipeline, "tasks": tasks, "logging_dir": str(logs)}
    if name == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor

        partition = os.environ.get("SBATCH_PARTITION", "cpu")
        return SlurmPipelineExecutor(**common, workers=workers, time="24:00:00", partition=partition)
    if name == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor(**common, workers=workers)
    multiprocess.set_forkserver_preload([__name__])  # one import for all workers of all launches
    return _QuietLocalExecutor(**common, workers=workers)


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


def _digest(config: Corpus, sources: tuple[Source, ...]) -> str:
    """What decides the outcome: configuration, sources and this package's code; not where and on how many cores."""
    settings = dataclasses.asdict(config)
    for free in ("cleaning_workers", "cleaning_executor"):
        settings.pop(free)
    cards = [(s.name, s.category, s.punctuated, s.members, s.version) for s in sources]
    code = [sha256_of(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    return digest_of([settings, cards, code])[:16]

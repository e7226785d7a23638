"""How fast a corpus is cleaned: all blocks on one core, and near-duplicate search beside datatrove's own."""

import csv
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from loguru import logger

from hare.bench.datatrove_words import RegexTokenizer
from hare.core.files import written_whole
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.progress import track
from hare.core.sections import Corpus
from hare.corpus.block import utf8_length
from hare.corpus.executors import launch
from hare.corpus.pipeline import ReadSource, fetch_archives, filtering
from hare.corpus.rules import RULES
from hare.corpus.sources.registry import SOURCES
from hare.corpus.sources.source import Source
from hare.corpus.truth.defects import duplicates as planted_duplicates
from hare.data.minhash import duplicates, signatures_of

_MB_PER_SOURCE = 0.5
_PASSES = 3
_STEPS = {"sample": "words", "sign": "signing", "sign lines": "line_signing"}  # steps that are no blocks
_MB_FOR_MEMORY, _TIMES = 3, (1, 4, 16)
_PAIRS = 3
_MB_FOR_SPEEDUP = 3.0  # of each source, 40 MB in all: enough that starting the processes hardly counts
_LOOP = "import time; s = time.perf_counter(); x = 0\nfor i in range(20_000_000): x = x * 31 + i & 65535\n"
_PLANTED = 300  # near-duplicates at Jaccard similarity 0.8
_NEEDS_NO_SPACY = "ace_Arab"  # a language whose tokenizer datatrove can build without spaCy; replaced at once
_SLOW_TO_READ = ("mathematics-problems",)  # made on the fly


def bench(profile: Profile) -> dict[str, float]:
    """MB/s per core of cleaning, block by block, and of near-duplicate search beside datatrove's; memory; gain.

    Throughput is in processor time; the gain from a second worker is in wall time, on the same sources; memory is the
    peak of a process that cleans 1, 4 and 16 times as much text. The same numbers as a table: ``bench/corpus.csv``.
    """
    logger.disable("datatrove")
    sources = tuple(source for source in SOURCES if source.name not in _SLOW_TO_READ)
    fetch_archives(sources)
    limit = min(_MB_PER_SOURCE, profile.corpus.max_mb_per_source)
    reader = ReadSource(sources, limit)
    documents = list(itertools.chain.from_iterable(reader.run(rank=rank) for rank in range(len(sources))))
    with tempfile.TemporaryDirectory() as folder:
        metrics = _cleaning(profile.corpus, documents, Path(folder))
        metrics |= _minhash(documents, Path(folder))
        metrics |= _memory(Path(folder))
        metrics |= _speedup(profile.corpus, sources, Path(folder))
    _write_table(metrics, Workspace(profile.name).results / "bench" / "corpus.csv")
    return metrics


def _cleaning(config: Corpus, documents: Sequence[Document], folder: Path) -> dict[str, float]:
    """MB/s per core of all between reading and writing, in the median of some passes, and of each block alone."""
    size = sum(utf8_length(document.text) for document in documents) / 1e6
    rates, speeds = [], []
    for number in track(range(_PASSES), "clean on one core", "passes"):
        steps = filtering(config, (), folder / f"pass-{number}")[1:-1]
        stream = iter([replace(document, metadata=dict(document.metadata)) for document in documents])
        for step in steps:
            stream = step.run(stream, rank=0)
        started = time.process_time()
        for _ in stream:
            pass
        rates.append(size / (time.process_time() - started))
        speeds.append({step.name: step.stats["bytes_in"].total / 1e6 / step.stats["seconds"].total for step in steps})
    by_step = {_STEPS.get(name, name): median(speed[name] for speed in speeds) for name in speeds[0]}
    return {"cleaning_mb_per_s_per_core": median(rates)} | {
        f"cleaning_mb_per_s_per_core.{name}": speed for name, speed in by_step.items()
    }


def _minhash(documents: Sequence[Document], folder: Path) -> dict[str, float]:
    """Both searches on the same texts, among them planted near-duplicates of prose; recall is over those.

    They are planted into documents that stay: ours follows no chains of duplicates, datatrove's does.
    """
    texts = [document.text for document in documents]
    gone = {item.index for item in duplicates(signatures_of(texts))}
    prose = (document.text for index, document in enumerate(documents)
             if index not in gone and RULES[document.metadata["category"]].sentences)
    long = [text for text in prose if 100 <= len(text.split()) <= 1000][:_PLANTED]
    near = [item.text for item in planted_duplicates(long, random.Random(0)) if item.kind == "jaccard 0.80"]
    searched = [*texts, *near]
    size = sum(map(utf8_length, searched)) / 1e6
    started = time.process_time()
    ours_removed = {item.index for item in duplicates(signatures_of(searched))}
    ours = time.process_time() - started
    started = time.process_time()
    theirs_removed = _datatrove_duplicates(searched, folder)
    theirs = time.process_time() - started
    planted = range(len(texts), len(searched))
    return {
        "minhash_mb_per_s_per_core": size / ours, "datatrove_minhash_mb_per_s_per_core": size / theirs,
        "minhash_vs_datatrove": theirs / ours,
        "minhash_recall_jaccard_0_8": sum(index in ours_removed for index in planted) / len(planted),
        "datatrove_minhash_recall_jaccard_0_8": sum(index in theirs_removed for index in planted) / len(planted),
    }


def _datatrove_duplicates(texts: Sequence[str], folder: Path) -> set[int]:
    """Indices that datatrove's MinHash (14 buckets of 8, its default) would remove, by its first three stages."""
    signatures, buckets, removed = (str(folder / name) for name in ("theirs", "buckets", "remove"))
    sign = MinhashDedupSignature(signatures, language=_NEEDS_NO_SPACY)
    sign.word_tokenizer = RegexTokenizer()
    sign((Document(text=text, id=str(index)) for index, text in enumerate(texts)), 0, 1)
    for bucket in range(14):
        MinhashDedupBuckets(signatures, buckets)(None, bucket, 14)
    MinhashDedupCluster(buckets, removed)(None, 0, 1)
    data = (folder / "remove" / "000000.remove").read_bytes()
    return {int.from_bytes(data[place : place + 4], "little") for place in range(0, len(data), 4)}


def _memory(folder: Path) -> dict[str, float]:
    """Peak memory of cleaning 1, 4 and 16 times as much text, each in a process of its own."""
    metrics = {}
    for times in track(_TIMES, "memory by size of the corpus", "sizes"):
        size, work = str(times * _MB_FOR_MEMORY), str(folder / f"memory-{times}")
        command = [sys.executable, "-m", "hare.bench.corpus_memory", size, work]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        metrics[f"cleaning_peak_rss_mb.{times}x"] = float(done.stdout.split()[-1])
    growth = metrics[f"cleaning_peak_rss_mb.{_TIMES[-1]}x"] / metrics[f"cleaning_peak_rss_mb.{_TIMES[0]}x"]
    return metrics | {"cleaning_peak_rss_growth_16x": growth}


def _speedup(config: Corpus, sources: tuple[Source, ...], folder: Path) -> dict[str, float]:
    """Wall time of the filtering launch with one worker over that with two, beside what the machine itself gains.

    Two cores are rarely twice one: they share caches, memory and often a physical core. So a bare loop in one process
    and in two at the same time is measured in turns with the cleaning; all are medians over some turns.
    """
    limit = min(_MB_FOR_SPEEDUP, config.max_mb_per_source)
    local = replace(config, max_mb_per_source=limit, cleaning_executor="local")
    _filter_seconds(replace(local, max_mb_per_source=0.001, cleaning_workers=2), sources, folder / "warm")
    gains, ceilings = [], []
    for number in range(_PAIRS):
        ceilings.append(2 * _loop_seconds(1) / _loop_seconds(2))
        one, two = (
            _filter_seconds(replace(local, cleaning_workers=workers), sources, folder / f"{number}-{workers}")
            for workers in (1, 2)
        )
        gains.append(one / two)
    return {
        "cleaning_speedup_2_workers": median(gains), "machine_speedup_2_processes": median(ceilings),
        "cleaning_speedup_of_machine": median(gain / most for gain, most in zip(gains, ceilings, strict=True)),
    }


def _loop_seconds(processes: int) -> float:
    """Wall time of a loop that needs nothing but its core, in so many processes at once; the slowest counts."""
    command = [sys.executable, "-c", f"{_LOOP}print(time.perf_counter() - s)"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return max(float(process.communicate()[0]) for process in running)


def _filter_seconds(config: Corpus, sources: tuple[Source, ...], work: Path) -> float:
    started = time.monotonic()
    steps = filtering(config, sources, work)
    launch(f"clean with {config.cleaning_workers} worker(s)", steps, config, work / "logs", [s.work for s in sources])
    return time.monotonic() - started


def _write_table(metrics: dict[str, float], path: Path) -> None:
    """One row per metric: what was measured, of which part, and the value."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("metric", "part", "value"))
        rows.writerows((*(name.partition(".")[::2]), f"{value:.6g}") for name, value in metrics.items())

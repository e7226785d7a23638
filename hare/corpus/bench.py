"""How fast a corpus is cleaned: all blocks on one core, and near-duplicate search beside datatrove's own."""

import itertools
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from datatrove.utils.word_tokenizers import WordTokenizer
from loguru import logger

from hare.corpus.block import utf8_length
from hare.corpus.blocks import single_document_blocks
from hare.corpus.deduplicate import Sign
from hare.corpus.defects import duplicates as planted_duplicates
from hare.corpus.pipeline import ReadSource, fetch_archives, filtering, launch
from hare.corpus.registry import SOURCES
from hare.corpus.rules import RULES
from hare.corpus.signatures import duplicates, signatures_of
from hare.corpus.source import Source
from hare.run.profile import Profile

_MB_PER_SOURCE = 0.5
_MB_FOR_SPEEDUP = 2.0  # of each source: enough that starting the processes hardly counts
_PLANTED = 300  # near-duplicates at Jaccard similarity 0.8
_NEEDS_NO_SPACY = "ace_Arab"  # a language whose tokenizer datatrove can build without spaCy; replaced at once
_SLOW_TO_READ = ("mathematics-problems",)  # made on the fly


class _RegexTokenizer(WordTokenizer):
    """Words for datatrove's MinHash; its own English tokenizer, spaCy, is several times slower than the rest of it."""

    def word_tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text)

    def sent_tokenize(self, text: str) -> list[str]:
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def bench(profile: Profile) -> dict[str, float]:
    """MB a second and core of the whole cleaning, of near-duplicate search and of datatrove's, with both recalls.

    Throughput is in processor time; the gain from a second worker is in wall time, on the same sources.
    """
    logger.disable("datatrove")
    sources = tuple(source for source in SOURCES if source.name not in _SLOW_TO_READ)
    fetch_archives(sources)
    limit = min(_MB_PER_SOURCE, profile.corpus.max_mb_per_source)
    reader = ReadSource(sources, limit)
    documents = list(itertools.chain.from_iterable(reader.run(rank=rank) for rank in range(len(sources))))
    with tempfile.TemporaryDirectory() as folder:
        metrics = _minhash(documents, Path(folder))
        metrics["cleaning_mb_per_s_per_core"] = _cleaning(documents, Path(folder))
        metrics["cleaning_speedup_2_workers"] = _speedup(profile, sources, Path(folder))
    return metrics


def _cleaning(documents: list[Document], folder: Path) -> float:
    size = sum(utf8_length(document.text) for document in documents) / 1e6
    stream = iter(documents)
    for step in [*single_document_blocks(folder), Sign(folder / "signatures")]:
        stream = step.run(stream, rank=0)
    started = time.process_time()
    for _ in stream:
        pass
    return size / (time.process_time() - started)


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
    found = {item.index for item in duplicates(signatures_of(searched))}
    ours = time.process_time() - started
    started = time.process_time()
    theirs_found = _datatrove_duplicates(searched, folder)
    theirs = time.process_time() - started
    planted = range(len(texts), len(searched))
    return {
        "minhash_mb_per_s_per_core": size / ours, "datatrove_minhash_mb_per_s_per_core": size / theirs,
        "minhash_vs_datatrove": theirs / ours,
        "minhash_recall_jaccard_0_8": sum(index in found for index in planted) / len(planted),
        "datatrove_minhash_recall_jaccard_0_8": sum(index in theirs_found for index in planted) / len(planted),
    }


def _datatrove_duplicates(texts: Sequence[str], folder: Path) -> set[int]:
    """Indices that datatrove's MinHash (14 buckets of 8, its default) would remove, by its first three stages."""
    signatures, buckets, removed = (str(folder / name) for name in ("theirs", "buckets", "remove"))
    sign = MinhashDedupSignature(signatures, language=_NEEDS_NO_SPACY)
    sign.word_tokenizer = _RegexTokenizer()
    sign((Document(text=text, id=str(index)) for index, text in enumerate(texts)), 0, 1)
    for bucket in range(14):
        MinhashDedupBuckets(signatures, buckets)(None, bucket, 14)
    MinhashDedupCluster(buckets, removed)(None, 0, 1)
    data = (folder / "remove" / "000000.remove").read_bytes()
    return {int.from_bytes(data[place : place + 4], "little") for place in range(0, len(data), 4)}


def _speedup(profile: Profile, sources: tuple[Source, ...], folder: Path) -> float:
    """Wall time of the filtering launch with one worker over that with two."""
    limit = min(_MB_FOR_SPEEDUP, profile.corpus.max_mb_per_source)
    seconds = []
    for workers in (1, 2):
        config = replace(
            profile.corpus, max_mb_per_source=limit, cleaning_workers=workers, cleaning_executor="local"
        )
        work = folder / f"{workers}-workers"
        steps = filtering(config, sources, work)
        started = time.monotonic()
        launch(f"clean with {workers} worker(s)", steps, len(sources), config, work / "logs")
        seconds.append(time.monotonic() - started)
    return seconds[0] / seconds[1]

"""Peak memory of cleaning a corpus of a given size, in a process of its own.

Run as ``python -m hare.bench.corpus_memory MB FOLDER``. The corpus is made while it is read, of the same sentences in
ever new orders, so that nothing but the cleaning can grow with it.
"""

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hare.core.provenance import peak_rss_mb
from hare.core.sections import Corpus
from hare.corpus.pipeline import clean
from hare.corpus.sources.registry import source_named
from hare.corpus.sources.source import Source
from hare.data.archives import Archive

_SENTENCES = 10  # per document
_TEXT_FROM = source_named("wikipedia-summaries")
_SHARDS = 4


def made(_archive: Archive, members: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Documents without end; ``members`` is the seed."""
    generator = random.Random(members[0])
    sentences = [f"{sentence}." for _, text in _TEXT_FROM.rows() for sentence in text.split(". ") if len(sentence) > 60]
    number = 0
    while True:
        yield str(number), " ".join(generator.choices(sentences, k=_SENTENCES))
        number += 1


def main(megabytes: float, work: Path) -> None:
    """Clean ``megabytes`` of text in ``work`` and print the peak of this process, in MB."""
    config = Corpus(
        max_mb_per_source=megabytes / _SHARDS, heldout_fraction=0.05, cleaning_executor="local", cleaning_workers=1,
        cleaning_sbatch="", corpus_seed=0, hub_shards=0,
    )
    sources: tuple[Source, ...] = tuple(
        replace(_TEXT_FROM, name=f"made-{shard}", read=made, members=(str(shard),)) for shard in range(_SHARDS)
    )
    clean(config, sources, work)
    print(peak_rss_mb())


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))

"""How much would go at another n or another threshold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hare.core.files import read_jsonl
from hare.core.statistics import wilson_interval
from hare.data.shards import shard_files
from hare.data.words import word_hashes
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.ngrams import find_matches
from hare.decontamination.removal import batches

THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def overlap_curve(part: str, texts: Sequence[str], index: BenchmarkIndex) -> pd.DataFrame:
    """Share of the texts with more than each threshold of their n-grams in benchmarks, for every n of the index.

    Columns: part, ngram, threshold, documents (those long enough for the n), dropped, share, low, high (95 % Wilson
    interval). Threshold 0 is any hit.
    """
    shares: dict[int, list[np.ndarray]] = {n: [] for n in sorted(index.sets)}
    for batch in batches({"text": text} for text in texts):
        matches = find_matches(word_hashes([document["text"] for document in batch]), index.sets)
        for n, of_n in shares.items():
            of_n.append(matches.shares(n))
    rows = []
    for n, of_n in shares.items():
        judged = np.concatenate([np.zeros(0), *of_n])
        judged = judged[~np.isnan(judged)]
        for threshold in THRESHOLDS:
            dropped = int((judged > threshold).sum())
            share, interval = dropped / max(len(judged), 1), wilson_interval(dropped, len(judged))
            rows.append((part, n, threshold, len(judged), dropped, share, *interval))
    return pd.DataFrame(rows, columns=["part", "ngram", "threshold", "documents", "dropped", "share", "low", "high"])


def sample_texts(folder: Path, count: int, seed: int, as_written: bool = False) -> list[str]:
    """Texts of ``count`` documents of a part, drawn without replacement; all of them when there are fewer.

    ``as_written``: only of documents whose source kept punctuation and capitals.
    """
    eligible = [number for number, document in enumerate(_documents(folder))
                if not as_written or document.get("metadata", {}).get("punctuated", True)]
    order = np.random.default_rng(seed).permutation(len(eligible))[:count].tolist()
    chosen = {eligible[place] for place in order}
    return [document["text"] for number, document in enumerate(_documents(folder)) if number in chosen]


def _documents(folder: Path) -> Iterator[dict]:
    return (document for shard in shard_files(folder) for document in read_jsonl(shard))

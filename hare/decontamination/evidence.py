"""From documents that overlap with benchmarks to the items they overlap with."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hare.benchmarks.registry import texts
from hare.decontamination.index import BenchmarkIndex, Item
from hare.decontamination.removal import Overlap, PartReport

_CHARACTERS_SHOWN = 400  # of a long text


@dataclass(frozen=True)
class Finding:
    """An overlap and the benchmark item behind it: the one with most of the document's n-grams, the first of equals."""

    overlap: Overlap
    item: Item
    shared_ngrams: int


def trace(overlaps: list[Overlap], index: BenchmarkIndex) -> list[Finding]:
    """Find the item behind each overlap, in the order given; the benchmarks are read once for each n."""
    best: dict[int, tuple[int, int]] = {}
    for n in sorted({overlap.ngram for overlap in overlaps}):
        places = [place for place, overlap in enumerate(overlaps) if overlap.ngram == n]
        best |= _best_items(n, {place: overlaps[place].hashes for place in places}, index)
    items = index.lookup(item for item, _ in best.values())
    return [Finding(overlap, items[best[place][0]], best[place][1]) for place, overlap in enumerate(overlaps)]


def _best_items(n: int, hashes: dict[int, np.ndarray], index: BenchmarkIndex) -> dict[int, tuple[int, int]]:
    """For each place the item with most of its n-grams, and how many: place → (item, n-grams)."""
    wanted = pd.DataFrame({
        "place": np.repeat(list(hashes), [len(some) for some in hashes.values()]),
        "hash": np.concatenate(list(hashes.values())),
    })
    known = index.items_with(n, wanted["hash"].to_numpy())
    counts = wanted.merge(known, on="hash").groupby(["place", "item"]).size().rename("ngrams").reset_index()
    best = counts.sort_values(["place", "ngrams", "item"], ascending=[True, False, True]).drop_duplicates("place")
    return {place: (item, ngrams) for place, item, ngrams in best.itertuples(index=False)}


def removed_rows(report: PartReport, findings: list[Finding]) -> list[dict[str, Any]]:
    """Rows of ``removed.jsonl``: each removed document whole, with the reason and the evidence."""
    rows = [{**document, "part": report.part, "reason": "too long"} for document in report.too_long]
    return rows + [{**finding.overlap.document, "part": report.part, "reason": "overlap", **_evidence(finding)}
                   for finding in findings]


def _evidence(finding: Finding) -> dict[str, Any]:
    overlap, item = finding.overlap, finding.item
    return {
        "rules": list(overlap.rules), "shares": {str(n): round(share, 4) for n, share in overlap.shares.items()},
        "benchmark": item.benchmark, "subset": item.subset, "split": item.split, "row_number": item.row_number,
        "ngram": overlap.ngram, "shared_ngrams": finding.shared_ngrams, "shared_text": overlap.span,
        "benchmark_text": "\n".join(texts(item.benchmark, item.row)),
    }


def count_by_benchmark(findings: Iterable[Finding]) -> Counter[str]:
    """Documents per benchmark."""
    return Counter(finding.item.benchmark for finding in findings)


def example_pairs(findings: list[Finding], kept: bool, count: int) -> pd.DataFrame:
    """The overlaps with the longest shared text side by side with their items, long texts cut."""
    longest = sorted(findings, key=lambda finding: -len(finding.overlap.span))[:count]
    return pd.DataFrame(
        [
            {
                "part": finding.overlap.part, "kept": kept,
                "rules": ", ".join(finding.overlap.rules), "document": finding.overlap.document["id"],
                "benchmark": finding.item.benchmark, "split": finding.item.split, "row": finding.item.row_number,
                "longest_ngram": finding.overlap.ngram, "shared_text": finding.overlap.span[:_CHARACTERS_SHOWN],
                "benchmark_text": " / ".join(texts(finding.item.benchmark, finding.item.row))[:_CHARACTERS_SHOWN],
            }
            for finding in longest
        ],
        columns=["part", "kept", "rules", "document", "benchmark", "split", "row", "longest_ngram", "shared_text",
                 "benchmark_text"],
    )

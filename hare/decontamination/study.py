"""The stage as its notebook tells it: what is done to each part, and the tables and metrics that come of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.benchmarks.registry import rows_from, texts
from hare.core.sections import Decontamination
from hare.core.statistics import wilson_interval
from hare.data.word_hashes import word_hashes
from hare.decontamination.evidence import Finding, count_by_benchmark
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.neighbours import NeighbourRule
from hare.decontamination.planted import CLEAN, CLEAN_DOCUMENTS
from hare.decontamination.removal import PartReport, Plan
from hare.decontamination.rules import ANY_HIT, LONG_SPAN, Rule, ShareRule


def rules_of(config: Decontamination) -> tuple[ShareRule, ShareRule]:
    """The paper's rule with D2's n and with D3's n."""
    return tuple(
        ShareRule(tuple(sorted(ngrams)), config.overlap_threshold, config.ngram_combination)
        for ngrams in (config.d2_ngrams, config.d3_ngrams)
    )


def compared_rules(config: Decontamination, neighbour: NeighbourRule) -> list[Rule]:
    """The paper's rule with D2's and with D3's n, and the three rules that they are compared with."""
    return [*rules_of(config), ANY_HIT, LONG_SPAN, neighbour]


def plans_of(config: Decontamination) -> list[Plan]:
    """D3 and its shuffled twin by D3's n, everything else by D2's; only synthetic documents have a longest length.

    The paper treats synthetic data alone. Natural text gets the same rule here: a document of which most n-grams are
    a benchmark's is a copy of it, wherever it comes from.
    """
    long_rule, short_rule = rules_of(config)
    return [
        Plan("d1", long_rule), Plan("heldout", long_rule), Plan("d2", long_rule, config.d2_max_words),
        Plan("d3", short_rule, config.d3_max_words), Plan("d3_shuffled", short_rule, config.d3_max_words),
        Plan("d3_passages", long_rule),
    ]


def sizes_of(config: Decontamination) -> list[int]:
    """Every n that some rule asks for, sorted."""
    return sorted({*config.d2_ngrams, *config.d3_ngrams, ANY_HIT.ngram, LONG_SPAN.ngram})


def index_table(index: BenchmarkIndex) -> pd.DataFrame:
    """What is indexed. Columns: benchmark, split, items, rows_from ("index archive" or "extra data")."""
    rows = [(split.benchmark, split.split, split.items) for split in index.splits]
    frame = pd.DataFrame(rows, columns=["benchmark", "split", "items"])
    frame = frame.groupby(["benchmark", "split"], as_index=False, sort=False).sum()
    return frame.assign(rows_from=list(map(rows_from, frame["benchmark"], frame["split"])))


def part_table(reports: Sequence[PartReport]) -> pd.DataFrame:
    """What became of each part. Columns: part, documents, too_long, removed, removed_share, touched, not_judged."""
    return pd.DataFrame(
        [
            (r.part, r.documents, len(r.too_long), len(r.removed), len(r.removed) / max(r.documents, 1),
             len(r.touched), r.not_judged)
            for r in reports
        ],
        columns=["part", "documents", "too_long", "removed", "removed_share", "touched", "not_judged"],
    )


def benchmark_table(index: BenchmarkIndex, reports: Sequence[PartReport], removed: Sequence[list[Finding]],
                    touched: Sequence[list[Finding]]) -> pd.DataFrame:
    """Documents by the benchmark behind them, for every benchmark indexed.

    Columns: part, documents, benchmark, removed, touched.
    """
    names, rows = list(dict.fromkeys(split.benchmark for split in index.splits)), []
    for report, gone, kept in zip(reports, removed, touched, strict=True):
        of_gone, of_kept = count_by_benchmark(gone), count_by_benchmark(kept)
        rows += [(report.part, report.documents, name, of_gone[name], of_kept[name]) for name in names]
    return pd.DataFrame(rows, columns=["part", "documents", "benchmark", "removed", "touched"])


def neighbour_tables(parts: dict[str, Sequence[str]], rule: NeighbourRule, index: BenchmarkIndex,
                     pairs: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How near the documents of each part come to a benchmark item, and the nearest of them beside their items.

    Columns of the first: part, documents, median_cosine, above (the rule's threshold), share, low, high (95 % Wilson);
    of the second: part, cosine, benchmark, split, row, document_text, benchmark_text (both cut).
    """
    summary, nearest = [], []
    for part, documents in parts.items():
        items, cosines, _ = rule.neighbours.nearest(word_hashes(documents))
        above = int((cosines > rule.cosine).sum())
        summary.append((part, len(documents), float(np.median(cosines)), above, above / max(len(documents), 1),
                        *wilson_interval(above, len(documents))))
        best = np.argsort(-cosines, kind="stable")[:pairs]
        known = index.lookup(items[best].tolist())
        nearest += [(part, float(cosines[place]), item.benchmark, item.split, item.row_number, documents[place][:400],
                     " / ".join(texts(item.benchmark, item.row))[:400])
                    for place in best.tolist() for item in [known[int(items[place])]]]
    return (pd.DataFrame(summary, columns=["part", "documents", "median_cosine", "above", "share", "low", "high"]),
            pd.DataFrame(nearest, columns=["part", "cosine", "benchmark", "split", "row", "document_text",
                                           "benchmark_text"]))


def metrics_of(benchmarks: pd.DataFrame, parts: pd.DataFrame, planted: pd.DataFrame, rule: Rule,
               neighbour: NeighbourRule) -> dict[str, float]:
    """The recorded numbers; detection and false positives are those of ``rule``, with 95 % intervals.

    Those of the nearest neighbours stand beside them under ``neighbour.``.
    """
    metrics: dict[str, float] = {
        f"removed.{row.part}.{row.benchmark}": int(row.removed) for row in benchmarks.itertuples()
    }
    for row in parts.itertuples():
        metrics |= {f"documents.{row.part}": int(row.documents), f"too_long.{row.part}": int(row.too_long),
                    f"touched.{row.part}": int(row.touched)}
    for prefix, name in (("", rule.name), ("neighbour.", neighbour.name)):
        metrics |= _rates(planted[(planted["rule"] == name) & (planted["cases"] > 0)], prefix)
    metrics["neighbour.cosine_threshold"] = neighbour.cosine
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()}


def _rates(rows: pd.DataFrame, prefix: str) -> dict[str, float]:
    named: dict[str, float] = {}
    for row in rows.itertuples():
        clean = row.kind in (CLEAN, CLEAN_DOCUMENTS)
        name = prefix + (f"{row.kind}.false_positive_rate" if clean else f"planted.{row.kind}.detection_rate")
        named |= {name: row.rate, f"{name}.low": row.low, f"{name}.high": row.high}
    return named

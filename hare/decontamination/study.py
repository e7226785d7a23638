"""The stage as its notebook tells it: what is done to each part, and the tables and metrics that come of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.benchmarks.registry import rows_from, texts
from hare.core.sections import WITHOUT, Decontamination
from hare.core.statistics import wilson_interval
from hare.data.words import word_hashes
from hare.decontamination.coverage import ItemCoverageRule
from hare.decontamination.evidence import Finding, count_by_benchmark
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.neighbours import NeighbourRule
from hare.decontamination.planted import CLEAN, CLEAN_DOCUMENTS
from hare.decontamination.removal import PartReport, Plan
from hare.decontamination.rules import ANY_13, DocumentShareRule, EitherRule, Rule

_NEAREST_SHOWN = 3  # documents of each part


def share_rules(config: Decontamination) -> tuple[DocumentShareRule, DocumentShareRule]:
    """The paper's rule with D2's n and with D3's n."""
    return tuple(
        DocumentShareRule(tuple(sorted(ngrams)), config.overlap_threshold, config.ngram_combination)
        for ngrams in (config.d2_ngrams, config.d3_ngrams)
    )


def plans_of(config: Decontamination, coverage: ItemCoverageRule, blocks_left_out: Sequence[str] = ()) -> list[Plan]:
    """D3 and its shuffled twin by D3's n, everything else by D2's, all by item coverage; only synthetic documents have
    a longest length. D1 without a block of its cleaning is treated as D1 is.

    The paper treats synthetic data alone. Natural text gets the same rule here: a document of which most n-grams are
    a benchmark's is a copy of it, wherever it comes from.
    """
    long, short = (EitherRule((share, coverage)) for share in share_rules(config))
    return [
        Plan("d1", long), Plan("heldout", long), Plan("d2", long, config.d2_max_words),
        Plan("d3", short, config.d3_max_words), Plan("d3_shuffled", short, config.d3_max_words),
        Plan("d3_passages", long), *(Plan(f"{WITHOUT}{block}", long) for block in blocks_left_out),
    ]


def compared_rules(config: Decontamination, coverage: ItemCoverageRule, neighbour: NeighbourRule) -> list[Rule]:
    """The rules one by one, the two that see most together, and then those by which the parts are treated."""
    together = EitherRule((coverage, neighbour))
    return [*share_rules(config), ANY_13, coverage, neighbour, together, *treatments(config, coverage)]


def treatments(config: Decontamination, coverage: ItemCoverageRule) -> list[EitherRule]:
    """The different rules by which parts are treated: D1, held out and D2 by one, D3 by another."""
    return list({plan.rule.name: plan.rule for plan in plans_of(config, coverage)}.values())


def sizes_of(config: Decontamination) -> list[int]:
    """Every n that some rule asks for, sorted."""
    return sorted({*config.d2_ngrams, *config.d3_ngrams, *ANY_13.ngrams, *ItemCoverageRule.ngrams})


def index_table(index: BenchmarkIndex) -> pd.DataFrame:
    """What is indexed. Columns: benchmark, split, items, rows_from ("index archive" or "extra data")."""
    rows = [(split.benchmark, split.split, split.items) for split in index.splits]
    frame = pd.DataFrame(rows, columns=["benchmark", "split", "items"])
    frame = frame.groupby(["benchmark", "split"], as_index=False, sort=False).sum()
    return frame.assign(rows_from=list(map(rows_from, frame["benchmark"], frame["split"])))


def part_table(reports: Sequence[PartReport]) -> pd.DataFrame:
    """What became of each part.

    Columns: part, documents, too_long, removed, removed_share, by_document_share, by_item_coverage (of the removed,
    those that the paper's rule and that item coverage says have to go), touched, not_judged.
    """
    return pd.DataFrame([
        {"part": report.part, "documents": report.documents, "too_long": len(report.too_long),
         "removed": len(report.removed), "removed_share": len(report.removed) / max(report.documents, 1),
         "by_document_share": report.removed_by("document-share"),
         "by_item_coverage": report.removed_by("item-coverage"), "touched": len(report.touched),
         "not_judged": report.not_judged}
        for report in reports
    ])


def removal_sentences(parts: pd.DataFrame) -> list[str]:
    """What each rule removed from each part, in words; that nothing was removed is said too."""
    return [f"{row.part}: {row.removed:,} of {row.documents:,} documents removed; the paper's rule alone "
            f"{row.by_document_share:,}, item coverage alone {row.by_item_coverage:,}; {row.touched:,} more share a "
            "13-gram and stay" for row in parts.itertuples()]


def benchmark_table(index: BenchmarkIndex, reports: Sequence[PartReport], removed: Sequence[list[Finding]],
                    touched: Sequence[list[Finding]]) -> pd.DataFrame:
    """Documents by the benchmark behind them, for every benchmark indexed.

    Columns: part, documents, benchmark, removed, touched.
    """
    names, rows = list(dict.fromkeys(split.benchmark for split in index.splits)), []
    for report, dropped, stayed in zip(reports, removed, touched, strict=True):
        of_dropped, of_stayed = count_by_benchmark(dropped), count_by_benchmark(stayed)
        rows += [(report.part, report.documents, name, of_dropped[name], of_stayed[name]) for name in names]
    return pd.DataFrame(rows, columns=["part", "documents", "benchmark", "removed", "touched"])


def neighbour_tables(parts: dict[str, Sequence[str]], rule: NeighbourRule,
                     index: BenchmarkIndex) -> tuple[pd.DataFrame, pd.DataFrame]:
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
        best = np.argsort(-cosines, kind="stable")[:_NEAREST_SHOWN]
        known = index.lookup(items[best].tolist())
        nearest += [(part, float(cosines[place]), item.benchmark, item.split, item.row_number, documents[place][:400],
                     " / ".join(texts(item.benchmark, item.row))[:400])
                    for place in best.tolist() for item in [known[int(items[place])]]]
    return (pd.DataFrame(summary, columns=["part", "documents", "median_cosine", "above", "share", "low", "high"]),
            pd.DataFrame(nearest, columns=["part", "cosine", "benchmark", "split", "row", "document_text",
                                           "benchmark_text"]))


def metrics_of(benchmarks: pd.DataFrame, parts: pd.DataFrame, planted: pd.DataFrame, treated: Sequence[Rule],
               neighbour: NeighbourRule) -> dict[str, float]:
    """The recorded numbers: what was removed, and by rule what is found and wrongly removed, with 95 % intervals.

    ``clean.false_positive_rate`` is that of the first of ``treated``, the rules by which parts were treated; their
    precision at the stated base rate is ``planted.<kind>.<rule>.precision``.
    """
    metrics: dict[str, float] = {
        f"removed.{row.part}.{row.benchmark}": int(row.removed) for row in benchmarks.itertuples()
    }
    for row in parts.itertuples():
        metrics |= {f"{column}.{row.part}": int(getattr(row, column)) for column in (
            "documents", "too_long", "removed", "by_document_share", "by_item_coverage", "touched")}
    names = [rule.name for rule in treated]
    for row in planted[planted["cases"] > 0].itertuples():
        clean = row.kind in (CLEAN, CLEAN_DOCUMENTS)
        name = f"{row.kind}.{row.rule}"
        name = f"{name}.false_positive_rate" if clean else f"planted.{name}.detection_rate"
        metrics |= {name: row.rate, f"{name}.low": row.low, f"{name}.high": row.high}
        if row.kind == CLEAN_DOCUMENTS and row.rule == names[0]:
            metrics |= {f"clean.false_positive_rate{end}": value
                        for end, value in (("", row.rate), (".low", row.low), (".high", row.high))}
        if row.rule in names and not clean:
            name = f"planted.{row.kind}.{row.rule}.precision"
            metrics |= {name: row.precision, f"{name}.low": row.precision_low, f"{name}.high": row.precision_high}
    metrics["neighbour.cosine_threshold"] = neighbour.cosine
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()
            if np.isfinite(value)}

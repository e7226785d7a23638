"""The stage as its notebook tells it: what is done to each part, and the tables and metrics that come of it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hare.decontamination.evidence import Finding, count_by_benchmark
from hare.decontamination.index import BenchmarkIndex
from hare.decontamination.planted import CLEAN
from hare.decontamination.removal import PartReport, Plan
from hare.decontamination.rules import ANY_HIT, LONG_SPAN, Rule, ShareRule
from hare.run.profile import Decontamination


def rules_of(config: Decontamination) -> tuple[ShareRule, ShareRule]:
    """The paper's rule with D2's n and with D3's n."""
    return tuple(
        ShareRule(tuple(sorted(ngrams)), config.overlap_threshold, config.ngram_combination)
        for ngrams in (config.d2_ngrams, config.d3_ngrams)
    )


def compared_rules(config: Decontamination) -> list[Rule]:
    """The paper's rule with D2's and with D3's n, and the two rules that they are compared with."""
    return [*rules_of(config), ANY_HIT, LONG_SPAN]


def plans_of(config: Decontamination) -> list[Plan]:
    """D3 by its own n, everything else by D2's; only synthetic documents have a longest length.

    The paper treats synthetic data alone. Natural text gets the same rule here: a document of which most n-grams are
    a benchmark's is a copy of it, wherever it comes from.
    """
    long_rule, short_rule = rules_of(config)
    return [
        Plan("d1", long_rule), Plan("heldout", long_rule), Plan("d2", long_rule, config.d2_max_words),
        Plan("d3", short_rule, config.d3_max_words),
    ]


def sizes_of(config: Decontamination) -> list[int]:
    """Every n that some rule asks for, sorted."""
    return sorted({*config.d2_ngrams, *config.d3_ngrams, ANY_HIT.ngram, LONG_SPAN.ngram})


def index_table(index: BenchmarkIndex) -> pd.DataFrame:
    """What is indexed. Columns: benchmark, split, items."""
    rows = [(split.benchmark, split.split, split.items) for split in index.splits]
    frame = pd.DataFrame(rows, columns=["benchmark", "split", "items"])
    return frame.groupby(["benchmark", "split"], as_index=False, sort=False).sum()


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


def metrics_of(benchmarks: pd.DataFrame, parts: pd.DataFrame, planted: pd.DataFrame, rule: Rule) -> dict[str, float]:
    """The recorded numbers; detection and false positives are those of ``rule``, with 95 % intervals."""
    metrics: dict[str, float] = {
        f"removed.{row.part}.{row.benchmark}": int(row.removed) for row in benchmarks.itertuples()
    }
    for row in parts.itertuples():
        metrics |= {f"documents.{row.part}": int(row.documents), f"too_long.{row.part}": int(row.too_long),
                    f"touched.{row.part}": int(row.touched)}
    for row in planted[(planted["rule"] == rule.name) & (planted["cases"] > 0)].itertuples():
        name = "clean.false_positive_rate" if row.kind == CLEAN else f"planted.{row.kind}.detection_rate"
        metrics |= {name: row.rate, f"{name}.low": row.low, f"{name}.high": row.high}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()}

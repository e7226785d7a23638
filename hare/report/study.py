"""The study's own tables: the paper's claims beside what this profile recorded, each cell with its origin.

Every function takes what was recorded and returns a tidy frame; what was not recorded has no row. ``origin`` is one of
`PUBLISHED`, `RECOMPUTED` (by us, from printed numbers alone), `SCALED` (our measurement, at a smaller scale),
`REPRODUCED` (our measurement, like for like), `ALONE` (ours, the paper has none) and `NOT_MEASURED`.
"""

import pandas as pd

from hare.benchmarks.registry import SPECS
from hare.benchmarks.spec import BenchmarkSpec
from hare.report.paper.printed_leakage import relative_delta, scores_and_leakage
from hare.report.paper.published import published, setup
from hare.report.recorded import Measured, Recorded

PUBLISHED, RECOMPUTED, SCALED = "published", "recomputed from print", "scaled-down"
REPRODUCED, ALONE, NOT_MEASURED, NOT_GIVEN = "reproduced", "ours alone", "not measured", "not in the paper"
ARMS = ("a", "b", "d")  # the paper's three: D1, D1+D2, D1+D2+D3
_INTERVAL = ["value", "low", "high"]


def printed_benchmarks() -> dict[str, BenchmarkSpec]:
    """The benchmarks of the paper's Table 1 by name, in the order of its columns."""
    columns = list(published("open_llm_leaderboard_base").columns)
    printed = [spec for spec in SPECS.values() if spec.published_column in columns]
    return {spec.name: spec for spec in sorted(printed, key=lambda spec: columns.index(spec.published_column))}


def frames(recorded: Recorded) -> dict[str, pd.DataFrame]:
    """The tables behind the study's figures, by figure; one without anything to show is left out."""
    made = {
        "score_and_leakage": scores_and_leakage(), "relative_delta": relative_delta(),
        "ablation": ablation(recorded), "leaderboard": leaderboard(recorded),
        "leakage": leakage(recorded),
    }
    return {name: frame for name, frame in made.items() if len(frame)}


def ablation(recorded: Recorded) -> pd.DataFrame:
    """Figure 3 beside ours: arm, measure, value, low, high, origin, seeds (ours); the paper prints one range."""
    rows = [("all", "average score, %", None, *_published_range(), PUBLISHED)]
    for arm in ARMS:
        measured = recorded.measured("training", f"transfer.p.{arm}")
        if measured:
            rows.append((arm, "bits per byte of benchmark answers", *_with_bounds(measured), SCALED))
    for arm in ARMS[1:]:
        measured = recorded.measured("training", f"contrast.{arm}-a.p")
        if measured:
            rows.append((f"{arm} − a", "difference in bits per byte", *_with_bounds(measured), SCALED))
    frame = pd.DataFrame(rows, columns=["arm", "measure", *_INTERVAL, "origin"])
    frame["seeds"] = recorded.metrics("training").get("seeds_per_arm")
    return frame if len(frame) > 1 else frame.iloc[:0]


def _with_bounds(measured: Measured) -> tuple[float, float | None, float | None]:
    return measured.value, measured.low, measured.high


def _published_range() -> tuple[float, float]:
    return setup("ablation_score_low"), setup("ablation_score_high")


def leaderboard(recorded: Recorded) -> pd.DataFrame:
    """Table 1 and our rows: model, benchmark, value (%), low, high, items, origin, label, chance (%)."""
    rows, printed = [], printed_benchmarks()
    for model in published("open_llm_leaderboard_base").to_dict("records"):
        for benchmark, spec in printed.items():
            rows.append((model["model"], benchmark, model[spec.published_column], None, None, None, PUBLISHED))
    for match, measured in recorded.matching("evaluation", r"(\w+)\.([^.]+)\.score"):
        benchmark, arm = match.groups()
        if benchmark in printed:
            items = recorded.metrics("evaluation").get(f"{benchmark}.{arm}.items")
            share = in_percent(measured)
            rows.append((arm, benchmark, share.value, share.low, share.high, items, SCALED))
    frame = pd.DataFrame(rows, columns=["model", "benchmark", *_INTERVAL, "items", "origin"])
    frame["label"] = frame.benchmark.map({name: spec.published_label for name, spec in printed.items()})
    frame["chance"] = frame.benchmark.map(
        {name: 100 * spec.chance for name, spec in printed.items() if spec.chance is not None})
    return frame


def in_percent(share: Measured) -> Measured:
    """A share of 1 as a share of 100."""
    low, high = (None if bound is None else 100 * bound for bound in (share.low, share.high))
    return Measured(100 * share.value, low, high, share.where)


def leakage(recorded: Recorded) -> pd.DataFrame:
    """Tables 2 and 6 and our rows: model, benchmark, split, value (Δ in points), low, high, origin."""
    rows = [
        (row.model, row.benchmark, row.split, row.delta, None, None, PUBLISHED)
        for row in published("leakage_5gram").itertuples()
    ]
    labels = {name: spec.published_label for name, spec in printed_benchmarks().items()}
    for match, measured in recorded.matching("leakage", r"delta\.([^.]+)\.([^.]+)\.([^.]+)"):
        benchmark, split, model = match.groups()
        if benchmark in labels:
            rows.append((model, labels[benchmark], split, *_with_bounds(measured), SCALED))
    return pd.DataFrame(rows, columns=["model", "benchmark", "split", *_INTERVAL, "origin"])


def misprints() -> pd.DataFrame:
    """Printed numbers that do not follow from the printed numbers beside them: where, printed, recomputed."""
    rows = []
    for table, name in (("open_llm_leaderboard_base", "Table 1"), ("open_llm_leaderboard_chat", "Table 7")):
        frame = published(table)
        prefixes = tuple(spec.published_column.rsplit("_", 1)[0] for spec in printed_benchmarks().values())
        scores = frame[[column for column in frame if column.startswith(prefixes)]]
        for model, printed, mean in zip(frame.model, frame.average, scores.mean(axis=1), strict=True):
            rows.append((f"{name}: average of {model}", printed, mean))
    for row in published("leakage_5gram").itertuples():
        rows.append((f"Tables 2 and 6: Δ of {row.model} on {row.benchmark} {row.split}", row.delta,
                     row.original - row.rewritten))
    calls = published("api_calling")
    lead = calls.hare_tool_accuracy.mean() - calls.llama3_8b_rag_accuracy.mean()
    rows.append(("Table 8: average lead over Llama3-8B", setup("api_lead"), lead))
    frame = pd.DataFrame(rows, columns=["where", "printed", "recomputed"])
    return frame[(frame.printed - frame.recomputed).abs() > 0.0051].reset_index(drop=True)  # half of the last digit

"""The study's tables as a reader expects them: one row per model or claim, every cell marked with its origin."""

import pandas as pd

from hare.report.paper.comparison import comparison
from hare.report.recorded import STAGES, Recorded
from hare.report.study import (
    ALONE,
    NOT_GIVEN,
    NOT_MEASURED,
    PUBLISHED,
    RECOMPUTED,
    REPRODUCED,
    SCALED,
    leaderboard,
    leakage,
    misprints,
    printed_benchmarks,
)

MARKS = {PUBLISHED: "ᵖ", RECOMPUTED: "ᶜ", REPRODUCED: "ʳ", SCALED: "ˢ", ALONE: "ᵒ", NOT_MEASURED: "", NOT_GIVEN: ""}
_EMPTY = "–"


def tables(recorded: Recorded) -> dict[str, pd.DataFrame]:
    """All tables by name, cells as text."""
    return {
        "table_leaderboard": leaderboard_table(recorded),
        "table_leakage": leakage_table(recorded),
        "table_comparison": comparison_table(recorded),
        "table_misprints": misprints().round(2).astype(str),
        "table_costs": costs_table(recorded),
    }


def leaderboard_table(recorded: Recorded) -> pd.DataFrame:
    """Table 1 with our rows below, one column per benchmark; ours with 95 % interval and number of items."""
    frame = leaderboard(recorded)
    frame["cell"] = [_cell(row, 1) + (f", n = {row.items:.0f}" if pd.notna(row.items) else "")
                     for row in frame.itertuples()]
    return _wide(frame, [spec.published_label for spec in printed_benchmarks().values()])


def leakage_table(recorded: Recorded) -> pd.DataFrame:
    """Leakage Δ in points with our rows below: one column per benchmark and split."""
    frame = leakage(recorded)
    frame["label"] = frame.benchmark + " " + frame.split
    frame["cell"] = [_cell(row, 2) for row in frame.itertuples()]
    return _wide(frame, list(dict.fromkeys(frame.label)))


def comparison_table(recorded: Recorded) -> pd.DataFrame:
    """Paper against ours, one row per claim: what is compared, paper, ours, and where our number stands."""
    rows = []
    for row in comparison(recorded).itertuples():
        paper = _quantity(row.paper) + MARKS[row.paper_origin] if pd.notna(row.paper) else row.paper_origin
        ours = _quantity(row.ours) + MARKS[row.ours_origin] if pd.notna(row.ours) else row.ours_origin
        if pd.notna(row.low):
            ours += f" [{_quantity(row.low)}, {_quantity(row.high)}]"
        rows.append((row.topic, row.quantity, row.unit, paper, ours, row.where, row.remark))
    return pd.DataFrame(rows, columns=["topic", "quantity", "unit", "paper", "ours", "where", "remark"])


def costs_table(recorded: Recorded) -> pd.DataFrame:
    """Seconds and memory of each stage that was recorded, and on what it ran."""
    rows = []
    for stage in STAGES:
        provenance = recorded.provenance(stage)
        if provenance and stage != "bench":
            rows.append((stage, provenance["notebook"], f"{provenance['wall_seconds']:.0f}",
                         f"{provenance['peak_rss_mb']:.0f}", provenance["git_commit"][:10]))
    return pd.DataFrame(rows, columns=["stage", "notebook", "wall seconds", "peak MB", "commit"])


def _wide(frame: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    models = list(dict.fromkeys(frame.model))
    wide = frame.pivot(index="model", columns="label", values="cell").reindex(index=models, columns=order)
    return wide.fillna(_EMPTY).rename_axis(index="model", columns=None).reset_index()


def _cell(row: object, digits: int) -> str:
    text = f"{row.value:.{digits}f}{MARKS[row.origin]}"
    return text + (f" [{row.low:.{digits}f}, {row.high:.{digits}f}]" if pd.notna(row.low) else "")


def _quantity(value: float) -> str:
    """Four significant digits, or whole numbers; large ones in powers of ten that a reader can say."""
    for size, name in ((1e9, " billion"), (1e6, " million")):
        if abs(value) >= size:
            return f"{value / size:.4g}{name}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"

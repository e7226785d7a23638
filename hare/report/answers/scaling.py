"""What a grid of sizes and lengths says of two arms, by the rules that were written down before profile `scaling` was
trained (PREREGISTRATION.md)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from hare.core.statistics import COVERAGE
from hare.report.answers.expected import AS_EXPECTED, OTHERWISE, UNTOLD, all_of, by_side
from hare.report.answers.numbers import number

_SMALL = 0.02  # bits per byte: what C − A was expected to stay within in the smallest cell


def verdict(metrics: Mapping[str, float]) -> str:
    """At ten times the largest cell: better or worse where both laws say so and the check holds, else that it cannot be
    told; '' without a grid."""
    if "scaling.p.extrapolated" not in metrics:
        return ""
    laws = [f"scaling.p.{kind}" for kind in ("extrapolated", "alone")]
    if metrics["scaling.p.held"] and all(metrics[f"{law}.high"] < 0 for law in laws):
        return "better"
    return "worse" if metrics["scaling.p.held"] and all(metrics[f"{law}.low"] > 0 for law in laws) else UNTOLD


def beyond_the_grid(metrics: Mapping[str, float]) -> str:
    """What the law through a grid of sizes says, as far as its check lets it; '' without a grid."""
    told = verdict(metrics)
    if not told:
        return ""
    if not metrics["scaling.p.held"]:
        return (" Whether this lasts at ten times the size cannot be told: the law through the grid does not predict "
                "the longest run that was left out of it.")
    return (f" At ten times the size, by a law through the grid: {number(metrics, 'scaling.p.extrapolated', '+.3f')}, "
            f"by the differences alone {number(metrics, 'scaling.p.alone', '+.3f')}: "
            f"{told if told != UNTOLD else f'it {told}'}.")


def of_cells(table: pd.DataFrame) -> str:
    """In how many cells the second arm is better and worse on benchmark answers, from a `scaling_table`; '' without."""
    cells = _cells(table, "p")
    if cells.empty:
        return ""
    sides = _sides(cells)
    smallest, largest = cells.iloc[0], cells.iloc[-1]
    return (f" On benchmark answers better in {int((sides < 0).sum())} and worse in {int((sides > 0).sum())} of "
            f"{len(cells)} cells, by Holm's correction over them: from {_cell(smallest)} in the smallest to "
            f"{_cell(largest)} in the largest.")


def expectations(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Each expectation of the registration, in its order, and whether it came out; nothing where endpoints or the law
    are missing.

    ``table`` is the `scaling_table` of notebook 05. A cell is on a side of zero by Holm's correction over the cells,
    and one cell above another where their 95 % intervals do not overlap.
    """
    laws = table[(table["endpoint"] == "p") & (table["kind"] == "extrapolated")]
    on_p, on_h1, on_h3 = (_cells(table, endpoint) for endpoint in ("p", "h1", "h3"))
    if laws.empty or on_h1.empty or on_h3.empty:
        return
    yield "tasks improve H3 in every cell", all_of(*(by_side(side, -1) for side in _sides(on_h3)))
    smallest, largest = on_p.iloc[0], on_p.iloc[-1]
    yield "tasks move P by less than 0.02 in the smallest cell", _within(smallest)
    yield "tasks make P worse in the largest cell, and more than in the smallest", all_of(
        by_side(_sides(on_p)[-1], 1),
        by_side(int(largest["low"] > smallest["high"]) - int(largest["high"] < smallest["low"]), 1))
    yield "at ten times the size tasks make P worse", by_side(
        {"better": -1, "worse": 1}.get(laws["outcome"].iloc[0], 0), 1)
    yield "in the largest cell H1 goes the way of P", by_side(_sides(on_p)[-1] * _sides(on_h1)[-1], 1)


def _cells(table: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Measured cells, from the smallest width and its shortest run to the widest and its longest."""
    rows = table[(table["endpoint"] == endpoint) & (table["kind"] == "measured")]
    return rows.sort_values(["hidden_size", "tokens"])


def _sides(cells: pd.DataFrame) -> np.ndarray:
    """int64[cells]: −1 or 1 where a difference survives the correction, else 0."""
    sure = (cells["p_holm"] < 1 - COVERAGE).to_numpy()
    return np.where(sure, np.sign(cells["difference"]), 0).astype(int)


def _cell(row: pd.Series) -> str:
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _within(row: pd.Series) -> str:
    if row["low"] > -_SMALL and row["high"] < _SMALL:
        return AS_EXPECTED
    return OTHERWISE if row["low"] > _SMALL or row["high"] < -_SMALL else UNTOLD

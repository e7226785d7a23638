"""Figures of the evaluation: scores against chance, bits per byte, paired differences."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure

_COLOURS = {"d1": "#0072B2", "d1+d2": "#E69F00", "d1+d2+d3": "#009E73"}
_PEER = "#CC79A7"
_PAIRS = ("#0072B2", "#D55E00", "#555555")
_AVERAGE = "average"
_UNSEEN = "no difference seen"
_PANELS = {
    "accuracy": (100, "accuracy, % (dashed: guessing)"), "bits per byte": (1, "bits per byte (left: better)"),
    "difference": (1, "bits per byte minus D1's"),
}
_LETTERS_OF_A_REASON = 42


@figure("evaluation", "scores")
def draw_scores(frame: pd.DataFrame) -> Figure:
    """Leaderboard scores with intervals, and what guessing gives. Columns: benchmark, arm, value, low, high, chance."""
    benchmarks, arms = _order(frame.benchmark), list(dict.fromkeys(frame.arm))
    picture, axes = plt.subplots(figsize=(7.2, 0.9 + 0.17 * len(benchmarks) * (len(arms) + 1)))
    for row, benchmark in enumerate(benchmarks):
        for place, found in _places(frame[frame.benchmark == benchmark], arms, row):
            _interval(axes, found, place, _COLOURS.get(found.arm, _PEER), scale=100)
        chance = 100 * frame[frame.benchmark == benchmark].chance.mean()
        axes.plot([chance, chance], [row - 0.42, row + 0.42], color="black", linewidth=1, linestyle=(0, (2, 2)))
    _name_rows(axes, benchmarks)
    axes.set_xlabel("score on the leaderboard's metric, % (bars: 95 % intervals over items and seeds)")
    _legend(axes, frame, arms)
    axes.set_title(_against_chance(frame))
    return picture


@figure("evaluation", "bits_per_byte")
def draw_bits_per_byte(frame: pd.DataFrame) -> Figure:
    """Bits per byte of the gold answer, one panel a benchmark. Columns: benchmark, arm, value, low, high."""
    return _side_by_side(frame, "bits per byte of the gold answer (lower is better; bars: 95 %)", _fewest_bits(frame))


@figure("evaluation", "margins")
def draw_margins(frame: pd.DataFrame) -> Figure:
    """Margin of the gold answer over the best wrong one, one panel a benchmark. Columns as `draw_bits_per_byte`'s."""
    picture = _side_by_side(
        frame, "bits per byte by which the gold answer beats the best wrong one (right of 0: preferred; bars: 95 %)",
        _preferred(frame),
    )
    for axes in picture.axes:
        axes.axvline(0, color="black", linewidth=0.8)
    return picture


def _side_by_side(frame: pd.DataFrame, label: str, title: str) -> Figure:
    benchmarks, arms = _order(frame.benchmark), list(dict.fromkeys(frame.arm))
    picture, panels = plt.subplots(1, len(benchmarks), figsize=(7.2, 1.6 + 0.28 * len(arms)), sharey=True)
    for axes, benchmark in zip(np.atleast_1d(panels), benchmarks, strict=True):
        for found in frame[frame.benchmark == benchmark].itertuples():
            _interval(axes, found, arms.index(found.arm), _COLOURS.get(found.arm, _PEER))
        axes.set_title(label_of(benchmark), fontsize=9, fontweight="normal")
        axes.locator_params(axis="x", nbins=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.2)
        axes.set_yticks(range(len(arms)), [_named(arm) for arm in arms])
        axes.set_ylim(len(arms) - 0.5, -0.5)
    picture.supxlabel(label, fontsize=10)
    picture.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


@figure("evaluation", "differences")
def draw_differences(frame: pd.DataFrame) -> Figure:
    """Paired differences between arms. Columns: benchmark, arm, baseline, measure, difference, low, high, resolvable,
    verdict."""
    frame = frame[frame.measure.isin(["score", "bpb"])]
    frame = frame.assign(pair=frame.arm.str.upper() + " − " + frame.baseline.str.upper())
    benchmarks, pairs = _order(frame.benchmark), list(dict.fromkeys(frame.pair))
    rows = 0.9 + 0.2 * len(benchmarks) * (len(pairs) + 1)
    picture, panels = plt.subplots(1, 2, figsize=(7.2, rows), sharey=True)
    labels = {"score": (100, "score, points (right: better)"), "bpb": (1, "bits per byte (left: better)")}
    for axes, (measure, (scale, label)) in zip(panels, labels.items(), strict=True):
        for row, benchmark in enumerate(benchmarks):
            here = frame[(frame.benchmark == benchmark) & (frame.measure == measure)]
            for found in here.itertuples():
                place = row + (pairs.index(found.pair) - (len(pairs) - 1) / 2) * 0.25
                _difference(axes, found, place, _PAIRS[pairs.index(found.pair) % len(_PAIRS)], scale)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlim(*_limits(scale * frame[frame.measure == measure][["difference", "low", "high"]]))
        axes.set_xlabel(f"difference in {label}")
    _name_rows(panels[0], benchmarks)
    handles = [plt.Line2D([], [], color=_PAIRS[number % len(_PAIRS)], marker="o", label=pair)
               for number, pair in enumerate(pairs)]
    handles.append(plt.Rectangle((0, 0), 1, 1, color="#bbbbbb", alpha=0.6, label="too small to resolve"))
    picture.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    picture.suptitle(_survivors(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


@figure("evaluation", "heldout_text")
def draw_heldout_text(frame: pd.DataFrame) -> Figure:
    """Bits per byte of held-out text by source. Columns: panel, benchmark (the source), arm, value, low, high, items,
    verdict."""
    return _grouped(frame, "held-out passages")


@figure("evaluation", "heldout_tasks")
def draw_heldout_tasks(frame: pd.DataFrame) -> Figure:
    """D3-style tasks on held-out text by kind. Columns: panel, benchmark (the kind), arm, value, low, high, chance,
    items, verdict."""
    return _grouped(frame, "D3-style tasks on held-out text")


def _grouped(frame: pd.DataFrame, what: str) -> Figure:
    """A panel for each of accuracy (where there is any), bits per byte, and the difference from the baseline."""
    groups, arms = _order(frame.benchmark), list(dict.fromkeys(frame.arm))
    names = [name for name in _PANELS if (frame.panel == name).any()]
    height = 1.2 + 0.075 * len(groups) * (len(arms) + 1)
    picture, panels = plt.subplots(1, len(names), figsize=(7.6, height), sharey=True)
    for axes, name in zip(np.atleast_1d(panels), names, strict=True):
        _panel(axes, frame[frame.panel == name], groups, arms, *_PANELS[name])
    if "difference" in names:
        panels[-1].axvline(0, color="black", linewidth=0.8)
        panels[-1].set_xlim(*_limits(frame[frame.panel == "difference"].rename(columns={"value": "difference"})))
    counts = frame.groupby("benchmark")["items"].max()
    _name_rows(np.atleast_1d(panels)[0], groups)
    labels = [f"{name.replace('_', ' ')} (n = {counts[name]:.0f})" for name in groups]
    panels[0].set_yticks(range(len(groups)), labels, fontsize=8)
    handles = [plt.Line2D([], [], color=_COLOURS.get(arm, _PEER), marker="o", label=_named(arm)) for arm in arms]
    picture.legend(handles=handles, loc="outside lower center", ncols=len(arms), fontsize=9, frameon=False)
    picture.suptitle(_grouped_finding(frame, what), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _panel(axes: Axes, shown: pd.DataFrame, groups: list[str], arms: list[str], scale: float, label: str) -> None:
    for row, group in enumerate(groups):
        here = shown[shown.benchmark == group]
        for chance in here.chance.dropna().unique():
            axes.plot([scale * chance] * 2, [row - 0.42, row + 0.42], color="black", linewidth=1, linestyle=(0, (2, 2)))
        for place, found in _places(here, arms, row):
            _interval(axes, found, place, _COLOURS.get(found.arm, _PEER), scale, _is_sure(found))
    axes.set_xlabel(label, fontsize=9)


@figure("evaluation", "peer")
def draw_peer(frame: pd.DataFrame) -> Figure:
    """Public figures of the peer beside ours. Columns: benchmark, published, ours, low, high, items, done_otherwise."""
    picture, axes = plt.subplots(figsize=(7.2, 1.3 + 0.72 * len(frame)))
    for row, found in enumerate(frame.itertuples()):
        axes.plot([found.low, found.high], [row, row], color=_PEER, linewidth=1.4, solid_capstyle="butt")
        axes.plot([found.ours], [row], "o", color=_PEER, markersize=5)
        axes.plot([found.published], [row], "D", color="black", markersize=5)
    labels = [
        f"{label_of(row.benchmark)} (n = {row.items:.0f})\n{textwrap.fill(row.done_otherwise, _LETTERS_OF_A_REASON)}"
        for row in frame.itertuples()
    ]
    axes.set_yticks(range(len(frame)), labels, fontsize=7)
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.set_xlabel("accuracy, % (bar: our 95 % interval over items)")
    handles = [plt.Line2D([], [], color=_PEER, marker="o", label="ours, by the leaderboard's protocol"),
               plt.Line2D([], [], color="black", marker="D", linestyle="", label="published, by another protocol")]
    picture.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    inside = int(frame.inside.sum())
    picture.suptitle(f"{inside} of {len(frame)} public figures of SmolLM2-135M lie inside our intervals",
                     x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _limits(found: pd.DataFrame) -> tuple[float, float]:
    """Wide enough for all means and most intervals; few seeds make some so wide that they run off the axis."""
    widths = (found.high - found.low) / 2
    limit = max(1.3 * found.difference.abs().max(), 3 * widths[widths > 0].median(), 1e-9)
    return -limit, limit


def _order(benchmarks: pd.Series) -> list[str]:
    """Benchmarks as they come, the average last."""
    found = list(dict.fromkeys(benchmarks))
    return [name for name in found if name != _AVERAGE] + [name for name in found if name == _AVERAGE]


def _places(rows: pd.DataFrame, arms: list[str], row: int) -> list[tuple[float, object]]:
    step = 0.8 / len(arms)
    return [(row + (arms.index(found.arm) - (len(arms) - 1) / 2) * step, found) for found in rows.itertuples()]


def _interval(
    axes: Axes, found: object, place: float, colour: str, scale: float = 1, filled: bool = True
) -> None:
    value, low, high = (scale * getattr(found, name) for name in ("value", "low", "high"))
    axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=4.5, markerfacecolor=colour if filled else "white")


def _is_sure(found: object) -> bool:
    return found.verdict != _UNSEEN


def _difference(axes: Axes, found: object, place: float, colour: str, scale: float) -> None:
    value, low, high = (scale * getattr(found, name) for name in ("difference", "low", "high"))
    if np.isfinite(found.resolvable):
        width = scale * found.resolvable
        axes.fill_betweenx([place - 0.11, place + 0.11], -width, width, color="#bbbbbb", alpha=0.6, linewidth=0)
    face = colour if _is_sure(found) else "white"
    axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=5, markerfacecolor=face)


def _name_rows(axes: Axes, benchmarks: list[str]) -> None:
    axes.set_yticks(range(len(benchmarks)), [label_of(name) for name in benchmarks])
    axes.set_ylim(len(benchmarks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _named(arm: str) -> str:
    return arm.upper() if arm in _COLOURS else arm


def _legend(axes: Axes, frame: pd.DataFrame, arms: list[str]) -> None:
    asked = frame[frame.benchmark != _AVERAGE].groupby("arm")["items"].agg(["min", "max"])
    handles = []
    for arm in arms:
        least, most = asked.loc[arm]
        count = f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"
        label = f"{_named(arm)} ({count} items each)"
        handles.append(plt.Line2D([], [], color=_COLOURS.get(arm, _PEER), marker="o", label=label))
    handles.append(plt.Line2D([], [], color="black", linewidth=1, linestyle=(0, (2, 2)), label="guessing"))
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)


def _against_chance(frame: pd.DataFrame) -> str:
    ours = frame[(frame.benchmark != _AVERAGE) & frame.arm.isin(_COLOURS)]
    above = [name for name, rows in ours.groupby("benchmark", sort=False) if (rows.low > rows.chance).any()]
    count = ours.benchmark.nunique()
    if not above:
        return f"None of our arms is above guessing on any of {count} benchmarks"
    return f"Some arm of ours is above guessing on {len(above)} of {count} benchmarks"


def _fewest_bits(frame: pd.DataFrame) -> str:
    ours = frame[(frame.benchmark != _AVERAGE) & frame.arm.isin(_COLOURS)]
    best = ours.loc[ours.groupby("benchmark")["value"].idxmin(), "arm"].value_counts()
    return f"{best.index[0].upper()} needs the fewest bits of our arms on {best.iloc[0]} of {best.sum()} benchmarks"


def _survivors(frame: pd.DataFrame) -> str:
    sure = (frame.verdict != _UNSEEN).sum()
    return f"{sure} of {len(frame)} paired differences survive correction (filled dots)"


def _preferred(frame: pd.DataFrame) -> str:
    ours = frame[(frame.benchmark != _AVERAGE) & frame.arm.isin(_COLOURS)]
    sure = ours[ours.low > 0].benchmark.nunique()
    count = ours.benchmark.nunique()
    if not sure:
        return f"No arm of ours prefers the gold answer on average, on any of {count} benchmarks"
    return f"On {sure} of {count} benchmarks some arm of ours prefers the gold answer on average"


def _grouped_finding(frame: pd.DataFrame, what: str) -> str:
    average = frame[(frame.panel == "difference") & (frame.benchmark == _AVERAGE)]
    found = [
        f"{row.arm.upper()} " + (f"{abs(row.value):.3f} {row.verdict} than D1" if _is_sure(row) else "not told from D1")
        for row in average.itertuples()
    ]
    return f"Bits per byte of {what}:\n{'; '.join(found)}"

"""Figures of the whole study: the paper's figures redone, with our measurements beside them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.paper.printed_leakage import rank_correlations
from hare.report.style import ARM_COLOURS, MODELS, arm_colours, arm_label, headline

_GREY, _HARE = "#999999", "#D55E00"
_LABEL = (2.5, 0.9)  # room that a model's name takes in Figure 1: points of leakage, points of score
_SPREAD = 0.6  # of the room between two rows
_PUBLISHED_UP = 0.2
_SEEDS_THAT_TELL = 2


@figure("study", "score_and_leakage")
def draw_score_and_leakage(frame: pd.DataFrame) -> Figure:
    """Figure 1 redone, a panel per kind of split. Columns: model, score, train, test (mean printed Δ, points)."""
    picture, panels = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
    correlations = rank_correlations(frame).set_index("predictor")
    for axes, split in zip(panels, ("train", "test"), strict=True):
        axes.axvline(0, color="black", linewidth=1)
        hare = frame.model == "HARE"
        axes.scatter(frame[split], frame.score, c=np.where(hare, _HARE, _GREY), s=50, zorder=2)
        for row in frame.itertuples():
            crowded = _has_neighbour_to_the_right(frame[split], frame.score, row.Index)
            axes.annotate(row.model, (getattr(row, split), row.score), xytext=(-6 if crowded else 6, 0), va="center",
                          textcoords="offset points", ha="right" if crowded else "left", fontsize=8,
                          fontweight="bold" if row.model == "HARE" else "normal")
        correlation = correlations.loc[split]
        interval = f"[{correlation.low:.2f}, {correlation.high:.2f}]"
        axes.set_title(f"{correlation.label}: {correlation.value:.2f} {interval}", fontsize=9)
        axes.set_xlabel("mean printed leakage Δ, points")
        axes.margins(x=0.2)
    panels[0].set_ylabel("average leaderboard score, %")
    headline(picture, score_leakage_finding(frame))
    return picture


def _has_neighbour_to_the_right(x: pd.Series, y: pd.Series, index: int) -> bool:
    """Whether a label to the right of a point would run into another point's."""
    near = x.between(x[index], x[index] + _LABEL[0], inclusive="right") & ((y - y[index]).abs() < _LABEL[1])
    return bool(near.any())


def score_leakage_finding(frame: pd.DataFrame) -> str:
    """Whether the printed scores go with the printed leakage. Columns as `draw_score_and_leakage`'s."""
    correlations = rank_correlations(frame).set_index("predictor")
    texts = []
    for split, label in (("train", "training splits"), ("test", "test splits")):
        row = correlations.loc[split]
        texts.append(f"{'go' if row.low > 0 else 'cannot be shown to go'} with Δ on {label} ({row.value:.2f})")
    return f"Printed scores of {len(frame)} models {' and '.join(texts)}; rank correlation, 95 % intervals"


@figure("study", "relative_delta")
def draw_relative_delta(frame: pd.DataFrame) -> Figure:
    """The method's own statistic, from print. Columns: model, value, low, high (relative Δ, train minus test, %)."""
    picture, axes = plt.subplots(figsize=(7.2, 3.6))
    for place, row in enumerate(frame[::-1].itertuples()):
        _point(axes, place, row, _HARE if row.model == "HARE" else "black")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(frame)), list(frame.model[::-1]))
    axes.set_xlabel("relative Δ on GSM8K, training minus test split, %")
    above = list(frame[frame.low > 0].model)
    headline(picture, f"Printed: {', '.join(above)} know GSM8K's training split better than its test split; "
              f"of the other {len(frame) - len(above)} models it cannot be said")
    return picture


@figure("study", "ablation")
def draw_ablation(frame: pd.DataFrame) -> Figure:
    """Figure 3 beside ours: paired differences. Columns: arm, measure, value, low, high, origin, seeds."""
    picture, axes = plt.subplots(figsize=(8.4, 3.8))
    differences = frame[frame.measure == "difference in bits per byte"].reset_index(drop=True)
    for row in differences.itertuples():
        _point(axes, row.Index, row, ARM_COLOURS[row.arm[0]], upright=True)
        axes.annotate(f"{row.value:+.3f}", (row.Index, row.value), xytext=(9, 0), textcoords="offset points",
                      va="center", fontsize=8)
    axes.set_xticks(range(len(differences)), differences.arm.str.upper())
    axes.margins(x=0.35, y=0.15)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_ylabel("benchmark answers, difference in bits\nper byte (below 0: better)")
    printed = frame[frame.origin == "published"].iloc[0]
    headline(picture, f"{ablation_finding(differences)};\nsources not held equal. Published, one seed: "
              f"{printed.low:.0f} to {printed.high:.0f} % on average, A < B < D")
    return picture


def ablation_finding(differences: pd.DataFrame) -> str:
    """A verdict in words. Columns: arm, value, low, high, seeds."""
    clauses = []
    for row in differences.itertuples():
        if row.seeds < _SEEDS_THAT_TELL:
            clauses.append(f"{row.arm.upper()}: one seed cannot tell")
        elif pd.isna(row.low) or row.low <= 0 <= row.high:
            clauses.append(f"{row.arm.upper()}: no difference seen")
        else:
            direction = "worse" if row.value > 0 else "better"
            clauses.append(f"{row.arm.upper()}: {abs(row.value):.3f} bits per byte {direction}")
    return "; ".join(clauses)


@figure("study", "leaderboard")
def draw_leaderboard(frame: pd.DataFrame) -> Figure:
    """Table 1 as a picture, ours below. Columns: model, benchmark, value, low, high, origin, chance."""
    ours = frame[frame.origin != "published"]
    benchmarks = [name for name in dict.fromkeys(frame.benchmark) if name in set(ours.benchmark) or ours.empty]
    arms, colours = list(dict.fromkeys(ours.model)), arm_colours(ours.model)
    picture, axes = plt.subplots(figsize=(7.6, 1.6 + 0.62 * len(benchmarks)))
    for height, benchmark in enumerate(reversed(benchmarks)):
        rows = frame[frame.benchmark == benchmark]
        chance = rows.chance.dropna()
        if len(chance):
            axes.plot([chance.iloc[0]] * 2, [height - 0.4, height + 0.4], color="black", linestyle=":", linewidth=1.4)
        _published_points(axes, height, rows)
        for row in rows[rows.origin != "published"].itertuples():
            number = arms.index(row.model)
            _point(axes, _below(height, number, len(arms)), row, colours[row.model])
    axes.set_yticks(range(len(benchmarks)), [_label(frame, name) for name in reversed(benchmarks)])
    axes.set_xlabel("leaderboard metric, %; bars: 95 % intervals; dotted: chance")
    _model_legend(axes, arms)
    headline(picture, _leaderboard_finding(ours))
    return picture


def _label(frame: pd.DataFrame, benchmark: str) -> str:
    return frame[frame.benchmark == benchmark].label.iloc[0]


def _leaderboard_finding(ours: pd.DataFrame) -> str:
    tested = ours[~ours.model.isin(MODELS)].dropna(subset=["low", "chance"])
    if tested.empty:
        return "Published scores; none of our arms has been measured"
    above = (tested.low > tested.chance).sum() or "none"
    return (f"Of {len(tested)} scores of our arms {above} {'lies' if above in (1, 'none') else 'lie'} above chance; "
            "the published models beside them are larger by orders of magnitude")


@figure("study", "leakage")
def draw_leakage(frame: pd.DataFrame) -> Figure:
    """Leakage Δ, published and ours. Columns: model, benchmark, split, value, low, high, origin."""
    named = frame.assign(place=frame.benchmark + " " + frame.split)
    places = list(dict.fromkeys(named.place))[::-1]
    ours = named[named.origin != "published"]
    models, colours = list(dict.fromkeys(ours.model)), arm_colours(ours.model)
    picture, axes = plt.subplots(figsize=(7.6, 1.6 + 0.5 * len(places)))
    axes.axvline(0, color="black", linewidth=1)
    for height, place in enumerate(places):
        rows = named[named.place == place]
        _published_points(axes, height, rows)
        measured = rows[rows.origin != "published"]
        for row, hollow in zip(measured.itertuples(), _forced_zero(measured), strict=True):
            number = models.index(row.model)
            _point(axes, _below(height, number, len(models)), row, colours[row.model], hollow=hollow)
    axes.set_yticks(range(len(places)), places)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("5-gram accuracy on original minus rewritten samples, points (linear within ±1)")
    _model_legend(axes, models)
    headline(picture, _leakage_finding(named, ours))
    return picture


def _leakage_finding(frame: pd.DataFrame, ours: pd.DataFrame) -> str:
    printed = frame[frame.origin == "published"]
    worst = printed.loc[printed.value.idxmax()]
    finding = f"Published: largest Δ is {worst.value:.1f}, {worst.model} on {worst.place}"
    if ours.empty:
        return finding
    tested = ours[~ours.model.isin(MODELS)].dropna(subset=["low"])
    above = (tested.low > 0).sum() or "none"
    finding += (f"; of {len(tested)} intervals of our clean arms {above} "
                f"{'lies' if above in (1, 'none') else 'lie'} above 0")
    forced = int(_forced_zero(tested).sum())
    return f"{finding}, {forced} are 0 by force (hollow), since nothing was continued" if forced else finding


def _forced_zero(rows: pd.DataFrame) -> pd.Series:
    """Where Δ is 0 and its interval follows from the number of items alone: a model that continues nothing at all."""
    return (rows.value == 0) & (rows.low == -rows.high)


def _below(height: float, number: int, of: int) -> float:
    """Where our model ``number`` lies, under the published points of a row."""
    return height - _SPREAD * (number + 1) / of + _PUBLISHED_UP / 2


def _published_points(axes: plt.Axes, height: float, rows: pd.DataFrame) -> None:
    printed = rows[rows.origin == "published"]
    others = printed[printed.model != "HARE"]
    axes.plot(others.value, [height + _PUBLISHED_UP] * len(others), "|", color=_GREY, markersize=11)
    hare = printed[printed.model == "HARE"]
    axes.plot(hare.value, [height + _PUBLISHED_UP] * len(hare), "D", color=_HARE, markersize=7)


def _point(
    axes: plt.Axes, place: float, row: object, colour: str, upright: bool = False, hollow: bool = False
) -> None:
    """One of our values with its interval, if it has one."""
    inside = "white" if hollow else colour
    error = [[row.value - row.low], [row.high - row.value]] if pd.notna(row.low) else None
    if upright:
        axes.errorbar(place, row.value, yerr=error, fmt="o", color=colour, markerfacecolor=inside, markersize=7)
    else:
        axes.errorbar(row.value, place, xerr=error, fmt="o", color=colour, markerfacecolor=inside, markersize=5)


def _model_legend(axes: plt.Axes, ours: list[str]) -> None:
    handles = [plt.Line2D([], [], marker="|", linestyle="", color=_GREY, markersize=11, label="published"),
               plt.Line2D([], [], marker="D", linestyle="", color=_HARE, label="HARE, published")]
    for model in ours:
        colour = arm_colours(ours)[model]
        handles.append(plt.Line2D([], [], marker="o", linestyle="", color=colour, label=f"{arm_label(model)}, ours"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)

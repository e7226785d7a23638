"""Figures of the whole study: the paper's figures redone, with our measurements beside them."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure

_PRIOR_COLOURS = {
    "web-scraped": "#0072B2", "web + tasks": "#56B4E9", "synthetic": "#009E73", "textbooks + synthetic": "#E69F00",
    "synthetic + NLP tasks": "#D55E00", "undisclosed": "#777777", "not stated": "#777777",
}
_OURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_GREY, _HARE = "#999999", "#D55E00"
_ARM = r"d1(\+d\d)*"
_SPREAD = 0.6  # of the room between two rows
_PUBLISHED_UP = 0.2
_SEEDS_THAT_TELL = 2
_LETTERS_AN_INCH = 10.5  # of a title
_LABEL = (1.0, 0.5)  # room that a model's name takes in Figure 1: points of leakage, points of score


@figure("study", "prior_score")
def draw_prior_score(frame: pd.DataFrame) -> Figure:
    """Figure 1 redone: score against leakage, and who scores beyond it. Columns: model, prior, score, leakage_mean."""
    picture, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.4), width_ratios=(1.35, 1))
    colours = [_PRIOR_COLOURS.get(prior, _GREY) for prior in frame.prior]
    slope, level = _leakage_line(frame)
    span = np.array([min(0, frame.leakage_mean.min()), 1.08 * frame.leakage_mean.max()])
    left.plot(span, level + slope * span, color="black", linewidth=1, linestyle="--", zorder=1)
    left.scatter(frame.leakage_mean, frame.score, c=colours, s=60, zorder=2)
    for row in frame.itertuples():
        beyond = frame.leakage_mean.between(row.leakage_mean, row.leakage_mean + _LABEL[0], inclusive="right")
        crowded = (beyond & ((frame.score - row.score).abs() < _LABEL[1])).any()
        left.annotate(row.model, (row.leakage_mean, row.score), xytext=(-7 if crowded else 7, 0), va="center",
                      textcoords="offset points", ha="right" if crowded else "left", fontsize=8,
                      fontweight="bold" if row.model == "HARE" else "normal")
    left.set_xlabel("mean printed leakage Δ, points")
    left.set_ylabel("average leaderboard score, %")
    left.margins(x=0.16)
    ranked = frame.assign(above=frame.score - level - slope * frame.leakage_mean, colour=colours).sort_values("above")
    right.barh(range(len(ranked)), ranked.above, color=ranked.colour, height=0.62)
    right.axvline(0, color="black", linewidth=1)
    right.set_yticks(range(len(ranked)), [f"{row.model}: {row.prior}" for row in ranked.itertuples()], fontsize=8)
    right.set_xlabel("score above the dashed line, points")
    right.grid(axis="y", visible=False)
    _headline(picture, score_leakage_finding(frame))
    return picture


def _leakage_line(frame: pd.DataFrame) -> tuple[float, float]:
    """Slope and level of the least-squares line of score on mean leakage: what leakage alone would let one expect."""
    slope, level = np.polyfit(frame.leakage_mean, frame.score, 1)
    return float(slope), float(level)


def score_leakage_finding(frame: pd.DataFrame) -> str:
    """How the printed scores go with the printed leakage, and who scores beyond it. Columns as `draw_prior_score`'s."""
    correlation = frame.score.rank().corr(frame.leakage_mean.rank())
    slope, level = _leakage_line(frame)
    above = (frame.score - level - slope * frame.leakage_mean).set_axis(frame.model)
    return (f"Published: score goes with leakage (rank correlation {correlation:.2f}, {len(frame)} models). Beyond it, "
            f"{above.idxmax()} gains most ({above.max():+.1f} points) and HARE {above['HARE']:+.1f}, "
            f"where models scatter by {above.std(ddof=2):.1f}")


@figure("study", "ablation")
def draw_ablation(frame: pd.DataFrame) -> Figure:
    """Figure 3 beside ours. Columns: arm, measure, value, low, high, origin, seeds."""
    picture, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.8))
    scores = frame[frame.measure == "held-out bits per byte"].reset_index(drop=True)
    differences = frame[frame.measure == "difference in bits per byte"].reset_index(drop=True)
    for axes, table, first in ((left, scores, 0), (right, differences, 1)):
        for row in table.itertuples():
            _point(axes, row.Index, row, _OURS[(row.Index + first) % len(_OURS)], "o", upright=True)
            axes.annotate(f"{row.value:.3f}", (row.Index, row.value), xytext=(9, 0), textcoords="offset points",
                          va="center", fontsize=8)
        axes.set_xticks(range(len(table)), table.arm.str.upper())
        axes.margins(x=0.35, y=0.15)
    left.set_ylabel("held-out bits per byte (lower is better)")
    right.axhline(0, color="black", linewidth=1)
    right.set_ylabel("difference from D1, bits per byte")
    printed = frame[frame.origin == "published"].iloc[0]
    _headline(picture, f"{ablation_finding(differences)}. Published, at 0.25B, one seed: average scores of about "
              f"{printed.low:.0f} to {printed.high:.0f} %, D1 < D1+D2 < D1+D2+D3")
    return picture


def ablation_finding(differences: pd.DataFrame) -> str:
    """A verdict in words. Columns: arm, value, low, high, seeds."""
    found = []
    for row in differences.itertuples():
        if row.seeds < _SEEDS_THAT_TELL:
            found.append(f"{row.arm.upper()}: one seed cannot tell")
        elif pd.isna(row.low) or row.low <= 0 <= row.high:
            found.append(f"{row.arm.upper()}: no difference seen")
        else:
            direction = "worse" if row.value > 0 else "better"
            found.append(f"{row.arm.upper()}: {abs(row.value):.3f} bits per byte {direction}")
    return "; ".join(found)


@figure("study", "leaderboard")
def draw_leaderboard(frame: pd.DataFrame) -> Figure:
    """Table 1 as a picture, ours below. Columns: model, benchmark, value, low, high, origin, chance."""
    ours = frame[frame.origin != "published"]
    benchmarks = [name for name in dict.fromkeys(frame.benchmark) if name in set(ours.benchmark) or ours.empty]
    arms = list(dict.fromkeys(ours.model))
    picture, axes = plt.subplots(figsize=(7.6, 1.6 + 0.62 * len(benchmarks)))
    for height, benchmark in enumerate(reversed(benchmarks)):
        rows = frame[frame.benchmark == benchmark]
        chance = rows.chance.dropna()
        if len(chance):
            axes.plot([chance.iloc[0]] * 2, [height - 0.4, height + 0.4], color="black", linestyle=":", linewidth=1.4)
        _published_points(axes, height, rows)
        for row in rows[rows.origin != "published"].itertuples():
            number = arms.index(row.model)
            _point(axes, _below(height, number, len(arms)), row, _OURS[number % len(_OURS)], "o")
    axes.set_yticks(range(len(benchmarks)), [_label(frame, name) for name in reversed(benchmarks)])
    axes.set_xlabel("leaderboard metric, %; bars: 95 % intervals; dotted: chance")
    _model_legend(axes, arms)
    _headline(picture, _leaderboard_finding(ours))
    return picture


def _label(frame: pd.DataFrame, benchmark: str) -> str:
    return frame[frame.benchmark == benchmark].label.iloc[0]


def _leaderboard_finding(ours: pd.DataFrame) -> str:
    tested = ours[ours.model.str.fullmatch(_ARM)].dropna(subset=["low", "chance"])
    if tested.empty:
        return "Published scores; none of our arms has been measured"
    above = (tested.low > tested.chance).sum()
    return (f"Of {len(tested)} scores of our arms {above} lie above chance by their intervals; "
            "the published models beside them are larger by orders of magnitude")


@figure("study", "leakage")
def draw_leakage(frame: pd.DataFrame) -> Figure:
    """Leakage Δ, published and ours. Columns: model, benchmark, split, value, low, high, origin."""
    named = frame.assign(place=frame.benchmark + " " + frame.split)
    places = list(dict.fromkeys(named.place))[::-1]
    ours = named[named.origin != "published"]
    models = list(dict.fromkeys(ours.model))
    picture, axes = plt.subplots(figsize=(7.6, 1.6 + 0.5 * len(places)))
    axes.axvline(0, color="black", linewidth=1)
    for height, place in enumerate(places):
        rows = named[named.place == place]
        _published_points(axes, height, rows)
        for row in rows[rows.origin != "published"].itertuples():
            number = models.index(row.model)
            _point(axes, _below(height, number, len(models)), row, _OURS[number % len(_OURS)], "o")
    axes.set_yticks(range(len(places)), places)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlabel("5-gram accuracy on original minus rewritten samples, points (linear within ±1)")
    _model_legend(axes, models)
    _headline(picture, _leakage_finding(named, ours))
    return picture


def _leakage_finding(frame: pd.DataFrame, ours: pd.DataFrame) -> str:
    printed = frame[frame.origin == "published"]
    worst = printed.loc[printed.value.idxmax()]
    finding = f"Published: largest Δ is {worst.value:.1f}, {worst.model} on {worst.place}"
    if ours.empty:
        return finding
    tested = ours[ours.model.str.fullmatch(_ARM)].dropna(subset=["low"])
    return f"{finding}; of {len(tested)} intervals of our clean arms {(tested.low > 0).sum()} lie above 0"


def _below(height: float, number: int, of: int) -> float:
    """Where our model ``number`` lies, under the published points of a row."""
    return height - _SPREAD * (number + 1) / of + _PUBLISHED_UP / 2


def _published_points(axes: plt.Axes, height: float, rows: pd.DataFrame) -> None:
    printed = rows[rows.origin == "published"]
    others = printed[printed.model != "HARE"]
    axes.plot(others.value, [height + _PUBLISHED_UP] * len(others), "|", color=_GREY, markersize=11)
    hare = printed[printed.model == "HARE"]
    axes.plot(hare.value, [height + _PUBLISHED_UP] * len(hare), "D", color=_HARE, markersize=7)


def _point(axes: plt.Axes, place: float, row: object, colour: str, marker: str, upright: bool = False) -> None:
    """One of our values with its interval, if it has one."""
    error = [[row.value - row.low], [row.high - row.value]] if pd.notna(row.low) else None
    if upright:
        axes.errorbar(place, row.value, yerr=error, fmt=marker, color=colour, markersize=7)
    else:
        axes.errorbar(row.value, place, xerr=error, fmt=marker, color=colour, markersize=5)


def _model_legend(axes: plt.Axes, ours: list[str]) -> None:
    handles = [plt.Line2D([], [], marker="|", linestyle="", color=_GREY, markersize=11, label="published"),
               plt.Line2D([], [], marker="D", linestyle="", color=_HARE, label="HARE, published")]
    for number, model in enumerate(ours):
        colour = _OURS[number % len(_OURS)]
        handles.append(plt.Line2D([], [], marker="o", linestyle="", color=colour, label=f"{model}, ours"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)


def _headline(picture: Figure, text: str) -> None:
    """A title over the whole figure, broken where its width ends."""
    wrapped = textwrap.fill(text, width=int(_LETTERS_AN_INCH * picture.get_figwidth()))
    picture.suptitle(wrapped, x=0.01, ha="left", fontsize=11, fontweight="bold")

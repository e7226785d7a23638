"""Figures of the evaluation: scores against chance, and the letters that a model answers with."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure
from hare.report.style import arm_colours, arm_label, headline

_AVERAGE = "average"
_GUESSING = {"color": "black", "linewidth": 1, "linestyle": (0, (2, 2))}


@figure("evaluation", "scores")
def draw_scores(frame: pd.DataFrame) -> Figure:
    """Leaderboard scores with intervals, and what guessing gives. Columns: benchmark, arm, value, low, high, chance,
    items."""
    benchmarks, colours = _order(frame.benchmark), arm_colours(frame.arm)
    arms = list(colours)
    picture, axes = plt.subplots(figsize=(7.2, 0.9 + 0.13 * len(benchmarks) * (len(arms) + 1)))
    for row, benchmark in enumerate(benchmarks):
        here = frame[frame.benchmark == benchmark]
        for score in here.itertuples():
            place = row + (arms.index(score.arm) - (len(arms) - 1) / 2) * 0.8 / len(arms)
            _interval(axes, score, place, colours[score.arm])
        chance = 100 * here.chance.mean()
        axes.plot([chance, chance], [row - 0.42, row + 0.42], **_GUESSING)
    axes.set_yticks(range(len(benchmarks)), [label_of(name) for name in benchmarks])
    axes.set_ylim(len(benchmarks) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("score on the leaderboard's metric, % (bars: 95 % intervals over items and seeds)")
    handles = [plt.Line2D([], [], color=colours[arm], marker="o", label=arm_label(arm)) for arm in arms]
    handles.append(plt.Line2D([], [], label="guessing", **_GUESSING))
    picture.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=9, frameon=False)
    headline(picture, _against_chance(frame))
    return picture


def _interval(axes: Axes, score: object, place: float, colour: str) -> None:
    value, low, high = (100 * getattr(score, name) for name in ("value", "low", "high"))
    axes.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=4)


def _against_chance(frame: pd.DataFrame) -> str:
    singles = frame[frame.benchmark != _AVERAGE]
    above = [name for name, rows in singles.groupby("benchmark", sort=False) if (rows.low > rows.chance).any()]
    count = singles.benchmark.nunique()
    if not above:
        return f"No arm is above guessing on any of {count} benchmarks"
    return f"Some arm is above guessing on {len(above)} of {count} benchmarks"


@figure("evaluation", "letters")
def draw_letters(frame: pd.DataFrame) -> Figure:
    """Which letter a model answers with on items whose choices are letters. Columns: arm, letter, share, right (the
    share of items whose right answer it is)."""
    colours = arm_colours(frame.arm)
    arms, letters = list(colours), sorted(frame.letter.unique())
    picture, axes = plt.subplots(figsize=(7.2, 3.2))
    width = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        shares = frame[frame.arm == arm].set_index("letter").share.reindex(letters, fill_value=0)
        places = [place + (number - (len(arms) - 1) / 2) * width for place in range(len(letters))]
        axes.bar(places, 100 * shares, width, color=colours[arm], label=arm_label(arm))
    right = frame.drop_duplicates("letter").set_index("letter").right.reindex(letters)
    for place, share in enumerate(right):
        axes.plot([place - 0.42, place + 0.42], [100 * share] * 2, **_GUESSING)
    axes.set_xticks(range(len(letters)), letters)
    axes.set_ylabel("share of answers, %\n(dashed: of the right ones)")
    axes.legend(fontsize=8, ncols=2)
    most = frame.loc[frame.share.idxmax()]
    headline(picture, f"Arm {arm_label(most.arm)} answers {most.letter} to {most.share:.0%} of MMLU's questions")
    return picture


def _order(benchmarks: pd.Series) -> list[str]:
    """Benchmarks as they come, the average last."""
    names = list(dict.fromkeys(benchmarks))
    return [name for name in names if name != _AVERAGE] + [name for name in names if name == _AVERAGE]

"""Figures of fine-tuning: tool calling by system and test set, what was called instead, the leaderboard after chat."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure

_SYSTEMS = {
    "hare-tool": "HARE-Tool (marks)", "hare-tool-copying": "HARE-Tool, copying",
    "no-functional-tokens": "no functional tokens, no marks", "base": "base model",
    "retrieval": "retrieval + instruct model",
    "retrieval-examples": "retrieval + instruct model, examples",
}
_BASELINES = ("retrieval", "retrieval-examples")
_SETS = {"validation": "validation", "test": "test set", "hard": "harder test set"}
_EXACT, _FUNCTION = "#0072B2", "#E69F00"
_MODELS = {"before": "#0072B2", "after": "#D55E00"}


@figure("finetuning", "tool_accuracy")
def tool_accuracy(frame: pd.DataFrame) -> Figure:
    """Exact calls and functions alone, one panel a test set. Columns: test_set, system, decoding, exact, low, high,
    right_function, function_low, function_high, items."""
    shown = [name for name in ("test", "hard") if (frame.test_set == name).any()]
    ways = list(dict.fromkeys(zip(frame.system, frame.decoding, strict=True)))
    picture, panels = plt.subplots(1, len(shown), figsize=(8.4, 1.5 + 0.42 * len(ways)), sharey=True, squeeze=False)
    for axes, test_set in zip(panels[0], shown, strict=True):
        part = frame[frame.test_set == test_set]
        for found in part.itertuples():
            place = ways.index((found.system, found.decoding))
            _bar(axes, place - 0.12, found.exact, found.low, found.high, _EXACT, "o")
            _bar(axes, place + 0.16, found.right_function, found.function_low, found.function_high, _FUNCTION, "s")
        axes.set_xlim(-3, 103)
        axes.set_title(f"{_SETS[test_set]}, {_asked(part)} requests", fontsize=10, fontweight="normal")
        axes.set_xlabel("right, % (bars: 95 % intervals)")
        axes.grid(axis="y", visible=False)
    panels[0, 0].set_yticks(range(len(ways)), [_named(*way) for way in ways])
    panels[0, 0].set_ylim(len(ways) - 0.5, -0.5)
    handles = [plt.Line2D([], [], color=_EXACT, marker="o", label="the whole call"),
               plt.Line2D([], [], color=_FUNCTION, marker="s", label="the function alone")]
    picture.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    picture.suptitle(tool_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _bar(axes: Axes, place: float, value: float, low: float, high: float, colour: str, marker: str) -> None:
    axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([100 * value], [place], marker, color=colour, markersize=5)


def _asked(part: pd.DataFrame) -> str:
    least, most = part["items"].min(), part["items"].max()
    return f"{most:.0f}" if least == most else f"{least:.0f} to {most:.0f}"


def _named(system: str, decoding: str) -> str:
    said = _SYSTEMS.get(system, system)
    return f"{said}, grammar" if decoding == "grammar" and system != "hare-tool" else said


def tool_finding(frame: pd.DataFrame) -> str:
    """HARE-Tool against the better baseline on the test set, in one sentence."""
    test = frame[frame.test_set == "test"]
    ours = test[test.system == "hare-tool"].iloc[0]
    theirs = test[test.system.isin(_BASELINES)]
    said = f"HARE-Tool makes {100 * ours.exact:.0f} % of unseen calls"
    if theirs.empty:
        return said
    apart = "" if ours.low > theirs.high.max() else " (intervals overlap)"
    return f"{said}, retrieval {100 * theirs.exact.max():.0f} % at best{apart}"


@figure("finetuning", "tool_confusion")
def tool_confusion(frame: pd.DataFrame) -> Figure:
    """What was answered where each function was wanted, HARE-Tool and baseline. Columns: system, decoding, wanted,
    answered, items."""
    shown = [("hare-tool", "grammar"), ("retrieval-examples", "greedy")]
    wanted = list(dict.fromkeys(frame.wanted))
    answered = [*wanted, "unreadable"]
    picture, panels = plt.subplots(1, 2, figsize=(9.2, 4.4), sharey=True)
    for axes, (system, decoding) in zip(panels, shown, strict=True):
        part = frame[(frame.system == system) & (frame.decoding == decoding)]
        table = part.pivot_table(index="wanted", columns="answered", values="items", aggfunc="sum")
        table = table.reindex(index=wanted, columns=answered).fillna(0)
        shares = table.to_numpy() / np.maximum(1, table.sum(axis=1).to_numpy()[:, None])
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                colour = "white" if share > 0.6 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(answered)), answered, rotation=45, ha="right", fontsize=8)
        axes.set_title(_named(system, decoding), fontsize=10, fontweight="normal")
        axes.set_xlabel("function answered")
        axes.grid(visible=False)
    panels[0].set_yticks(range(len(wanted)), wanted, fontsize=8)
    panels[0].set_ylabel("function wanted (numbers: % of its requests)")
    picture.suptitle(_confusion_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _confusion_finding(frame: pd.DataFrame) -> str:
    ours = frame[frame.system == "hare-tool"]
    missed = ours[ours.wanted != ours.answered].sort_values("items")
    if missed.empty:
        return "HARE-Tool takes no function for another"
    worst = missed.iloc[-1]
    times = f"{worst['items']:.0f} times"
    return f"HARE-Tool's commonest mistake: {worst.answered} where {worst.wanted} is wanted, {times}"


@figure("finetuning", "chat_change")
def chat_change(frame: pd.DataFrame) -> Figure:
    """Leaderboard before and after the chat fine-tune. Columns: benchmark, model, value, low, high, items, chance."""
    benchmarks = list(dict.fromkeys(frame.benchmark))
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.42 * len(benchmarks)))
    for row, benchmark in enumerate(benchmarks):
        for found in frame[frame.benchmark == benchmark].itertuples():
            shift = -0.14 if found.model == "before" else 0.14
            _bar(axes, row + shift, found.value, found.low, found.high, _MODELS[found.model], "o")
            axes.plot([100 * found.chance] * 2, [row - 0.35, row + 0.35], color="black", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(benchmarks)), [label_of(name) for name in benchmarks])
    axes.set_ylim(len(benchmarks) - 0.5, -0.5)
    axes.set_xlabel(f"score, % (bars: 95 % intervals over {frame['items'].max():.0f} items; dotted: guessing)")
    axes.grid(axis="y", visible=False)
    handles = [plt.Line2D([], [], color=colour, marker="o", label=f"{name} the chat fine-tune")
               for name, colour in _MODELS.items()]
    picture.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    picture.suptitle(_change_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _change_finding(frame: pd.DataFrame) -> str:
    both = frame.pivot(index="benchmark", columns="model", values=["low", "high"])
    apart = (both["low", "after"] > both["high", "before"]) | (both["high", "after"] < both["low", "before"])
    if not apart.any():
        return f"The chat fine-tune changes no score beyond its interval ({len(both)} benchmarks)"
    return f"The chat fine-tune changes {apart.sum()} of {len(both)} scores beyond their intervals"

"""Figures of fine-tuning: tool calling by system and test set, by pretraining tokens, and what was called instead."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import headline

_SYSTEMS = {
    "hare-tool": "HARE-Tool (marks)", "random-weights": "marks, random weights", "base": "not fine-tuned",
    "copying": "copying (the paper's way)", "copying-grammar": "copying, grammar",
    "copying-random": "copying, random weights", "copying-random-grammar": "copying, random weights, grammar",
    "bag-of-words": "bag of words, rules",
    "retrieval": "retrieval + instruct model", "retrieval-grammar": "retrieval, our grammar",
    "retrieval-examples": "retrieval + examples", "retrieval-examples-grammar": "retrieval + examples, our grammar",
}
_OURS, _RETRIEVAL, _BAG = "hare-tool", "retrieval", "bag-of-words"
_SETS = {"test": "test set", "hard": "harder test set", "human": "phrased by people"}
_EXACT, _FUNCTION, _ARGUMENTS = "#0072B2", "#E69F00", "#009E73"
_ALL, _WITH = "all", "with arguments"


@figure("finetuning", "tool_accuracy")
def tool_accuracy(frame: pd.DataFrame) -> Figure:
    """Exact calls, exact calls with arguments and functions alone, one panel per test set. Columns: test_set, system,
    part (all, with arguments), exact, low, high, right_function, function_low, function_high, phrasings."""
    shown = [name for name in _SETS if (frame.test_set == name).any()]
    systems = [name for name in _SYSTEMS if (frame.system == name).any()]
    picture, panels = plt.subplots(1, len(shown), figsize=(10.4, 1.5 + 0.42 * len(systems)), sharey=True, squeeze=False)
    for axes, test_set in zip(panels[0], shown, strict=True):
        part = frame[(frame.test_set == test_set) & frame.system.isin(systems)]
        for row in part[part.part == _ALL].itertuples():
            place = systems.index(row.system)
            _bar(axes, place - 0.2, row.exact, row.low, row.high, _EXACT, "o")
            _bar(axes, place + 0.2, row.right_function, row.function_low, row.function_high, _FUNCTION, "s")
        for row in part[part.part == _WITH].itertuples():
            _bar(axes, systems.index(row.system), row.exact, row.low, row.high, _ARGUMENTS, "D")
        axes.set_xlim(-3, 103)
        axes.set_title(f"{_SETS[test_set]},\n{_phrasings(part)} phrasings", fontsize=10, fontweight="normal")
        axes.set_xlabel("right, %")
        axes.grid(axis="y", visible=False)
    panels[0, 0].set_yticks(range(len(systems)), [_SYSTEMS[name] for name in systems])
    panels[0, 0].set_ylim(len(systems) - 0.5, -0.5)
    kinds = ((_EXACT, "o", "the whole call"), (_ARGUMENTS, "D", "the whole call, where it has arguments"),
             (_FUNCTION, "s", "the function alone"))
    handles = [plt.Line2D([], [], color=colour, marker=marker, label=label) for colour, marker, label in kinds]
    picture.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9,
                   title="bars: 95 % over phrasings and seeds", title_fontsize=9)
    headline(picture, tool_finding(frame))
    return picture


def _bar(axes: Axes, place: float, value: float, low: float, high: float, colour: str, marker: str) -> None:
    axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    axes.plot([100 * value], [place], marker, color=colour, markersize=5)


def _phrasings(part: pd.DataFrame) -> str:
    counts = part[part.part == _ALL].phrasings
    return f"{counts.max():.0f}" if counts.min() == counts.max() else f"{counts.min():.0f} to {counts.max():.0f}"


def tool_finding(frame: pd.DataFrame) -> str:
    """HARE-Tool against the strongest baseline on each test set, retrieval or a bag of words, in one sentence."""
    parts = []
    for name, label in _SETS.items():
        test = frame[(frame.test_set == name) & (frame.part == _ALL)]
        ours = test[test.system == _OURS]
        theirs = test[test.system.str.startswith(_RETRIEVAL) | (test.system == _BAG)]
        if ours.empty:
            continue
        result = f"{100 * ours.exact.iloc[0]:.0f} %"
        if len(theirs):
            best = theirs.loc[theirs.exact.idxmax()]
            apart = "" if ours.low.iloc[0] > best.high or ours.high.iloc[0] < best.low else ", intervals overlap"
            result += f" (best baseline {100 * best.exact:.0f} %{apart})"
        parts.append(f"{label} {result}")
    return f"HARE-Tool's right calls: {'; '.join(parts)}"


@figure("finetuning", "tool_confusion")
def tool_confusion(frame: pd.DataFrame) -> Figure:
    """What was answered where each function was wanted, HARE-Tool and baseline. Columns: system, wanted,
    answered, items."""
    candidates = (_OURS, "retrieval-examples-grammar", "retrieval-examples")
    shown = [name for name in candidates if (frame.system == name).any()]
    wanted = list(dict.fromkeys(frame.wanted))
    answered = [*wanted, "unreadable"]
    picture, panels = plt.subplots(1, 2, figsize=(10.4, 4.4))
    for axes, system in zip(panels, shown[:2], strict=False):
        part = frame[frame.system == system]
        table = part.pivot_table(index="wanted", columns="answered", values="items", aggfunc="sum")
        table = table.reindex(index=wanted, columns=answered).fillna(0)
        shares = table.to_numpy() / np.maximum(1, table.sum(axis=1).to_numpy()[:, None])
        counts = table.sum(axis=1).astype(int).tolist()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                colour = "white" if share > 0.6 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(answered)), answered, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(wanted)), [f"{name} ({count})" for name, count in zip(wanted, counts, strict=True)],
                        fontsize=8)
        axes.set_title(_SYSTEMS[system], fontsize=10, fontweight="normal")
        axes.set_xlabel("function answered, % of a row")
        axes.grid(visible=False)
    panels[0].set_ylabel("function wanted (answers, all seeds)")
    headline(picture, _confusion_finding(frame))
    return picture


def _confusion_finding(frame: pd.DataFrame) -> str:
    ours = frame[frame.system == "hare-tool"]
    missed = ours[ours.wanted != ours.answered].sort_values("items")
    if missed.empty:
        return "HARE-Tool takes no function for another"
    worst = missed.iloc[-1]
    times = f"{worst['items']:.0f} of {ours.loc[ours.wanted == worst.wanted, 'items'].sum():.0f} times"
    return f"HARE-Tool's commonest mistake: {worst.answered} where {worst.wanted} is wanted, {times}"


_FORMS = {"marks": ("#0072B2", "o"), "copying": ("#D55E00", "s"), "copying, grammar": ("#E69F00", "D")}


@figure("finetuning", "pretraining_curve")
def pretraining_curve(frame: pd.DataFrame) -> Figure:
    """Right calls on the test set by pretraining tokens, all of them and those with arguments, in each form. Columns:
    form, tokens, part (all, with arguments), exact, low, high, seeds."""
    read = sorted(frame.tokens.unique())
    picture, panels = plt.subplots(1, 2, figsize=(9.2, 3.8), sharey=True)
    for axes, part in zip(panels, (_WITH, _ALL), strict=True):
        for number, (form, (colour, marker)) in enumerate(_FORMS.items()):
            line = frame[(frame.form == form) & (frame.part == part)]
            places = [read.index(tokens) + 0.06 * (number - 1) for tokens in line.tokens]  # bars side by side
            axes.plot(places, 100 * line.exact, marker=marker, color=colour, markersize=5, label=form)
            for place, low, high in zip(places, line.low, line.high, strict=True):
                axes.plot([place] * 2, [100 * low, 100 * high], color=colour, linewidth=1.2, alpha=0.7)
        axes.set_xticks(range(len(read)), [f"{tokens / 1e6:.2g} M" if tokens else "none" for tokens in read])
        axes.set_xlim(-0.3, len(read) - 0.7)
        axes.set_ylim(-3, 103)
        axes.set_xlabel("tokens read in pretraining")
        axes.set_title({_WITH: "calls with arguments", _ALL: "all calls"}[part], fontsize=10, fontweight="normal")
    panels[0].set_ylabel("right calls, %")
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9,
                   title="bars: 95 % over phrasings, and over seeds where there are several", title_fontsize=9)
    headline(picture, _curve_finding(frame))
    return picture


def _curve_finding(frame: pd.DataFrame) -> str:
    part = frame[frame.part == _WITH].sort_values("tokens")
    ends = {form: part[part.form == form].iloc[[0, -1]].exact.to_numpy() * 100 for form in ("marks", "copying")}
    most = f"{part.tokens.max() / 1e6:.2g} M tokens"
    (first, last), (copied_first, copied) = ends["marks"], ends["copying"]
    return (f"From no pretraining to {most}, right calls with arguments: "
            f"{first:.0f} to {last:.0f} % by marks, {copied_first:.0f} to {copied:.0f} % by copying")

"""Figures of the decontamination stage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure

_PART_NAMES = {"d1": "D1", "heldout": "held out", "d2": "D2", "d3": "D3",
               "d3_shuffled": "D3, answers shuffled", "d3_passages": "D3's passages",
               "planted": "planted items, verbatim"}
_KIND_NAMES = {
    "verbatim": "verbatim", "case_and_punctuation": "case, punctuation changed",
    "options_reordered": "options reordered", "numbers_changed": "numbers changed",
    "sentences_shuffled": "sentences shuffled", "word_order": "translated word order",
    "paraphrased": "paraphrased by rule", "rewritten": "rewritten by GPT-3.5",
    "split_across_documents": "split across two documents", "inside_a_document": "inside a long document",
    "clean": "clean passages (should be 0)", "clean_documents": "clean documents (should be 0)",
}


@figure("decontamination", "overlap_by_benchmark")
def overlap_by_benchmark(frame: pd.DataFrame) -> Figure:
    """Documents removed, and kept with a 13-gram in common, by part and benchmark. One panel for each of the two."""
    parts, names = list(dict.fromkeys(frame["part"])), list(dict.fromkeys(frame["benchmark"]))
    picture, axes = plt.subplots(1, 2, figsize=(9.4, 3.4), sharey=True)
    panels = {"removed": "documents removed by the paper's rule", "touched": "documents kept with a 13-gram in common"}
    for axis, (column, title) in zip(axes, panels.items(), strict=True):
        counts = frame.pivot(index="part", columns="benchmark", values=column).loc[parts, names].to_numpy()
        _counts_panel(axis, counts, parts, names)
        axis.set_title(title, fontsize=10, fontweight="normal")
        axis.set_xlabel("benchmark behind most of the shared n-grams")
    axes[0].set_ylabel("part of the data")
    removed, documents = frame["removed"].sum(), frame.drop_duplicates("part")["documents"].sum()
    picture.suptitle(f"{removed:,} of {documents:,} documents go; {frame['touched'].sum():,} more share a 13-gram",
                     x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _counts_panel(axis: Axes, counts: np.ndarray, parts: list[str], names: list[str]) -> None:
    axis.grid(False)
    axis.imshow(np.log1p(counts), cmap="Blues", vmin=0, vmax=max(np.log1p(counts).max() * 1.5, 1), aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count:,}", ha="center", va="center", color="black" if count else "#999999")
    axis.set_xticks(range(len(names)), [label_of(name) for name in names], rotation=30, ha="right")
    axis.set_yticks(range(len(parts)), [_PART_NAMES[part] for part in parts])


@figure("decontamination", "overlap_curve")
def overlap_curve(frame: pd.DataFrame) -> Figure:
    """Share of documents dropped against the threshold, a line for each n, a panel for each part."""
    parts = list(dict.fromkeys(frame["part"]))
    sizes = sorted(frame["ngram"].unique())
    picture, axes = plt.subplots(1, len(parts), figsize=(2.5 * len(parts) + 1, 3.6), sharey=True)
    colours = plt.get_cmap("viridis")(np.linspace(0.0, 0.92, len(sizes)))
    for axis, part in zip(np.atleast_1d(axes), parts, strict=True):
        for n, colour in zip(sizes, colours, strict=True):
            line = frame[(frame["part"] == part) & (frame["ngram"] == n)]
            axis.plot(line["threshold"], 100 * line["share"], color=colour, label=f"N = {n}", marker=".", markersize=5)
            axis.fill_between(line["threshold"], 100 * line["low"], 100 * line["high"], color=colour, alpha=0.15, lw=0)
        axis.axvline(0.5, color="#555555", linestyle=":", linewidth=1)
        documents = frame[frame["part"] == part]["documents"].max()
        axis.set_title(f"{_PART_NAMES[part]} ({documents:,})", fontsize=10, fontweight="normal")
        axis.set_xlabel("threshold: share of n-grams")
    np.atleast_1d(axes)[0].set_ylabel("documents above the threshold, %")
    picture.legend(*np.atleast_1d(axes)[0].get_legend_handles_labels(), loc="outside right center")
    picture.suptitle(_curve_title(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _curve_title(frame: pd.DataFrame) -> str:
    natural = frame[frame["part"] == "d1"].set_index(["ngram", "threshold"])["share"]
    n = frame["ngram"].min()
    return (f"{natural[n, 0.0]:.0%} of D1's documents share a {n}-gram with a benchmark, "
            f"{natural[n, 0.5]:.1%} share more than half of theirs")


@figure("decontamination", "planted_detection")
def planted_detection(frame: pd.DataFrame) -> Figure:
    """Detection rate of each rule for each kind of planted item, with 95 % intervals; clean text below."""
    frame = frame[frame["cases"] > 0]
    kinds, rules = [kind for kind in _KIND_NAMES if kind in set(frame["kind"])], list(dict.fromkeys(frame["rule"]))
    picture, axis = plt.subplots(figsize=(8.8, 0.62 * len(kinds) + 2.1))
    for place, rule in enumerate(rules):
        rows = frame[frame["rule"] == rule].set_index("kind").loc[kinds]
        height = np.arange(len(kinds)) + (place - (len(rules) - 1) / 2) * 0.16
        reach = np.maximum([rows["rate"] - rows["low"], rows["high"] - rows["rate"]], 0)  # the CSV rounds
        axis.errorbar(100 * rows["rate"], height, xerr=100 * reach, fmt="osD^v"[place % 5], markersize=5, capsize=2,
                      linewidth=1.2, label=rule)
    for edge in np.arange(len(kinds) - 1) + 0.5:
        axis.axhline(edge, color="#cccccc", linewidth=0.8)
    counts = frame.drop_duplicates("kind").set_index("kind")["cases"]
    axis.set_yticks(range(len(kinds)), [f"{_KIND_NAMES[kind]} (n = {counts[kind]:,})" for kind in kinds])
    axis.grid(False, axis="y")
    axis.invert_yaxis()
    axis.set_xlim(-2, 102)
    axis.set_xlabel("items dropped, % (95 % Wilson interval)")
    picture.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    picture.suptitle(_planted_title(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _planted_title(frame: pd.DataFrame) -> str:
    rates = frame.set_index(["rule", "kind"])["rate"]
    rules = list(dict.fromkeys(frame["rule"]))
    short = [rule for rule in rules if rule.startswith("share")][-1]
    near = [rule for rule in rules if rule.startswith("neighbour")][-1]
    return (f"Paraphrased items: the paper's rule for tasks finds {rates[short, 'paraphrased']:.0%}, neighbours "
            f"{rates[near, 'paraphrased']:.0%}.\nInside a document: {rates[short, 'inside_a_document']:.0%} and "
            f"{rates[near, 'inside_a_document']:.0%}. Clean passages dropped: {rates[short, 'clean']:.1%} and "
            f"{rates[near, 'clean']:.1%}")

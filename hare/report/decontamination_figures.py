"""Figures of the decontamination stage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import headline

_PART_NAMES = {"d1": "D1", "heldout": "held out", "d2": "D2", "d3": "D3",
               "d3_shuffled": "D3, answers shuffled", "d3_passages": "D3's passages",
               "planted": "planted items, verbatim"}
_KIND_NAMES = {
    "verbatim": "verbatim", "case_and_punctuation": "case, punctuation changed",
    "options_reordered": "options reordered", "numbers_changed": "numbers changed",
    "sentences_shuffled": "sentences shuffled", "word_order": "word order mirrored",
    "paraphrased": "paraphrased by rule", "rewritten": "rewritten by GPT-3.5",
    "split_across_documents": "split across two documents", "inside_a_document": "inside a longer document",
    "hard_wrapped": "inside, hard-wrapped", "inline": "inside, inline in a sentence",
    "clean_passages": "clean passages (should be 0)", "clean_documents": "natural documents (should be 0)",
}
_CLEAN = ("clean_passages", "clean_documents")
_INSIDE = "inside_a_document"


def rule_label(rule: str) -> str:
    """A rule's name for readers: document-share-10-15 is the paper's rule with N of 10 to 15."""
    if "+" in rule:
        return " or ".join(map(rule_label, rule.split("+")))
    if rule.startswith("document-share-"):
        return f"document share, N {rule.removeprefix('document-share-').replace('-', ' to ')} (the paper's)"
    return {"any-13-gram": "any 13-gram", "item-coverage": "item coverage", "neighbour": "nearest neighbour"}[rule]


@figure("decontamination", "overlap_curve")
def overlap_curve(frame: pd.DataFrame) -> Figure:
    """Share of documents dropped against the threshold, a line for a few n from least to most, a panel per part."""
    parts = list(dict.fromkeys(frame["part"]))
    known = sorted(frame["ngram"].unique())
    sizes = [n for n in known if n in (known[0], known[-1], 8, 13)]  # all lie between these
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
    headline(picture, _curve_title(frame))
    return picture


def _curve_title(frame: pd.DataFrame) -> str:
    natural = frame[frame["part"] == "d1"].set_index(["ngram", "threshold"])["share"]
    n = frame["ngram"].min()
    return (f"{natural[n, 0.0]:.0%} of D1's documents share a {n}-gram with a benchmark, "
            f"{natural[n, 0.5]:.1%} share more than half of theirs")


@figure("decontamination", "planted_detection")
def planted_detection(frame: pd.DataFrame) -> Figure:
    """How often each rule finds each kind of planted item, and drops clean text: a cell per pair, with its interval.

    Columns: kind, rule, cases, dropped, rate, low, high; rules joined by a plus sign are left out.
    """
    frame = frame[(frame["cases"] > 0) & ~frame["rule"].str.contains("+", regex=False)]
    kinds, rules = [kind for kind in _KIND_NAMES if kind in set(frame["kind"])], list(dict.fromkeys(frame["rule"]))
    cells = frame.set_index(["kind", "rule"])
    picture, axis = plt.subplots(figsize=(1.75 * len(rules) + 2.6, 0.42 * len(kinds) + 1.6))
    rates = np.array([[cells.rate[kind, rule] for rule in rules] for kind in kinds])
    good = np.array([[1 - rate if kind in _CLEAN else rate for rate in row]
                     for kind, row in zip(kinds, rates, strict=True)])
    axis.imshow(good, cmap="RdYlGn", vmin=-0.4, vmax=1.4, aspect="auto")
    for (row, column), rate in np.ndenumerate(rates):
        cell = cells.loc[(kinds[row], rules[column])]
        digits = 2 if kinds[row] in _CLEAN else 0
        low, high = f"{100 * cell.low:.{digits}f}", f"{100 * cell.high:.{digits}f}"
        axis.text(column, row, f"{100 * rate:.{digits}f} %  [{low}, {high}]", ha="center", va="center", fontsize=8)
    counts = frame.drop_duplicates("kind").set_index("kind")["cases"]
    axis.grid(False)
    axis.set_yticks(range(len(kinds)), [f"{_KIND_NAMES[kind]} (n = {counts[kind]:,})" for kind in kinds], fontsize=9)
    axis.set_xticks(range(len(rules)), [rule_label(rule).replace(", ", "\n").replace(" (", "\n(") for rule in rules])
    axis.xaxis.tick_top()
    headline(picture, planted_finding(frame))
    return picture


def planted_finding(frame: pd.DataFrame) -> str:
    """The finding in one sentence: what the paper's rule finds of items inside longer documents, and what others do."""
    inside = frame[frame["kind"] == _INSIDE].set_index("rule")
    paper = inside[inside.index.str.startswith("document-share")]
    best = paper["dropped"].max()
    cases = int(inside["cases"].max())
    return (f"The paper's rule finds {best:,.0f} of {cases:,} items inside longer documents;\n"
            f"item coverage finds {inside.dropped['item-coverage']:,.0f}, one shared 13-gram "
            f"{inside.dropped['any-13-gram']:,.0f}")

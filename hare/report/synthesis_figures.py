"""Figures of the synthesis stage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure

_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#B8A800"]
_GREY = "#bbbbbb"
_NAMED_TOPICS = 8
_METHOD_COLOURS = {"deterministic": "#0072B2", "generated": "#E69F00", "open set": "#009E73"}


@figure("synthesis", "topic_map")
def topic_map(frame: pd.DataFrame) -> Figure:
    """Columns ``x``, ``y``, ``topic``, ``label``: passages on a t-SNE map, the largest topics named."""
    picture, axes = plt.subplots(figsize=(7.2, 5.6))
    largest = frame["label"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    axes.scatter(frame["x"], frame["y"], s=9, color=_GREY, linewidths=0)
    for label, colour in zip(largest.index[:_NAMED_TOPICS], _COLOURS, strict=False):
        own = frame[frame["label"] == label]
        axes.scatter(own["x"], own["y"], s=14, color=colour, linewidths=0, label=label)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=2, markerscale=1.6)
    share = largest.iloc[0] / len(frame)
    axes.set_title(f"{len(largest)} topics; the largest holds {share:.0%} of the passages (grey: smaller topics)")
    return picture


@figure("synthesis", "topic_curve")
def topic_curve(frame: pd.DataFrame) -> Figure:
    """Columns ``topics``, ``silhouette``, ``chosen``: the criterion against the number of topics."""
    picture, axes = plt.subplots(figsize=(5.6, 3.4))
    axes.plot(frame["topics"], frame["silhouette"], marker="o")
    best = frame[frame["chosen"].astype(bool)].iloc[0]
    axes.plot([best["topics"]], [best["silhouette"]], "o", markersize=11, color=_COLOURS[5])
    axes.set(xlabel="topics", ylabel="mean silhouette", xticks=frame["topics"])
    axes.set_title(f"{int(best['topics'])} topics separate the passages best")
    return picture


@figure("synthesis", "d2_yield")
def d2_yield(frame: pd.DataFrame) -> Figure:
    """Columns ``gate``, ``asked``, ``rejected``, ``left``: what each gate took away, in the order of the gates."""
    picture, axes = plt.subplots(figsize=(7.2, 4.2))
    places = np.arange(len(frame))
    axes.barh(places, frame["left"], color=_COLOURS[0], label="left")
    axes.barh(places, frame["rejected"], left=frame["left"], color=_COLOURS[5], label="rejected here")
    for place, row in zip(places, frame.itertuples(), strict=True):
        if row.rejected:
            axes.annotate(str(row.rejected), (row.asked, place), xytext=(3, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, frame["gate"])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("generated texts")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    total, left = frame["asked"].iloc[0], frame["left"].iloc[-1]
    worst = frame.loc[frame["rejected"].idxmax()]
    cause = f",\nmost of the others fail at: {worst['gate']}" if worst["rejected"] else ""
    axes.set_title(f"{left} of {total} generated texts pass all gates ({left / total:.0%}){cause}", x=-0.25)
    return picture


@figure("synthesis", "d3_items")
def d3_items(frame: pd.DataFrame) -> Figure:
    """Columns ``kind``, ``method``, ``part``, ``items``: items of each kind, by how they were made."""
    counts = frame.pivot_table(index="kind", columns="method", values="items", aggfunc="sum", fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index]
    picture, axes = plt.subplots(figsize=(7.2, 4.8))
    start = np.zeros(len(counts))
    for method in counts.columns:
        kinds = counts.index.str.replace("_", " ")
        axes.barh(kinds, counts[method], left=start, color=_METHOD_COLOURS[method], label=method)
        start += counts[method].to_numpy()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("items")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(counts.columns))
    modelled = counts["generated"].sum() / start.sum() if "generated" in counts else 0.0
    axes.set_title(f"{int(start.sum()):,} tasks of {len(counts)} kinds; the model wrote {modelled:.1%} of them")
    return picture


@figure("synthesis", "diversity")
def diversity(frame: pd.DataFrame) -> Figure:
    """Columns ``part``, ``measure``, ``value``, ``low``, ``high``, ``texts``: three measures side by side."""
    panels = {
        "topic_entropy_nats": "topic entropy (nats)", "distinct_2": "distinct word pairs (share)",
        "self_bleu": "self-BLEU (lower: more diverse)",
    }
    picture, axes = plt.subplots(1, len(panels), figsize=(8.4, 3.4))
    for axis, (measure, name) in zip(axes, panels.items(), strict=True):
        own = frame[frame["measure"] == measure]
        spread = np.clip([own["value"] - own["low"], own["high"] - own["value"]], 0, None)
        axis.bar(own["part"].str.upper(), own["value"], yerr=spread, color=_COLOURS[: len(own)], width=0.6)
        axis.set_ylabel(name)
        axis.grid(axis="x", visible=False)
    entropy = frame[frame["measure"] == "topic_entropy_nats"].set_index("part")["value"]
    values = ", ".join(f"{part.upper()} {value:.2f}" for part, value in entropy.items())
    picture.suptitle(f"Entropy over topics: {values} nats", x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture

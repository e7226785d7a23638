"""Figures of the synthesis stage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import headline

_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#B8A800"]
_METHOD_COLOURS = {"built": "#0072B2", "open set": "#009E73"}
_PANELS = {
    "topic_entropy_nats": "topic entropy\n(nats)",
    "topic_coverage_at_equal_texts": "topics covered (share,\nat equal numbers of texts)",
    "dispersion": "dispersion (mean cosine\ndistance, MiniLM)",
    "distinct_2": "distinct word pairs (share,\nat equal numbers of words)",
    "self_bleu": "self-BLEU\n(high: texts alike)",
    "spread_bits_per_word": "spread of quality (bits per\nword, P10 to P90)",
}


@figure("synthesis", "d2_yield")
def d2_yield(frame: pd.DataFrame) -> Figure:
    """Columns ``gate``, ``asked``, ``rejected``, ``left``: what each gate took away, idle ones left out."""
    idle, last = int((frame["rejected"] == 0).sum()), frame["left"].iloc[-1]
    frame = frame[frame["rejected"] > 0] if idle < len(frame) else frame
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
    axes.set_xlabel(f"generated texts ({idle} further gates rejected none)" if idle else "generated texts")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    total, left = frame["asked"].iloc[0], last
    worst = frame.loc[frame["rejected"].idxmax()]
    cause = f",\nmost of the others fail at: {worst['gate']}" if worst["rejected"] else ""
    headline(picture, f"{left} of {total} generated texts pass all gates ({left / total:.0%}){cause}")
    return picture


@figure("synthesis", "d2_forms")
def d2_forms(frame: pd.DataFrame) -> Figure:
    """Columns ``form``, ``measure``, ``value``, ``low``, ``high``, ``texts``: the forms beside one another."""
    names = {
        "yield": "passes every gate\n(share of drafts)", "kept_tokens_per_100_written": "kept tokens of\n100 written",
        "self_bleu": "self-BLEU of kept texts\n(high: texts alike)",
        "adds_names_or_numbers": "adds a name or number\n(share)",
    }
    picture, axes = plt.subplots(1, len(names), figsize=(9.6, 3.2), sharey=True, layout="constrained")
    forms = list(dict.fromkeys(frame["form"]))[::-1]
    for axis, (measure, name) in zip(axes, names.items(), strict=True):
        rows = frame[frame["measure"] == measure].set_index("form").reindex(forms)
        spread = np.clip([rows["value"] - rows["low"], rows["high"] - rows["value"]], 0, None)
        axis.errorbar(rows["value"], np.arange(len(forms)), xerr=spread, fmt="o", color=_COLOURS[0], capsize=3)
        axis.set_title(name, fontsize=9, fontweight="normal")
        axis.set_xlim(left=0)
    passed = frame[frame["measure"] == "yield"].set_index("form")
    labels = [f"{form.replace('_', ' ')} ({passed['texts'][form]:.0f} drafts)" for form in forms]
    axes[0].set_yticks(np.arange(len(forms)), labels)
    headline(picture, _forms_finding(passed))
    return picture


def _forms_finding(passed: pd.DataFrame) -> str:
    """How many drafts pass, and of which forms none does; so few drafts of a form do not tell which passes most often.

    ``passed``: a row per form, with the share as ``value`` and the number of ``texts``.
    """
    never = passed.index[passed["value"] == 0]
    together = f"{(passed['value'] * passed['texts']).sum():.0f} of {passed['texts'].sum():.0f} drafts pass every gate"
    counts = ", ".join(f"{form.replace('_', ' ')} ({_count(passed.loc[form])})" for form in never)
    return f"{together};\nnone of {counts}" if counts else together


def _count(row: pd.Series) -> str:
    return f"{row['value'] * row['texts']:.0f} of {row['texts']:.0f}"


@figure("synthesis", "d3_items")
def d3_items(frame: pd.DataFrame) -> Figure:
    """Columns ``kind``, ``method``, ``category``, ``items``, ``words``: items of each kind, by how they were made."""
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
    categories = frame[frame["method"] == "built"].groupby("category")["words"].sum()
    largest = f"{categories.idxmax()} {categories.max() / categories.sum():.0%}"
    headline(picture, f"{int(start.sum()):,} tasks of {len(counts)} kinds; largest category by words: {largest}")
    return picture


@figure("synthesis", "diversity")
def diversity(frame: pd.DataFrame) -> Figure:
    """Columns ``part``, ``measure``, ``value``, ``low``, ``high``: six measures of the parts and their mixtures."""
    picture, axes = plt.subplots(2, 3, figsize=(9.2, 5.6), layout="constrained")
    for axis, (measure, name) in zip(axes.flat, _PANELS.items(), strict=True):
        rows = frame[frame["measure"] == measure]
        spread = np.clip([rows["value"] - rows["low"], rows["high"] - rows["value"]], 0, None)
        places, uncertain = np.arange(len(rows)), (rows["low"] < rows["high"]).to_numpy()
        axis.bar(places, rows["value"], color=_COLOURS[: len(rows)], width=0.65)
        axis.errorbar(places[uncertain], rows["value"][uncertain], spread[:, uncertain], fmt="none", color="black")
        axis.set_xticks(places, rows["part"].str.upper().str.replace("+", "\n+", n=1), fontsize=7.5)
        axis.set_title(name, fontsize=9, fontweight="normal")
        axis.grid(axis="x", visible=False)
    headline(picture, _diversity_finding(frame))
    return picture


def _diversity_finding(frame: pd.DataFrame) -> str:
    """Which synthetic parts repeat themselves more than D1, and which cover topics less evenly.

    By intervals that do not overlap, from a bootstrap over texts. The entropy of fewer texts is lower by their number
    alone, so a part with fewer texts than D1 is not called less even.
    """
    bleu, entropy = (frame[frame["measure"] == name].set_index("part") for name in ("self_bleu", "topic_entropy_nats"))
    parts = [part for part in bleu.index if "+" not in part and part != "d1"]
    alike = [part for part in parts if bleu["low"][part] > bleu["high"]["d1"]]
    uneven = [part for part in parts
              if entropy["high"][part] < entropy["low"]["d1"] and entropy["texts"][part] >= entropy["texts"]["d1"]]
    return (f"{_named(alike)} more than D1 (self-BLEU {_values(bleu, parts)});\n"
            f"topics are spread less evenly in {_listed(uneven)} (entropy {_values(entropy, parts)} nats)")


def _named(parts: list[str]) -> str:
    name = _listed(parts)
    name = name[0].upper() + name[1:]
    return f"{name} {'repeat themselves' if len(parts) > 1 else 'repeats itself'}"


def _listed(parts: list[str]) -> str:
    return " and ".join(map(str.upper, parts)) or "no synthetic part"


def _values(rows: pd.DataFrame, parts: list[str]) -> str:
    return f"D1 {rows['value']['d1']:.2f}, " + ", ".join(f"{part.upper()} {rows['value'][part]:.2f}" for part in parts)

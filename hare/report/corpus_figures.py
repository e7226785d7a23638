"""Figures of the corpus stage: what came in, what each prior removed, and whether the priors can be trusted."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import headline

_KEPT, _REMOVED, _PAPER, _RAW = "#0072B2", "#D55E00", "#000000", "#999999"
_DECOY = "reuters-8"  # a source that is part of another by construction
_HARD_TO_PREDICT = 15  # bits per word: lists, codes, tables
_BLOCKS = {
    "soundness": "soundness", "language": "language", "personal_information": "personal information",
    "completeness": "completeness", "repetition": "repetition", "exact_duplicates": "exact duplicates",
    "near_duplicates": "near duplicates", "shared_lines": "shared lines",
}


@figure("corpus", "kept_by_source")
def kept_by_source(frame: pd.DataFrame) -> Figure:
    """Columns: source, category, raw_mb, kept_mb; the decoy is left out."""
    frame = frame[frame["source"] != _DECOY]
    ordered = frame.assign(removed=frame["raw_mb"] - frame["kept_mb"]).sort_values("removed")
    picture, axes = plt.subplots(figsize=(7.2, 0.27 * len(frame) + 1.2))
    axes.barh(ordered["source"], ordered["kept_mb"], color=_KEPT, label="kept")
    removed = ordered["raw_mb"] - ordered["kept_mb"]
    axes.barh(ordered["source"], removed, left=ordered["kept_mb"], color=_REMOVED, label="removed")
    for position, (category, raw) in enumerate(zip(ordered["category"], ordered["raw_mb"], strict=True)):
        axes.annotate(category, (raw, position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("text (MB)")
    axes.set_xlim(0, frame["raw_mb"].max() * 1.2)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
    kept, raw = frame["kept_mb"].sum(), frame["raw_mb"].sum()
    categories = frame["category"].nunique()
    headline(picture, f"{kept:.1f} of {raw:.1f} MB survive,\nfrom {len(frame)} sources in {categories} categories")
    return picture


@figure("corpus", "removed_by_block")
def removed_by_block(frame: pd.DataFrame) -> Figure:
    """Columns: block, source, category, documents_in, documents_removed; a heat map of shares of documents.

    The decoy is left out: what it loses was put in on purpose.
    """
    frame = frame[frame["source"] != _DECOY]
    blocks = [block for block in _BLOCKS if block in set(frame["block"])]
    sums = frame.groupby(["category", "block"])[["documents_in", "documents_removed"]].sum()
    share = (100 * sums["documents_removed"] / sums["documents_in"]).unstack("block")[blocks]
    share = share.loc[list(dict.fromkeys(frame["category"]))]
    picture, axes = plt.subplots(figsize=(8.4, 0.36 * len(share) + 1.6))
    shown = axes.imshow(np.log10(share.fillna(0) + 0.1), cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(share.to_numpy()):
        dark = value > 5
        axes.text(column, row, f"{value:.1f}" if value else "·", ha="center", va="center", fontsize=8,
                  color="white" if dark else "black")
    axes.set_xticks(range(len(blocks)), [_BLOCKS[block].replace(" ", "\n") for block in blocks], fontsize=7.5)
    axes.set_yticks(range(len(share)), share.index)
    axes.grid(visible=False)
    bar = picture.colorbar(shown, ax=axes, ticks=[-1, 0, 1, 2], label="documents removed (%)")
    bar.set_ticklabels(["0", "1", "10", "100"])
    totals = frame.groupby("block")["documents_removed"].sum()
    most = totals.idxmax()
    headline(picture, f"Outside the decoy {totals.sum():,} documents go, most of them for {_BLOCKS[most]}: "
                   f"{100 * totals[most] / totals.sum():.0f} %")
    return picture


@figure("corpus", "lengths")
def lengths(frame: pd.DataFrame) -> Figure:
    """Columns: category, when (raw, kept), p05, p25, median, p75, p95, in words."""
    categories = list(dict.fromkeys(frame["category"]))[::-1]
    picture, axes = plt.subplots(figsize=(7.2, 0.42 * len(categories) + 1.2))
    for when, shift, colour in (("raw", 0.17, _RAW), ("kept", -0.17, _KEPT)):
        rows = frame[frame["when"] == when].set_index("category").reindex(categories).dropna()
        places = [categories.index(category) + shift for category in rows.index]
        axes.hlines(places, rows["p05"].clip(lower=1), rows["p95"], color=colour, lw=1)
        axes.hlines(places, rows["p25"].clip(lower=1), rows["p75"], color=colour, lw=4.5)
        axes.plot(rows["median"].clip(lower=1), places, "o", color="white", markeredgecolor=colour, ms=5, label=when)
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xscale("log")
    axes.set_xlabel("words per document (dot: median, thick: middle half, thin: 5 to 95 %)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
    kept = frame[frame["when"] == "kept"]
    longest, shortest = kept.loc[kept["median"].idxmax()], kept.loc[kept["median"].idxmin()]
    headline(picture, f"Median length runs from {shortest['median']:,.0f} words\n({shortest['category']}) to "
                   f"{longest['median']:,.0f} ({longest['category']})")
    return picture


@figure("corpus", "weights")
def weights(frame: pd.DataFrame) -> Figure:
    """Columns: category, paper_percent, hare_percent; the paper's Table 3 against what the index offers."""
    ordered = frame.iloc[::-1].reset_index(drop=True)
    picture, axes = plt.subplots(figsize=(7.2, 0.34 * len(frame) + 1.3))
    axes.hlines(ordered.index, ordered["paper_percent"], ordered["hare_percent"], color="#bbbbbb")
    axes.plot(ordered["paper_percent"], ordered.index, "D", color=_PAPER, label="paper, sampling weight", ms=6)
    axes.plot(ordered["hare_percent"], ordered.index, "o", color=_KEPT, label="here, share of kept text", ms=7)
    axes.set_yticks(ordered.index, ordered["category"])
    axes.set_xlabel("share of D1 (%)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=1)
    known = frame[frame["paper_percent"] > 0]
    covered = known.loc[known["hare_percent"] > 0, "paper_percent"].sum()
    empty = ", ".join(known.loc[known["hare_percent"] == 0, "category"])
    missing = f";\nempty: {empty}" if empty else ""
    headline(picture, f"{covered:.0f} % of the paper's weight\nhas a counterpart{missing}")
    return picture


@figure("corpus", "overlap")
def overlap(frame: pd.DataFrame) -> Figure:
    """Columns: source, repeats, kind (exact, near), documents; the largest pairs, the decoy left out."""
    frame = frame[(frame["source"] != _DECOY) & (frame["repeats"] != _DECOY)]
    sums = frame.groupby(["source", "repeats", "kind"])["documents"].sum()
    pairs = sums.groupby(level=[0, 1]).sum().sort_values().index[-12:]
    labels = [f"{a} in itself" if a == b else f"{a} in {b}" for a, b in pairs]
    picture, axes = plt.subplots(figsize=(7.2, 0.3 * len(pairs) + 1.4))
    for kind, colour, shift in (("exact", _KEPT, 0.12), ("near", "#E69F00", -0.12)):
        counts = [sums.get((a, b, kind), np.nan) for a, b in pairs]
        axes.plot(counts, np.arange(len(pairs)) + shift, "o", color=colour, ms=6, label=kind)
    axes.set_yticks(range(len(pairs)), labels)
    axes.set_xscale("log")
    axes.set_xlabel("documents that repeat another one")
    axes.legend(loc="lower right")
    across = frame.loc[frame["source"] != frame["repeats"], "documents"].sum()
    headline(picture, f"Outside the decoy {across:,} of {frame['documents'].sum():,} duplicates repeat another source")
    return picture


@figure("corpus", "planted")
def planted(frame: pd.DataFrame) -> Figure:
    """Columns: block, kind, recall, precision, low, high; whole blocks only, with 95 % intervals."""
    blocks = [block for block in _BLOCKS if block in set(frame["block"])][::-1]
    picture, (left, right) = plt.subplots(1, 2, figsize=(7.2, 0.38 * len(blocks) + 1.5), sharey=True)
    for axes, kind, value in ((left, "(all)", "recall"), (right, "(clean)", "precision")):
        rows = frame[frame["kind"] == kind].set_index("block").loc[blocks]
        spread = np.abs(rows[["low", "high"]].sub(rows[value], axis=0)).T.to_numpy()
        axes.errorbar(rows[value], range(len(blocks)), xerr=spread, fmt="o", color=_KEPT, ms=5)
        axes.axvline(0.95, color=_REMOVED, ls="--", lw=1)
        axes.set_xlabel(f"{value} (95 % interval)")
        axes.set_xlim(min(0.85, float(rows["low"].min()) - 0.02), 1.01)
    left.set_yticks(range(len(blocks)), [_BLOCKS[block] for block in blocks])
    whole = frame[frame["kind"] == "(all)"]
    worst = whole.loc[whole["recall"].idxmin()]
    headline(picture, f"Every block finds at least {100 * worst['recall']:.0f} % of the defects planted for it")
    return picture


_MEASURES = {  # title and unit of a panel
    "topic_entropy_nats": ("entropy over topics", "nats"),
    "dispersion": ("distance of two documents", "1 - cosine"),
    "distinct_2": ("distinct pairs of words", "share"),
    "median_bits_per_word": ("median", "bits per word"),
    "spread_bits_per_word": ("spread over all documents", "bits per word"),
    "spread_in_sources_bits_per_word": ("spread within a source", "bits per word"),
}
_VERBS = {1: "rises", -1: "falls", 0: "stays"}


@figure("corpus", "diversity")
def diversity(frame: pd.DataFrame) -> Figure:
    """Columns: measure, and raw, kept and difference, each with _low and _high (95 %)."""
    picture, panels = plt.subplots(2, 3, figsize=(7.6, 4.2))
    rows = frame.set_index("measure")
    for axes, (measure, (title, unit)) in zip(panels.flat, _MEASURES.items(), strict=True):
        row = rows.loc[measure]
        for place, (side, colour) in enumerate((("raw", _RAW), ("kept", _KEPT))):
            spread = [[row[side] - row[f"{side}_low"]], [row[f"{side}_high"] - row[side]]]
            axes.errorbar([place], [row[side]], yerr=spread, fmt="o", color=colour, ms=6)
        axes.set_xticks([0, 1], ["before", "after"])
        axes.set_xlim(-0.6, 1.6)
        axes.set_ylabel(unit, fontsize=8)
        axes.set_title(f"{title}\n{_signed(row)}", fontsize=7, fontweight="normal")
    topics, spread = (_VERBS[_verdict(rows.loc[name])] for name in ("topic_entropy_nats", "spread_bits_per_word"))
    headline(picture, f"With cleaning the entropy over topics {topics}, the spread of bits per word {spread}")
    return picture


def _verdict(row: pd.Series) -> int:
    """1 or -1 where the interval of the difference excludes 0, else 0."""
    return int(row["difference_low"] > 0) - int(row["difference_high"] < 0)


def _signed(row: pd.Series) -> str:
    mark = "" if _verdict(row) else ", not seen"
    return f"{row['difference']:+.3g} [{row['difference_low']:+.3g}, {row['difference_high']:+.3g}]{mark}"


@figure("corpus", "quality")
def quality(frame: pd.DataFrame) -> Figure:
    """Columns: sample (raw, kept), bits (lower edge of a bin, in bits per word), share of the sampled documents."""
    picture, axes = plt.subplots(figsize=(7.2, 3.2))
    width = frame["bits"].drop_duplicates().diff().median()
    tails = {}
    for sample, colour in (("raw", _RAW), ("kept", _KEPT)):
        rows = frame[frame["sample"] == sample].sort_values("bits")
        axes.stairs(100 * rows["share"], [*rows["bits"], rows["bits"].iloc[-1] + width], color=colour, lw=2,
                    label=sample, fill=sample == "raw", alpha=0.45 if sample == "raw" else 1.0)
        tails[sample] = 100 * rows.loc[rows["bits"] >= _HARD_TO_PREDICT, "share"].sum()
    axes.axvline(_HARD_TO_PREDICT, color=_REMOVED, ls="--", lw=1)
    axes.set_xlabel("bits per word under a bigram model of Wikipedia summaries")
    axes.set_ylabel("sampled documents (%)")
    axes.legend(loc="upper right")
    headline(picture, f"Documents of {_HARD_TO_PREDICT} bits per word and more:\n"
                   f"{tails['raw']:.1f} % before cleaning, {tails['kept']:.1f} % after")
    return picture

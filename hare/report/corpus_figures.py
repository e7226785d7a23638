"""Figures of the corpus stage: what came in, what each prior removed, and whether the priors can be trusted."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure

_KEPT, _REMOVED, _PAPER, _RAW = "#0072B2", "#D55E00", "#000000", "#999999"
_NO_CHANGE = 0.02  # nats
_HARD_TO_PREDICT = 15  # bits a word: lists, codes, tables
_BLOCKS = {
    "soundness": "soundness", "language": "language", "personal_information": "personal information",
    "completeness": "completeness", "repetition": "repetition", "exact_duplicates": "exact duplicates",
    "near_duplicates": "near duplicates", "shared_lines": "shared lines",
}


@figure("corpus", "kept_by_source")
def kept_by_source(frame: pd.DataFrame) -> Figure:
    """Columns: source, category, raw_mb, kept_mb."""
    ordered = frame.iloc[::-1]
    picture, axes = plt.subplots(figsize=(7.2, 0.27 * len(frame) + 1.2))
    axes.barh(ordered["source"], ordered["kept_mb"], color=_KEPT, label="kept")
    gone = ordered["raw_mb"] - ordered["kept_mb"]
    axes.barh(ordered["source"], gone, left=ordered["kept_mb"], color=_REMOVED, label="removed")
    for position, (category, raw) in enumerate(zip(ordered["category"], ordered["raw_mb"], strict=True)):
        axes.annotate(category, (raw, position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlabel("text (MB)")
    axes.set_xlim(0, frame["raw_mb"].max() * 1.2)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
    kept, raw = frame["kept_mb"].sum(), frame["raw_mb"].sum()
    categories = frame["category"].nunique()
    axes.set_title(f"{kept:.1f} of {raw:.1f} MB survive,\nfrom {len(frame)} sources in {categories} categories")
    return picture


@figure("corpus", "removed_by_block")
def removed_by_block(frame: pd.DataFrame) -> Figure:
    """Columns: block, category, documents_in, documents_removed; a heat map of shares of documents."""
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
    axes.set_title(f"Most of the {totals.sum():,} removals: {_BLOCKS[most]}, {100 * totals[most] / totals.sum():.0f} %")
    return picture


@figure("corpus", "lengths")
def lengths(frame: pd.DataFrame) -> Figure:
    """Columns: category, when (raw, kept), p05, p25, median, p75, p95, in words."""
    categories = list(dict.fromkeys(frame["category"]))[::-1]
    picture, axes = plt.subplots(figsize=(7.2, 0.42 * len(categories) + 1.2))
    for when, shift, colour in (("raw", 0.17, _RAW), ("kept", -0.17, _KEPT)):
        own = frame[frame["when"] == when].set_index("category").reindex(categories).dropna()
        places = [categories.index(category) + shift for category in own.index]
        axes.hlines(places, own["p05"].clip(lower=1), own["p95"], color=colour, lw=1)
        axes.hlines(places, own["p25"].clip(lower=1), own["p75"], color=colour, lw=4.5)
        axes.plot(own["median"].clip(lower=1), places, "o", color="white", markeredgecolor=colour, ms=5, label=when)
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xscale("log")
    axes.set_xlabel("words a document (dot: median, thick: middle half, thin: 5 to 95 %)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
    kept = frame[frame["when"] == "kept"]
    longest, shortest = kept.loc[kept["median"].idxmax()], kept.loc[kept["median"].idxmin()]
    axes.set_title(f"Median length runs from {shortest['median']:,.0f} words\n({shortest['category']}) to "
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
    axes.set_title(f"{covered:.0f} % of the paper's weight\nhas a counterpart{missing}")
    return picture


@figure("corpus", "overlap")
def overlap(frame: pd.DataFrame) -> Figure:
    """Columns: source, repeats, kind (exact, near), documents; the largest pairs."""
    pairs = frame.pivot_table(index=["source", "repeats"], columns="kind", values="documents", aggfunc="sum").fillna(0)
    pairs = pairs.loc[pairs.sum(axis=1).sort_values().index[-12:]]
    labels = [f"{a} in itself" if a == b else f"{a} in {b}" for a, b in pairs.index]
    picture, axes = plt.subplots(figsize=(7.2, 0.3 * len(pairs) + 1.4))
    left = np.zeros(len(pairs))
    for kind, colour in (("exact", _KEPT), ("near", "#E69F00")):
        if kind in pairs:
            axes.barh(labels, pairs[kind], left=left, color=colour, label=kind)
            left += pairs[kind].to_numpy()
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlabel("documents that repeat another one")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
    across = frame.loc[frame["source"] != frame["repeats"], "documents"].sum()
    total = frame["documents"].sum()
    axes.set_title(f"{across:,} of {total:,} duplicates\nlie across sources")
    return picture


@figure("corpus", "planted")
def planted(frame: pd.DataFrame) -> Figure:
    """Columns: block, kind, recall, precision, low, high; whole blocks only, with 95 % intervals."""
    blocks = [block for block in _BLOCKS if block in set(frame["block"])][::-1]
    picture, (left, right) = plt.subplots(1, 2, figsize=(7.2, 0.38 * len(blocks) + 1.5), sharey=True)
    for axes, kind, value in ((left, "(all)", "recall"), (right, "(clean)", "precision")):
        own = frame[frame["kind"] == kind].set_index("block").loc[blocks]
        spread = np.abs(own[["low", "high"]].sub(own[value], axis=0)).T.to_numpy()
        axes.errorbar(own[value], range(len(blocks)), xerr=spread, fmt="o", color=_KEPT, ms=5)
        axes.axvline(0.95, color=_REMOVED, ls="--", lw=1)
        axes.set_xlabel(f"{value} (95 % interval)")
        axes.set_xlim(min(0.85, float(own["low"].min()) - 0.02), 1.01)
    left.set_yticks(range(len(blocks)), [_BLOCKS[block] for block in blocks])
    whole = frame[frame["kind"] == "(all)"]
    worst = whole.loc[whole["recall"].idxmin()]
    picture.suptitle(f"Every block finds at least {100 * worst['recall']:.0f} % of the defects planted for it",
                     x=0.01, ha="left", fontweight="bold", fontsize=11)
    return picture


@figure("corpus", "topics")
def topics(frame: pd.DataFrame) -> Figure:
    """Columns: sample (raw, kept), topic, share."""
    shares = (100 * frame.pivot(index="topic", columns="sample", values="share")).fillna(0)
    shares = shares.sort_values("raw").iloc[-20:]
    picture, axes = plt.subplots(figsize=(7.2, 0.24 * len(shares) + 1.4))
    axes.hlines(range(len(shares)), shares["raw"], shares["kept"], color="#bbbbbb")
    axes.plot(shares["raw"], range(len(shares)), "o", color=_RAW, label="raw")
    axes.plot(shares["kept"], range(len(shares)), "o", color=_KEPT, label="kept")
    axes.set_yticks(range(len(shares)), shares.index, fontsize=8)
    axes.set_xlabel("share of sampled documents (%), twenty largest topics")
    axes.legend(loc="lower right")
    entropy = {name: _entropy(own["share"]) for name, own in frame.groupby("sample")}
    change = entropy["kept"] - entropy["raw"]
    verb = "hardly changes" if abs(change) < _NO_CHANGE else "raises" if change > 0 else "lowers"
    axes.set_title(f"Cleaning {verb} topic entropy:\n{entropy['raw']:.3f} nats before, {entropy['kept']:.3f} after")
    return picture


def _entropy(share: pd.Series) -> float:
    return float(-(share * np.log(share)).sum())


@figure("corpus", "consistency")
def consistency(frame: pd.DataFrame) -> Figure:
    """Columns: sample (raw, kept), source, documents, p10, median, p90, in bits a word."""
    sources = list(dict.fromkeys(frame["source"]))[::-1]
    picture, axes = plt.subplots(figsize=(7.2, 0.3 * len(sources) + 1.3))
    for sample, shift, colour in (("raw", 0.15, _RAW), ("kept", -0.15, _KEPT)):
        own = frame[frame["sample"] == sample].set_index("source")
        places = [sources.index(source) + shift for source in own.index]
        axes.hlines(places, own["p10"], own["p90"], color=colour, lw=2)
        axes.plot(own["median"], places, "o", color=colour, ms=4.5, label=sample)
    axes.set_yticks(range(len(sources)), sources, fontsize=8.5)
    axes.set_xlabel("bits a word under a bigram model of Wikipedia summaries (median, 10 to 90 %)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
    both = frame[frame.groupby("source")["sample"].transform("nunique") == 2]  # a source that is gone has no "after"
    spread = (both["p90"] - both["p10"]).groupby(both["sample"]).mean()
    verb = "narrows" if spread["kept"] < spread["raw"] else "does not narrow"
    before, after = spread["raw"], spread["kept"]
    axes.set_title(f"Cleaning {verb} the spread within a source:\n{before:.2f} bits before, {after:.2f} after")
    return picture


@figure("corpus", "quality")
def quality(frame: pd.DataFrame) -> Figure:
    """Columns: sample (raw, kept), bits (lower edge of a bin, in bits a word), share of the sampled documents."""
    picture, axes = plt.subplots(figsize=(7.2, 3.2))
    width = frame["bits"].drop_duplicates().diff().median()
    tails = {}
    for sample, colour in (("raw", _RAW), ("kept", _KEPT)):
        own = frame[frame["sample"] == sample].sort_values("bits")
        axes.stairs(100 * own["share"], [*own["bits"], own["bits"].iloc[-1] + width], color=colour, lw=2, label=sample,
                    fill=sample == "raw", alpha=0.45 if sample == "raw" else 1.0)
        tails[sample] = 100 * own.loc[own["bits"] >= _HARD_TO_PREDICT, "share"].sum()
    axes.axvline(_HARD_TO_PREDICT, color=_REMOVED, ls="--", lw=1)
    axes.set_xlabel("bits a word under a bigram model of Wikipedia summaries")
    axes.set_ylabel("sampled documents (%)")
    axes.legend(loc="upper right")
    axes.set_title(f"Documents of {_HARD_TO_PREDICT} bits a word and more:\n"
                   f"{tails['raw']:.1f} % before cleaning, {tails['kept']:.1f} % after")
    return picture


@figure("corpus", "throughput")
def throughput(frame: pd.DataFrame) -> Figure:
    """Columns: block (the last one "all blocks"), mb_per_s, of one core."""
    ordered = frame.iloc[::-1]
    single, total = frame[frame["block"] != "all blocks"], frame[frame["block"] == "all blocks"]["mb_per_s"].item()
    picture, axes = plt.subplots(figsize=(7.2, 0.32 * len(frame) + 1.2))
    axes.barh([_BLOCKS.get(block, block) for block in ordered["block"]], ordered["mb_per_s"],
              color=["#000000" if block == "all blocks" else _KEPT for block in ordered["block"]])
    axes.set_xscale("log")
    axes.set_xlabel("MB of text a second of processor time")
    axes.grid(axis="y", visible=False)
    slowest = single.loc[single["mb_per_s"].idxmin(), "block"]
    axes.set_title(f"One core cleans {total:.1f} MB/s; most time goes into {_BLOCKS.get(slowest, slowest)}")
    return picture

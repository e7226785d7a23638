"""Figures of pretraining: learning curves, the transfer matrix and its contrasts."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.core.statistics import COVERAGE
from hare.report.figures import figure
from hare.report.style import OTHER_COLOUR, TABLE_COLOUR, TABLES, arm_label, first_and_ends, headline, line_label

ENDPOINTS = {
    "p": "P: benchmark\nanswers", "n": "N: neutral\ntext", "h1": "H1: held-out\ntext", "h2": "H2: held-out\nD2 pages",
    "h3": "H3: held-out\ntasks",
}
_SMOOTHED_OVER = 0.05  # of a run's steps
_TOPIC_ENDPOINTS = ("h1", "n")
_GRID_ENDPOINTS = ("p", "h1", "h3")
_APART = 0.06  # of the tokens: widths stand beside each other, so that their intervals do
_OUTCOMES = {"better": "#009E73", "worse": "#D55E00", "equivalent": "#0072B2", "undecided": "#777777"}
_BAND = {"color": "#bbbbbb", "alpha": 0.4, "linewidth": 0}


@figure("training", "heldout_curves")
def heldout_curves(frame: pd.DataFrame) -> Figure:
    """Held-out bits per byte along training by arm, and what n-gram tables of the same tokens need.

    Columns: arm (or table), tokens (0 for a table), bits_per_byte, low, high (where the record has them).
    """
    picture, axes = plt.subplots(figsize=(7.2, 4.2))
    arms = frame[~frame["arm"].isin(TABLES)]
    ends = arms[arms["tokens"] == arms["tokens"].max()].set_index("arm")
    last = ends["bits_per_byte"]
    surely = ends["high"].fillna(last) if "high" in ends else last
    colours = first_and_ends(last)
    for arm, colour in colours.items():
        part = arms[arms["arm"] == arm]
        axes.plot(part["tokens"] / 1e3, part["bits_per_byte"], color=colour, marker="o", markersize=4,
                  label=line_label(arm, colours))
        if "low" in part:
            axes.fill_between(part["tokens"] / 1e3, part["low"], part["high"], color=colour, alpha=0.2, linewidth=0)
    tables = frame[frame["arm"].isin(TABLES)].set_index("arm")["bits_per_byte"]
    for name, value in tables.items():
        axes.axhline(value, color=TABLE_COLOUR, linewidth=1, linestyle="--")
        axes.annotate(TABLES[name], (0.01, value), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    headline(picture, f"{_against_tables(surely, tables)};\n"
                      f"the arms end at {last.min():.2f} to {last.max():.2f} bits per byte")
    axes.set(xlabel="training tokens (thousands)", ylabel="held-out bits per byte (mean over categories)")
    title = "arm; band:\n95 % over seeds" if "low" in frame else "arm"
    axes.legend(title=title, loc="upper left", bbox_to_anchor=(1, 1))
    return picture


def _against_tables(surely: pd.Series, tables: pd.Series) -> str:
    """Which tables all arms beat, and how many arms beat the next stronger one; ``surely``: the upper end of each arm's
    interval."""
    tables = tables.sort_values(ascending=False)
    beaten = [name for name in tables.index if surely.max() < tables[name]]
    parts = [f"All arms beat the {TABLES[beaten[-1]]}"] if beaten else []
    following = tables.index[len(beaten) :]
    if len(following):
        count = int((surely < tables[following[0]]).sum())
        parts.append(f"{count or 'no'} arm{'s' if count > 1 else ''} beat{'s' if count < 2 else ''} the "
                     f"{TABLES[following[0]]}")
    return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:]


@figure("training", "loss_curves")
def loss_curves(frame: pd.DataFrame) -> Figure:
    """Smoothed training loss of every run; arms train on different text, so levels are not comparable between arms."""
    picture, axes = plt.subplots()
    colours = first_and_ends(frame[frame["tokens"] == frame["tokens"].max()].groupby("arm", sort=False)["loss"].mean())
    for arm, seed in product(colours, frame["seed"].unique()):
        part = frame[(frame["arm"] == arm) & (frame["seed"] == seed)]
        window = max(1, round(len(part) * _SMOOTHED_OVER))
        smooth = part["loss"].rolling(window, center=True, min_periods=1).mean()
        label = line_label(arm, colours) if seed == frame["seed"].min() else None
        axes.plot(part["tokens"] / 1e3, smooth, color=colours[arm], linewidth=1.3, alpha=0.85, label=label)
    first, last = frame.groupby("tokens")["loss"].mean().iloc[[0, -1]]
    headline(picture, f"Training loss falls from {first:.1f} to {last:.1f} nats per token")
    axes.set(xlabel="training tokens (thousands)",
             ylabel=f"training loss (nats per token),\nmean over {_SMOOTHED_OVER:.0%} of the steps")
    axes.legend(title="arm; one line per seed")
    return picture


@figure("training", "transfer")
def transfer(frame: pd.DataFrame) -> Figure:
    """The transfer matrix: bits per byte in every cell, coloured by the difference from the first arm.

    Columns: arm (or table), endpoint, bits_per_byte, difference, difference_low, difference_high, p_holm (where the
    record has it).
    """
    arms = list(dict.fromkeys(frame["arm"]))
    endpoints = [name for name in ENDPOINTS if name in set(frame["endpoint"])]
    cells = frame.set_index(["arm", "endpoint"])
    grid = np.array([[cells.difference.get((arm, name), np.nan) for name in endpoints] for arm in arms])
    shown = np.where(np.array([arm in TABLES for arm in arms])[:, None], np.nan, grid)
    limit = max(float(np.nanmax(np.abs(shown))), 1e-9)
    picture, axes = plt.subplots(figsize=(1.6 + 1.25 * len(endpoints), 1.3 + 0.5 * len(arms)))
    axes.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", alpha=0.6)
    for row, arm in enumerate(arms):
        for column, name in enumerate(endpoints):
            if (arm, name) in cells.index:
                axes.text(column, row, _cell(cells.loc[(arm, name)], row == 0 or arm in TABLES), ha="center",
                          va="center", fontsize=8)
    axes.set_xticks(range(len(endpoints)), [ENDPOINTS[name] for name in endpoints])
    axes.set_yticks(range(len(arms)), [arm_label(arm) for arm in arms])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    headline(picture, _transfer_finding(frame, arms))
    picture.supxlabel(f"bits per byte; below them the difference from {arm_label(arms[0])} (* interval without zero)",
                      fontsize=9)
    return picture


def _cell(row: pd.Series, alone: bool) -> str:
    if alone:
        return f"{row.bits_per_byte:.3f}"
    sure = "*" if row.difference_low > 0 or row.difference_high < 0 else ""
    return f"{row.bits_per_byte:.3f}\n{row.difference:+.3f}{sure}"


def _transfer_finding(frame: pd.DataFrame, arms: list[str]) -> str:
    others = frame[~frame["arm"].isin([arms[0], *TABLES])]
    if others.empty:
        return "One arm alone: nothing to compare"
    sure = others["p_holm"] < 1 - COVERAGE if "p_holm" in others else others["difference_high"] < 0
    gains = others[sure & (others["difference"] < 0)]
    if gains.empty:
        return f"No arm gains on {arm_label(arms[0])} by more than chance"
    best = gains.loc[gains["difference"].idxmin()]
    return f"Most is gained on {ENDPOINTS[best.endpoint].split(': ')[1].replace(chr(10), ' ')}: {best.difference:+.2f}"


@figure("training", "contrasts")
def contrasts(frame: pd.DataFrame) -> Figure:
    """Contrasts between arms on each endpoint with intervals; the shaded band is the smallest effect of interest.

    Columns: contrast, endpoint, difference, low, high, outcome, margin.
    """
    endpoints = [name for name in ENDPOINTS if name in set(frame["endpoint"])]
    names = list(dict.fromkeys(frame["contrast"]))
    size = (9.4, 1.7 + 0.36 * len(names))
    picture, panels = plt.subplots(1, len(endpoints), figsize=size, sharey=True, squeeze=False)
    for axes, endpoint in zip(panels[0], endpoints, strict=True):
        _contrast_panel(axes, frame[frame["endpoint"] == endpoint], names)
        axes.set_title(ENDPOINTS[endpoint], fontsize=9, fontweight="normal")
    labels = [" − ".join(arm_label(arm) for arm in name.split("-")) for name in names]
    panels[0][0].set_yticks(range(len(names)), labels)
    panels[0][0].set_ylim(len(names) - 0.5, -0.5)
    primary = frame[frame["endpoint"] == endpoints[0]]["outcome"].value_counts()
    headline(picture, f"On {ENDPOINTS[endpoints[0]].split(': ')[1].replace(chr(10), ' ')}: "
                     + ", ".join(f"{count} {outcome}" for outcome, count in primary.items()))
    panels[0][len(endpoints) // 2].set_xlabel("difference in bits per byte (left of 0: better); bars: 95 %", fontsize=9)
    shown = [outcome for outcome in _OUTCOMES if outcome in set(frame["outcome"])]
    handles = [plt.Line2D([], [], color=_OUTCOMES[outcome], marker="o", label=outcome) for outcome in shown]
    band = f"within {frame['margin'].iloc[0]:g}: too small to matter"
    handles.append(plt.Rectangle((0, 0), 1, 1, **_BAND, label=band))
    picture.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return picture


def _contrast_panel(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    margin = part["margin"].iloc[0]
    axes.axvspan(-margin, margin, **_BAND)
    axes.axvline(0, color="black", linewidth=0.8)
    for row in part.itertuples():
        place, colour = names.index(row.contrast), _OUTCOMES[row.outcome]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([row.difference], [place], "o", color=colour, markersize=5)
    axes.locator_params(axis="x", nbins=3, steps=[1, 2, 5, 10])
    axes.tick_params(axis="x", labelsize=8)


@figure("training", "topics")
def topics(frame: pd.DataFrame) -> Figure:
    """What equally much text of more topics changes against text of the fewest, on held-out and on neutral text.

    Columns: endpoint, topics, difference, difference_low, difference_high, slope, slope_low, slope_high.
    """
    picture, panels = plt.subplots(1, len(_TOPIC_ENDPOINTS), figsize=(7.2, 3.6), sharey=True)
    findings = []
    for axes, endpoint in zip(panels, _TOPIC_ENDPOINTS, strict=True):
        part = frame[frame["endpoint"] == endpoint].sort_values("topics")
        ends = np.abs(part[["difference_low", "difference_high"]].to_numpy().T - part["difference"].to_numpy())
        axes.axhline(0, color="black", linewidth=0.8)
        axes.errorbar(part["topics"], part["difference"], ends, fmt="o-", color=OTHER_COLOUR, capsize=3)
        axes.set_xscale("log")
        axes.set_xticks(part["topics"], [str(number) for number in part["topics"]])
        where, row = ENDPOINTS[endpoint].split(": ")[1].replace("\n", " "), part.iloc[0]
        interval = f"{row['slope']:+.3f} [{row['slope_low']:+.3f}, {row['slope_high']:+.3f}]"
        axes.set_title(f"{where}: {interval}\nper tripling of the topics", fontsize=9, fontweight="normal")
        seen = "better" if row["slope_high"] < 0 else "worse" if row["slope_low"] > 0 else "no effect seen"
        findings.append(f"{where} {seen}")
    fewest = frame["topics"].min()
    panels[0].set_ylabel(f"difference from {fewest} topic{'s' if fewest > 1 else ''}, bits per byte\n(below 0: better)")
    picture.supxlabel("topics that equally much text is drawn from; bars: 95 %", fontsize=10)
    headline(picture, f"More topics at equal tokens: {', '.join(findings)}")
    return picture


@figure("training", "scaling")
def scaling(frame: pd.DataFrame) -> Figure:
    """The difference between two arms in every cell of a grid, one line per width, and what the law makes of them at
    ten times the size. Filled marks are sure of their sign.

    Columns: contrast, endpoint, kind, hidden_size, tokens, difference, low, high, p_holm (of a cell), held, outcome.
    """
    endpoints = [name for name in _GRID_ENDPOINTS if name in set(frame["endpoint"])]
    picture, panels = plt.subplots(1, len(endpoints), figsize=(3.4 * len(endpoints), 4.0), squeeze=False)
    for axes, endpoint in zip(panels[0], endpoints, strict=True):
        _grid_panel(axes, frame[frame["endpoint"] == endpoint])
        axes.set_title(ENDPOINTS[endpoint].replace("\n", " "), fontsize=9, fontweight="normal")
    arms = " − ".join(arm_label(arm) for arm in frame["contrast"].iloc[0].split("-"))
    panels[0][0].set_ylabel(f"{arms}, bits per byte\n(below 0: better)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    panels[0][len(endpoints) // 2].set_xlabel(
        "training tokens (millions); bars: 95 %; filled: no zero, by Holm's correction over the cells", fontsize=9)
    headline(picture, _scaling_finding(frame[frame["endpoint"] == endpoints[0]], arms))
    return picture


def _grid_panel(axes: Axes, part: pd.DataFrame) -> None:
    measured, beyond, alone = (part[part["kind"] == kind] for kind in ("measured", "extrapolated", "alone"))
    axes.axhline(0, color="black", linewidth=0.8)
    sizes = sorted(measured["hidden_size"].unique())
    for place, size in enumerate(sizes):
        line = measured[measured["hidden_size"] == size].sort_values("tokens")
        aside = (1 + _APART) ** (place - (len(sizes) - 1) / 2)
        _marked(axes, line.assign(tokens=line["tokens"] * aside), f"C{place}", "o-", f"hidden size {size:.0f}")
    _marked(axes, beyond, OTHER_COLOUR, "D", "law at 10 times the size")
    _marked(axes, alone.assign(tokens=alone["tokens"] * (1 + 3 * _APART)), "black", "s", "law of the differences alone")
    axes.set_xscale("log")
    axes.minorticks_off()
    ticks = sorted({*measured["tokens"], *beyond["tokens"]})
    axes.set_xticks(ticks, [f"{tick / 1e6:.2g}" for tick in ticks])


def _marked(axes: Axes, line: pd.DataFrame, colour: str, style: str, label: str) -> None:
    """Points with intervals, those filled that are sure of their sign."""
    if line.empty:
        return
    ends = np.abs(line[["low", "high"]].to_numpy().T - line["difference"].to_numpy())
    axes.errorbar(line["tokens"], line["difference"], ends, fmt=style, color=colour, markerfacecolor="white",
                  markersize=5, linewidth=1.4, elinewidth=1, label=label)
    sure = line[_sure(line)]
    axes.plot(sure["tokens"], sure["difference"], style[0], color=colour, markersize=5, zorder=3)


def _sure(line: pd.DataFrame) -> pd.Series:
    """Whether a sign is more than chance: of a cell by Holm's correction over the cells, of a law by its interval."""
    return (line["p_holm"] < 1 - COVERAGE) | (line["p_holm"].isna() & ((line["low"] > 0) | (line["high"] < 0)))


def _scaling_finding(part: pd.DataFrame, arms: str) -> str:
    """Only what the law's check and interval leave standing."""
    where = f"{arms} on {ENDPOINTS[part['endpoint'].iloc[0]].split(': ')[1].replace(chr(10), ' ')}"
    measured, beyond = (part[part["kind"] == kind] for kind in ("measured", "extrapolated"))
    sure = measured.loc[_sure(measured), "difference"]
    better, worse = int((sure < 0).sum()), int((sure > 0).sum())
    seen = f"{where}: better in {better} and worse in {worse} of {len(measured)} cells"
    if beyond.empty:
        return f"{seen}; too few for a law"
    row = beyond.iloc[0]
    if row["outcome"] in ("better", "worse"):
        return f"{seen};\nat ten times the size {row['outcome']} by {abs(row['difference']):.3f} bits per byte"
    laws = part[part["kind"].isin(["extrapolated", "alone"])]
    holds_zero = bool(((laws["low"] <= 0) & (laws["high"] >= 0)).any())
    why = "the law fails its check" if not row["held"] else "an interval holds zero" if holds_zero else (
        "the two laws disagree")
    return f"{seen};\nat ten times the size nothing can be told, since {why}"

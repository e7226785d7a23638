"""Figures of deployment: what a precision costs in quality, and what it saves in size and time."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure

_COLOURS = {"fp32": "#0072B2", "int8": "#E69F00", "int4": "#009E73"}


@figure("deployment", "precision")
def precision(frame: pd.DataFrame) -> Figure:
    """Size, memory, speed and bits per byte by precision. Columns: precision, size_mb, memory_mb, token_ms,
    slowest_ms, bpb."""
    panels = (("size_mb", "size on disk, MB"), ("memory_mb", "memory taken, MB"),
              ("token_ms", "time a token, ms\n(whisker: slowest repeat)"), ("bpb", "held-out bits per byte"))
    picture, axes = plt.subplots(1, len(panels), figsize=(9.6, 3.1))
    places = range(len(frame))
    for axis, (column, label) in zip(axes, panels, strict=True):
        values = frame[column]
        errors = None
        if column == "token_ms":
            errors = [0 * values, frame.slowest_ms - values]
        for place, value in zip(places, values, strict=True):
            axis.bar(place, value, width=0.6, color=_COLOURS[frame.precision[place]])
        if errors is not None:
            axis.errorbar(places, values, yerr=errors, fmt="none", color="black", linewidth=1.2)
        top = max(values) if errors is None else max(values + errors[1])
        for place, value in zip(places, values, strict=True):
            axis.text(place, top * 1.04, f"{value:.3g}", ha="center", fontsize=9)
        axis.set_ylim(0, top * 1.16)
        axis.set_xticks(places, frame.precision)
        axis.set_title(label, fontsize=10, fontweight="normal")
        axis.grid(axis="x", visible=False)
    picture.suptitle(precision_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def precision_finding(frame: pd.DataFrame) -> str:
    """What int4 saves and costs, in one sentence."""
    by = frame.set_index("precision")
    smaller = by.size_mb["fp32"] / by.size_mb["int4"]
    worse = 100 * (by.bpb["int4"] / by.bpb["fp32"] - 1)
    faster = by.token_ms["fp32"] / by.token_ms["int4"]
    speed = f"{faster:.1f} times as fast" if faster >= 1 else f"{1 / faster:.1f} times as slow"
    return f"int4 is {smaller:.1f} times smaller and {speed} here, for {worse:+.1f} % bits per byte"


@figure("deployment", "phone")
def phone(frame: pd.DataFrame) -> Figure:
    """Estimated speed of the 1.1B model on a phone, with the paper's. Columns: precision, tokens_per_s_low,
    tokens_per_s_high, tokens_per_s_bound, published."""
    picture, axes = plt.subplots(figsize=(7.2, 2.6))
    for place, row in enumerate(frame.itertuples()):
        axes.plot([row.tokens_per_s_low, row.tokens_per_s_high], [place, place], color=_COLOURS[row.precision],
                  linewidth=7, solid_capstyle="butt", label="estimated range" if place == 0 else None)
        axes.plot([row.tokens_per_s_bound], [place], "|", color="black", markersize=16,
                  label="nominal bandwidth" if place == 0 else None)
    printed = frame.dropna(subset="published")
    axes.plot(printed.published, list(printed.index), "D", color="#CC79A7", label="the paper's measurement")
    axes.set_yticks(range(len(frame)), frame.precision)
    axes.set_ylim(len(frame) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlabel("tokens a second, 1.1B parameters (an estimate by memory bandwidth, not a measurement)")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=9)
    low, high = frame.set_index("precision").loc["int4", ["tokens_per_s_low", "tokens_per_s_high"]]
    axes.set_title(f"Estimate: {low:.0f} to {high:.0f} tokens a second at int4 on a phone")
    return picture

"""Figures of deployment: what a precision costs in quality, and what it saves in size and time."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.report.figures import figure

_COLOURS = {"fp32": "#0072B2", "int8": "#E69F00", "int4": "#009E73"}


@figure("deployment", "precision")
def precision(frame: pd.DataFrame) -> Figure:
    """Size, memory, speed, bits per byte and tool calling by precision. Columns: precision, size_mb, memory_mb,
    token_ms, slowest_ms, bpb, tool_exact, tool_low, tool_high."""
    picture, axes = plt.subplots(1, 5, figsize=(11.4, 3.1))
    nothing = 0 * frame.size_mb
    _bars(axes[0], frame, frame.size_mb, "size on disk, MB")
    _bars(axes[1], frame, frame.memory_mb, "memory while decoding, MB")
    _bars(axes[2], frame, frame.token_ms, "time a token, ms\n(whisker: slowest repeat)",
          (nothing, frame.slowest_ms - frame.token_ms))
    _bars(axes[3], frame, frame.bpb, "held-out bits per byte")
    exact = 100 * frame.tool_exact
    _bars(axes[4], frame, exact, "calls that are right, %\n(whisker: 95 % interval)",
          (exact - 100 * frame.tool_low, 100 * frame.tool_high - exact))
    picture.suptitle(precision_finding(frame), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _bars(
    axes: Axes, frame: pd.DataFrame, values: pd.Series, label: str, reach: tuple[pd.Series, pd.Series] | None = None
) -> None:
    """One bar a precision with its number above; ``reach`` of the whisker below and above."""
    places = range(len(frame))
    axes.bar(places, values, width=0.6, color=[_COLOURS[name] for name in frame.precision])
    tops = values
    if reach is not None:
        axes.errorbar(places, values, yerr=reach, fmt="none", color="black", linewidth=1.2)
        tops = values + reach[1]
    highest = max(*tops, 1e-9)
    for place, value, top in zip(places, values, tops, strict=True):
        axes.text(place, top + 0.03 * highest, f"{value:.3g}", ha="center", fontsize=9)
    axes.set_ylim(0, 1.16 * highest)
    axes.set_xticks(places, frame.precision)
    axes.set_title(label, fontsize=10, fontweight="normal")
    axes.grid(axis="x", visible=False)


def precision_finding(frame: pd.DataFrame) -> str:
    """What int4 saves and costs, in one sentence."""
    by = frame.set_index("precision")
    smaller = by.size_mb["fp32"] / by.size_mb["int4"]
    worse = 100 * (by.bpb["int4"] / by.bpb["fp32"] - 1)
    faster = by.token_ms["fp32"] / by.token_ms["int4"]
    speed = f"{faster:.1f} times as fast" if faster >= 1 else f"{1 / faster:.1f} times as slow"
    cost = f"for {worse:+.1f} % bits per byte" if abs(worse) >= 0.05 else "with bits per byte as before"
    return f"int4 is {smaller:.1f} times smaller and {speed} here, {cost}"


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

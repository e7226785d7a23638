"""Figures of deployment: what a precision costs in quality, and what it saves in size and time."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from hare.report.figures import figure
from hare.report.style import headline

_COLOURS = {"fp32": "#0072B2", "int8": "#E69F00", "int4": "#009E73"}


@figure("deployment", "precision")
def precision(frame: pd.DataFrame) -> Figure:
    """Size, memory and speed by precision, and what it loses against the first one. Columns: precision, size_mb,
    memory_mb, token_ms, slowest_ms, worse_by, low, high, tool_worse_by, tool_low, tool_high."""
    picture, axes = plt.subplots(1, 5, figsize=(11.4, 3.1))
    nothing = 0 * frame.size_mb
    _bars(axes[0], frame, frame.size_mb, "size on disk, MB")
    _bars(axes[1], frame, frame.memory_mb, "memory while decoding, MB")
    _bars(axes[2], frame, frame.token_ms, "time per token, ms\n(whisker: slowest repeat)",
          (nothing, frame.slowest_ms - frame.token_ms))
    _losses(axes[3], frame, ("worse_by", "low", "high"), 1, "loss, bits per byte\n(bar: 95 % interval)")
    _losses(axes[4], frame, ("tool_worse_by", "tool_low", "tool_high"), 100,
            "fewer right calls, points\n(bar: 95 % interval)")
    headline(picture, precision_finding(frame))
    return picture


def _bars(
    axes: Axes, frame: pd.DataFrame, values: pd.Series, label: str, reach: tuple[pd.Series, pd.Series] | None = None
) -> None:
    """One bar per precision with its number above; ``reach`` of the whisker below and above."""
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
    _named(axes, frame, label)


def _losses(axes: Axes, frame: pd.DataFrame, columns: tuple[str, str, str], scale: float, label: str) -> None:
    """One point per precision with its interval, and a line at no loss."""
    for place, (value, low, high, name) in enumerate(frame[[*columns, "precision"]].itertuples(index=False)):
        axes.plot([place] * 2, [scale * low, scale * high], color=_COLOURS[name], linewidth=2)
        axes.plot([place], [scale * value], "o", color=_COLOURS[name], markersize=6)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlim(-0.5, len(frame) - 0.5)
    _named(axes, frame, label)


def _named(axes: Axes, frame: pd.DataFrame, label: str) -> None:
    axes.set_xticks(range(len(frame)), frame.precision)
    axes.set_title(label, fontsize=10, fontweight="normal")
    axes.grid(axis="x", visible=False)


def precision_finding(frame: pd.DataFrame) -> str:
    """What int4 saves and costs, in one sentence."""
    by = frame.set_index("precision")
    smaller = by.size_mb["fp32"] / by.size_mb["int4"]
    faster = by.token_ms["fp32"] / by.token_ms["int4"]
    speed = f"{faster:.1f} times as fast" if faster >= 1 else f"{1 / faster:.1f} times as slow"
    low, high = by.low["int4"], by.high["int4"]
    lost = f"and loses {by.worse_by['int4']:+.4f} bits per byte [{low:+.4f}, {high:+.4f}]"
    return f"int4 is {smaller:.1f} times smaller and {speed} here, {lost}"


@figure("deployment", "phone")
def phone(frame: pd.DataFrame) -> Figure:
    """Estimated speed of the 1.1B model on a phone, with the paper's. Columns: precision, tokens_per_s_low,
    tokens_per_s_high, tokens_per_s_bound, share_low, share_high, published."""
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
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("tokens per second, 1.1B parameters (arithmetic, not a measurement)")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
    headline(picture, phone_finding(frame))
    return picture


def phone_finding(frame: pd.DataFrame) -> str:
    """The estimate with its assumption, and where the paper's number lies."""
    int4 = frame.set_index("precision").loc["int4"]
    used = int4.published / int4.tokens_per_s_bound
    share = f"{int4.share_low:.0%} to {int4.share_high:.0%}"
    return (f"Assuming that decoding reaches {share} of a phone's memory bandwidth: "
            f"{int4.tokens_per_s_low:.0f} to {int4.tokens_per_s_high:.0f} tokens/s at int4\n"
            f"(the paper's {int4.published:.0f} tokens/s would be {used:.0%} of it)")

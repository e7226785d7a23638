"""Figures of the leakage stage: Δ of every model, and how it answers to a known dose of leakage."""

import math
import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure
from hare.report.style import arm_label

_ESTIMATES = {"at_starts": ("the method's 5 starting points", "o", "#0072B2"),
              "everywhere": ("all positions", "s", "#E69F00")}
_LETTERS_A_PANEL = 56  # of a title, that its figure is wide enough for
_TICKS = (-20, -5, -1, 0, 1, 5, 20)  # points; the axis is linear within ±5
_CONTROL = {"leaked": ("trained on the items", "o", "#D55E00"), "clean": ("before that training", "s", "#0072B2")}
_MEASURES = {"at_starts": "5 starting points:\nΔ, points", "everywhere": "all positions:\nΔ, points",
             "perplexity": "perplexity:\nΔ, nats a token"}


@figure("leakage", "delta")
def delta(frame: pd.DataFrame) -> Figure:
    """Δ with intervals by model, one panel a benchmark and split; published models as grey ticks, HARE as a diamond."""
    panels = list(dict.fromkeys(zip(frame["benchmark"], frame["split"], strict=True)))
    ours = frame[frame["origin"] != "published"]
    models = list(dict.fromkeys(ours["model"]))[::-1]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    picture, axes = plt.subplots(rows, columns, figsize=(1.6 + 2.9 * columns, 0.9 + (0.9 + 0.42 * len(models)) * rows),
                                 sharex=True, sharey=True, squeeze=False)
    for axis, (benchmark, split) in zip(axes.flat, panels, strict=False):
        part = frame[(frame["benchmark"] == benchmark) & (frame["split"] == split)]
        _delta_panel(axis, part, models)
        axis.set_title(_panel_title(benchmark, split), fontsize=10, fontweight="normal")
    for axis in axes.flat[len(panels):]:
        axis.set_visible(False)
    axes[0, 0].set_yticks([-1, *range(len(models))], ["published", *(arm_label(name) for name in models)])
    axes[0, 0].set_xscale("symlog", linthresh=5)
    axes[0, 0].set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    for axis in axes.flat[max(0, len(panels) - columns): len(panels)]:
        axis.set_xlabel("Δ of 5-gram accuracy, points", fontsize=9)
        axis.tick_params(labelbottom=True)
    picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    picture.suptitle(delta_finding(ours), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _panel_title(recorded: str, split: str) -> str:
    benchmark, _, rewrites = recorded.partition("-")
    title = f"{label_of(benchmark)}, {split}"
    return f"{title}: {rewrites.replace('-', ' ')}" if rewrites else title


def _delta_panel(axis: Axes, part: pd.DataFrame, models: list[str]) -> None:
    axis.axvline(0, color="black", linewidth=1)
    for (estimate, (label, marker, colour)), shift in zip(_ESTIMATES.items(), (0.13, -0.13), strict=True):
        rows = part[(part["estimate"] == estimate) & (part["origin"] != "published")]
        places = [models.index(name) + shift for name in rows["model"]]
        errors = [rows["delta"] - rows["low"], rows["high"] - rows["delta"]]
        axis.errorbar(rows["delta"], places, xerr=errors, fmt=marker, color=colour, markersize=4.5, linewidth=1.2,
                      label=label)
    printed = part[part["origin"] == "published"]
    axis.plot(printed["delta"], [-1] * len(printed), "|", color="#777777", markersize=10, label="published models")
    hare = printed[printed["model"] == "HARE"]
    axis.plot(hare["delta"], [-1] * len(hare), "D", color="black", markersize=5, label="HARE, published")
    axis.set_ylim(-1.6, len(models) - 0.4)
    axis.minorticks_off()


def delta_finding(ours: pd.DataFrame) -> str:
    """What the intervals of both estimates say, in one sentence."""
    above = ours[ours["low"] > 0]
    if above.empty:
        return f"No sign of leakage: none of {len(ours)} intervals of Δ lies above 0"
    named = ", ".join(dict.fromkeys(arm_label(name) for name in above["model"]))
    return f"{len(above)} of {len(ours)} intervals of Δ {'lies' if len(above) == 1 else 'lie'} above 0 ({named})"


@figure("leakage", "dose_response")
def dose_response(frame: pd.DataFrame) -> Figure:
    """Δ of the deliberately leaked control against how often an item was seen; rows: measures, columns: splits."""
    splits = list(dict.fromkeys(frame["split"]))
    picture, axes = plt.subplots(len(_MEASURES), len(splits), figsize=(1.4 + 4.0 * len(splits), 7.6), sharey="row",
                                 squeeze=False)
    for row, (estimate, label) in zip(axes, _MEASURES.items(), strict=True):
        for axis, split in zip(row, splits, strict=True):
            _dose_panel(axis, frame[(frame["estimate"] == estimate) & (frame["split"] == split)])
        row[0].set_ylabel(label)
    for axis, split in zip(axes[0], splits, strict=True):
        axis.set_title(f"{split} items planted", fontsize=10, fontweight="normal")
    for axis in axes[-1]:
        axis.set_xlabel("times each item was in the training data\n(share of the training sequences)")
    axes[0, 0].legend(title="the same items, the model")
    said = [textwrap.fill(line, _LETTERS_A_PANEL * len(splits)) for line in dose_finding(frame).splitlines()]
    picture.suptitle("\n".join(said), x=0.01, ha="left", fontsize=11, fontweight="bold")
    return picture


def _dose_panel(axis: Axes, part: pd.DataFrame) -> None:
    doses = part[part["model"] == "leaked"].sort_values("dose")
    axis.axhline(0, color="black", linewidth=1)
    for (model, (label, marker, colour)), shift in zip(_CONTROL.items(), (-0.06, 0.06), strict=True):
        rows = part[part["model"] == model].sort_values("dose")
        errors = [rows["delta"] - rows["low"], rows["high"] - rows["delta"]]
        places = [place + shift for place in range(len(rows))]
        axis.errorbar(places, rows["delta"], yerr=errors, fmt=f"{marker}-", color=colour, label=label, markersize=5,
                      linewidth=1.4)
    names = [f"{row.repetitions:.0f}×\n({100 * row.dose:g} %)" for row in doses.itertuples()]
    axis.set_xticks(range(len(doses)), names)


def dose_finding(frame: pd.DataFrame) -> str:
    """After how many readings each measure detects the leak, a line a split."""
    said = [f"{split} items: {_first_seen(frame[frame['split'] == split])}" for split in dict.fromkeys(frame["split"])]
    return "How often an item is read before its leak is detected\n" + "\n".join(said)


def _first_seen(part: pd.DataFrame) -> str:
    """Such as "4 times by perplexity, 79 times by all positions, not detected by starting points"."""
    gains = part[(part["model"] == "leaked_minus_clean") & (part["dose"] > 0)]
    by_times: dict[float, list[str]] = {}
    for estimate, name in zip(_MEASURES, ("starting points", "all positions", "perplexity"), strict=True):
        seen = gains[(gains["estimate"] == estimate) & (gains["low"] > 0)]["repetitions"]
        by_times.setdefault(math.inf if seen.empty else seen.min(), []).append(name)
    if list(by_times) == [math.inf]:
        return "not detected by any measure"
    return ", ".join(f"{_times(found)} by {' and '.join(by_times[found])}" for found in sorted(by_times))


def _times(found: float) -> str:
    return "not detected" if math.isinf(found) else f"{found:.0f} times"

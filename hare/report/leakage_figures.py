"""Figures of the leakage stage: Δ of every model, and how it answers to a known dose of leakage."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hare.benchmarks.registry import label_of
from hare.report.figures import figure
from hare.report.style import arm_label, headline

_ESTIMATES = {"at_starts": ("the method's 5 starting points", "o", "#0072B2"),
              "everywhere": ("all positions", "s", "#E69F00")}
_TICKS = (-20, -5, -1, 0, 1, 5, 20)  # points; the axis is linear within ±5
_DETECTION_PANELS = {
    "auc": ("AUC against items never planted", 0.5), "power": ("share of tests that see the leak", 0.05),
}
_SERIES = {
    "fivegram_five_starts": "5-gram, five starts (the method's)", "fivegram_all_positions": "5-gram, all positions",
    "minus_rule_rewrites": "5-gram minus rewrites by rule", "minus_given_rewrites": "5-gram minus published rewrites",
    "answer_nats": "likelihood of the answer", "min_k": "Min-20 % tokens",
    "nearest_unplanted": "likelihood minus nearest unplanted",
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_MARKERS = "osD^vPX"


@figure("leakage", "delta")
def delta(frame: pd.DataFrame) -> Figure:
    """Δ with intervals by model, one panel per benchmark and split; published models are grey ticks, HARE a diamond."""
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
        axis.set_xlabel("Δ of 5-gram accuracy, points\n(linear within ±5, then log)", fontsize=9)
        axis.tick_params(labelbottom=True)
    picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    headline(picture, delta_finding(ours))
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
        axis.errorbar(rows["delta"], places, xerr=errors, fmt="none", color=colour, linewidth=1.2)
        inside = np.where(_forced_zero(rows), "white", colour)
        axis.scatter(rows["delta"], places, marker=marker, s=20, color=inside, edgecolors=colour, zorder=3)
        axis.plot([], [], marker, color=colour, markersize=4.5, label=label)
    printed = part[part["origin"] == "published"]
    axis.plot(printed["delta"], [-1] * len(printed), "|", color="#777777", markersize=10, label="published models")
    hare = printed[printed["model"] == "HARE"]
    axis.plot(hare["delta"], [-1] * len(hare), "D", color="black", markersize=5, label="HARE, published")
    axis.set_ylim(-1.6, len(models) - 0.4)
    axis.minorticks_off()


def _forced_zero(rows: pd.DataFrame) -> pd.Series:
    """Where nothing was continued, original or rewritten: Δ is 0 whatever the model has read."""
    return (rows["original"] == 0) & (rows["rewritten"] == 0)


def delta_finding(ours: pd.DataFrame) -> str:
    """What the intervals of both estimates say, and how many could say nothing, in one sentence."""
    forced, above = int(_forced_zero(ours).sum()), ours[ours["low"] > 0]
    named = ", ".join(dict.fromkeys(arm_label(name) for name in above["model"]))
    finding = f"{len(above) or 'None'} of {len(ours)} intervals of Δ {'lie' if len(above) > 1 else 'lies'} above 0"
    finding += f" ({named})" if named else ""
    return f"{finding}; {forced} are 0 by force (hollow),\nsince nothing was continued" if forced else finding


@figure("leakage", "detection")
def detection(frame: pd.DataFrame) -> Figure:
    """From which dose on each estimator sees a leak, and what the leak buys. Three panels over the dose, a row of them
    per size of model.

    Columns: hidden_size, panel ("auc", "power", "accuracy", "bits_per_byte"), series (estimator or measure), dose,
    value, low, high, items.
    """
    sizes = list(dict.fromkeys(frame["hidden_size"]))
    picture, axes = plt.subplots(len(sizes), 3, figsize=(12.4, 1.0 + 3.3 * len(sizes)), squeeze=False)
    for size, row in zip(sizes, axes, strict=True):
        _detection_row(row, frame[frame["hidden_size"] == size])
        if len(sizes) > 1:
            row[0].set_title(f"hidden size {size}", loc="left", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("times that a run reads each planted item")
    picture.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
    headline(picture, detection_finding(frame))
    return picture


def _detection_row(axes: np.ndarray, frame: pd.DataFrame) -> None:
    """The three panels of one size."""
    doses = sorted(frame["dose"].unique())
    for axis, (panel, (label, chance)) in zip(axes, _DETECTION_PANELS.items(), strict=False):
        part = frame[frame["panel"] == panel]
        for place, series in enumerate(dict.fromkeys(part["series"])):
            _dose_line(axis, part[part["series"] == series], doses, _SERIES.get(series, series), place)
        axis.axhline(chance, color="black", linewidth=1, linestyle=":")
        axis.set_ylabel(label)
    _gain_panel(axes[2], frame, doses)
    for axis in axes:
        axis.set_xticks(range(len(doses)), [f"{dose}×" for dose in doses])


def _dose_line(axis: Axes, rows: pd.DataFrame, doses: list[int], label: str, place: int) -> None:
    rows = rows.sort_values("dose")
    where = [doses.index(dose) + 0.05 * (place - 2.5) for dose in rows["dose"]]
    errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    axis.errorbar(where, rows["value"], yerr=errors, fmt=f"{_MARKERS[place % len(_MARKERS)]}-", label=label,
                  color=_COLOURS[place % len(_COLOURS)], markersize=4.5, linewidth=1.2)


def _gain_panel(axis: Axes, frame: pd.DataFrame, doses: list[int]) -> None:
    """Accuracy on the left axis, bits per byte on the right one, both as gains over items never planted."""
    accuracy, bits = (frame[frame["panel"] == panel] for panel in ("accuracy", "bits_per_byte"))
    axis.axhline(0, color="black", linewidth=1, linestyle=":")
    axis.set_ylabel("gain in accuracy, points", color=_COLOURS[0])
    if len(accuracy):
        _dose_line(axis, accuracy, doses, "accuracy", 0)
    twin = axis.twinx()
    twin.grid(False)
    _dose_line(twin, bits, doses, "bits per byte", 1)
    twin.set_ylabel("gain on gold answers, bits per byte", color=_COLOURS[1])
    _align_zeros(axis, twin)


def _align_zeros(*axes: Axes) -> None:
    """Extend the axes so that 0 lies at one height on all of them."""
    sizes = [max(map(abs, axis.get_ylim())) for axis in axes]
    scaled = [np.divide(axis.get_ylim(), size) for axis, size in zip(axes, sizes, strict=True)]
    low, high = min(0, *(limits[0] for limits in scaled)), max(0, *(limits[1] for limits in scaled))
    for axis, size in zip(axes, sizes, strict=True):
        axis.set_ylim(low * size, high * size)


def detection_finding(frame: pd.DataFrame) -> str:
    """From which dose on half of the tests see the leak, by the best estimator and by the method's own."""
    items = int(frame["tested_items"].iloc[0])
    by_size = {size: _seen_from(frame[frame["hidden_size"] == size]) for size in dict.fromkeys(frame["hidden_size"])}
    if all(seen.empty for seen in by_size.values()):
        return f"No estimator sees the leak from {items} items in half of the tests, at any dose up to "\
               f"{frame['dose'].max()} readings"
    best = [_reading(seen, seen.index[0] if len(seen) else "") for seen in by_size.values()]
    named = dict.fromkeys(_SERIES.get(name, name) for seen in by_size.values() for name in seen.index[:1])
    published = [_reading(seen, "fivegram_five_starts") for seen in by_size.values()]
    at = f" at hidden size {', '.join(map(str, by_size))}" if len(by_size) > 1 else ""
    return (f"Half of the tests with {items} items see items read {', '.join(best)}{at}, by {' or '.join(named)};\n"
            f"by the method's own five starts {', '.join(published)}")


def _seen_from(frame: pd.DataFrame) -> pd.Series:
    """Lowest dose that half of the tests see, by estimator; first the lowest, and of those the one seen most often."""
    power = frame[frame["panel"] == "power"]
    seen = power[power["value"] >= 0.5].sort_values(["dose", "value"], ascending=[True, False])
    return seen.drop_duplicates("series").set_index("series")["dose"]


def _reading(seen: pd.Series, estimator: str) -> str:
    if estimator not in seen:
        return "at no dose"
    return {1: "once", 2: "twice"}.get(seen[estimator], f"{seen[estimator]} times")

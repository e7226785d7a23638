"""Figures of pretraining: parity of layouts, learning curves, differences between the arms."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hare.report.figures import figure

COLOURS = {"d1": "#0072B2", "d1+d2": "#E69F00", "d1+d2+d3": "#009E73"}
_NAMES = {"d1": "D1", "d1+d2": "D1+D2", "d1+d2+d3": "D1+D2+D3"}
_SMOOTHED_OVER = 0.05  # of a run's steps


@figure("training", "parity")
def parity(frame: pd.DataFrame) -> Figure:
    """Loss curves of one and of two processes on the same batches, and their difference."""
    picture, (above, below) = plt.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    above.plot(frame["step"], frame["loss_1"], linewidth=5, alpha=0.35, label="1 process")
    above.plot(frame["step"], frame["loss_2"], "o-", color="black", linewidth=1.2, markersize=3, label="2 processes")
    above.set(ylabel="training loss (nats a token)")
    largest = frame["difference"].max()
    said = f"within {largest:.1e} nats" if largest else "to the last bit"
    above.set_title(f"One process and two, same global batch:\nlosses agree {said}")
    above.legend()
    below.plot(frame["step"], frame["difference"], color="black", marker="o", markersize=3)
    below.axhline(1e-4, color="#D55E00", linestyle="--", linewidth=1)
    below.annotate("4 decimals", (frame["step"].max(), 1e-4), ha="right", va="bottom", color="#D55E00", fontsize=9)
    below.set_yscale("symlog", linthresh=1e-8)
    below.set(xlabel="optimizer step", ylabel="absolute\ndifference", ylim=(0, 1e-3))
    below.set_yticks([0, 1e-7, 1e-5, 1e-3])
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return picture


@figure("training", "heldout_curves")
def heldout_curves(frame: pd.DataFrame) -> Figure:
    """Held-out bits per byte against tokens, and the paired differences from D1 with their intervals."""
    picture, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.2))
    for arm, part in frame.groupby("arm", sort=False):
        thousands = part["tokens"] / 1e3
        left.plot(thousands, part["bits_per_byte"], color=COLOURS[arm], marker="o", markersize=4, label=_NAMES[arm])
        if arm != "d1":
            right.plot(thousands, part["difference"], color=COLOURS[arm], marker="o", markersize=4)
            right.fill_between(thousands, part["low"], part["high"], color=COLOURS[arm], alpha=0.2, linewidth=0)
    right.axhline(0, color=COLOURS["d1"], linewidth=1.8)
    last = frame[frame["tokens"] == frame["tokens"].max()].set_index("arm")["bits_per_byte"]
    left.set_title(f"{_NAMES[last.idxmin()]} ends lowest, at {last.min():.3f} bits per byte")
    right.set_title("Paired difference from D1, 95 % interval")
    left.set(xlabel="training tokens (thousands)", ylabel="held-out bits per byte (mean over categories)")
    right.set(xlabel="training tokens (thousands)", ylabel="bits per byte (below 0: better than D1)")
    left.legend(title="arm")
    return picture


@figure("training", "loss_curves")
def loss_curves(frame: pd.DataFrame) -> Figure:
    """Smoothed training loss of every run; arms train on different text, so levels are not comparable between arms."""
    picture, axes = plt.subplots()
    for (arm, seed), part in frame.groupby(["arm", "seed"], sort=False):
        window = max(1, round(len(part) * _SMOOTHED_OVER))
        smooth = part["loss"].rolling(window, center=True, min_periods=1).mean()
        label = _NAMES[arm] if seed == frame["seed"].min() else None
        axes.plot(part["tokens"] / 1e3, smooth, color=COLOURS[arm], linewidth=1.3, alpha=0.85, label=label)
    first, last = frame.groupby("tokens")["loss"].mean().iloc[[0, -1]]
    axes.set_title(f"Training loss falls from {first:.1f} to {last:.1f} nats a token")
    axes.set(xlabel="training tokens (thousands)", ylabel="training loss (nats a token)")
    axes.legend(title="arm; one line a seed")
    return picture


@figure("training", "differences")
def differences(frame: pd.DataFrame) -> Figure:
    """Paired differences from D1 with intervals: over all categories, and for each."""
    chosen = frame[frame["quantity"].str.endswith(" - d1")]
    quantities, categories = list(chosen["quantity"].unique()), list(chosen["category"].unique())
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.42 * len(categories)))
    for shift, quantity in enumerate(quantities):
        part = chosen[chosen["quantity"] == quantity].set_index("category").loc[categories]
        arm = quantity.removesuffix(" - d1")
        places = [place + 0.28 * (shift - (len(quantities) - 1) / 2) for place in range(len(categories))]
        errors = [part["value"] - part["low"], part["high"] - part["value"]]
        axes.errorbar(part["value"], places, xerr=errors, fmt="o", color=COLOURS[arm], label=f"{_NAMES[arm]} minus D1")
    axes.axvline(0, color="black", linewidth=1)
    axes.axhline(0.5, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(categories)), ["all (mean)", *categories[1:]])
    axes.invert_yaxis()
    overall = chosen[chosen["category"] == "all"]
    seen, seeds = ((overall["low"] > 0) | (overall["high"] < 0)).sum(), int(frame["seeds"].max())
    if seeds > 1:
        axes.set_title(f"{seen} of {len(overall)} arms differ from D1 overall, at 95 % and over {seeds} seeds")
    else:
        axes.set_title("Differences from D1 of one seed: chance in training is not in the bars")
    axes.set(xlabel="difference in held-out bits per byte (left of 0: better than D1)")
    axes.legend(loc="best")
    return picture


@figure("training", "extras")
def extras(frame: pd.DataFrame) -> Figure:
    """What repetition costs, and what each part is worth at equal unique text; differences with intervals."""
    picture, (left, right) = plt.subplots(1, 2, figsize=(9.4, 4.0))
    _repetition(left, frame[frame["study"] == "repetition"])
    _equal_unique(right, frame[frame["study"] == "unique"])
    return picture


def _repetition(axes: Axes, part: pd.DataFrame) -> None:
    part = part.sort_values("epochs")
    errors = [part["difference"] - part["low"], part["high"] - part["difference"]]
    axes.errorbar(part["epochs"], part["difference"], yerr=errors, fmt="o-", color=COLOURS["d1"])
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(part["epochs"], [f"{epochs:.3g}" for epochs in part["epochs"]])
    axes.minorticks_off()
    most = part.iloc[-1]
    axes.set_title(f"D1 read {most['epochs']:.3g} times over: {most['difference']:+.2f} bits per byte", fontsize=11)
    seeds = int(part["seeds"].max())
    bars = "sequences of one seed" if seeds == 1 else f"sequences and {seeds} seeds"
    axes.set(xlabel=f"times each token is read\n(bars: 95 %, over {bars})",
             ylabel="held-out bits per byte,\nminus new text throughout")


def _equal_unique(axes: Axes, part: pd.DataFrame) -> None:
    places = range(len(part))
    errors = [part["difference"] - part["low"], part["high"] - part["difference"]]
    for place, row in zip(places, part.itertuples(), strict=True):
        colour = COLOURS[{"d1": "d1", "d2": "d1+d2", "d3": "d1+d2+d3"}[row.name]]
        error = [[errors[0].iloc[place]], [errors[1].iloc[place]]]
        axes.errorbar(row.difference, place, xerr=error, fmt="o", color=colour)
    axes.axvline(0, color=COLOURS["d1"], linewidth=1.5)
    axes.set_yticks(list(places), [f"+{name.upper()}" for name in part["name"]])
    axes.set_ylim(len(part) - 0.5, -0.5)
    row = part.iloc[0]
    thousands = row["unique_tokens"] / 1e3
    axes.set_title(f"Same {thousands:,.3g}k unique tokens, read {row['epochs']:.2g} times", fontsize=11)
    axes.set(xlabel="held-out bits per byte, minus that of more D1\n(left of 0: better than more D1)")

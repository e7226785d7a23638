"""Figures of the tokens stage: what the files hold, how a run reads them, how often."""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import arm_label, headline, part_colour, part_label, parts_by_label

_PANELS_PER_ROW = 7
_LETTERS_PER_PANEL = 14
_MANY_EPOCHS = 4  # up to about here, repeating data costs little (Muennighoff et al. 2023)


@figure("tokens", "composition")
def draw_composition(frame: pd.DataFrame) -> Figure:
    """Tokens by category, a dot per part. Columns: file, source, category, tokens."""
    table = frame.fillna({"category": "other"}).groupby(["file", "category"], as_index=False).tokens.sum()
    categories = table.groupby("category").tokens.sum().sort_values().index
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.3 * len(categories)))
    colours = [part_colour(name) for name in table.file]
    lines = parts_by_label(frame.file.sort_values())
    places = table.file.map({name: place for place, names in enumerate(lines.values()) for name in names})
    shift = min(0.1, 0.9 / len(lines)) * (places - (len(lines) - 1) / 2)  # parts of one size would hide one another
    axes.scatter(table.tokens / 1e6, categories.get_indexer(table.category) + shift, s=40, c=colours)
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xscale("log")
    axes.set_xlabel("tokens, millions (log scale)")
    sums = frame.groupby("file").tokens.sum() / 1e6
    _legend(axes, {names[0]: f"{label}: {_between(sums[names])} M tokens" for label, names in lines.items()})
    headline(picture, _composition_finding(table))
    return picture


def _composition_finding(table: pd.DataFrame) -> str:
    """Where the mix of a synthetic part is farthest from D1's. Columns: file, category, tokens."""
    tokens = table.pivot_table(index="category", columns="file", values="tokens", fill_value=0)
    shares = tokens / tokens.sum()
    part = shares[shares.columns.intersection(["d2", "d3"])].sub(shares["d1"], axis=0).abs().max().idxmax()
    category = (shares[part] - shares["d1"]).abs().idxmax()
    return (f"The parts differ in their mix, most in {category}: {shares.loc[category, 'd1']:.0%} of D1's tokens, "
            f"{shares.loc[category, part]:.0%} of {part_label(part)}'s")


@figure("tokens", "schedule")
def draw_schedule(frame: pd.DataFrame) -> Figure:
    """Tokens read along the run, stacked by file, one panel per arm. Columns: arm, step, file, tokens_read."""
    arms = list(dict.fromkeys(frame.arm))
    columns = min(len(arms), _PANELS_PER_ROW)
    rows = -(-len(arms) // columns)
    size = (7.2 if columns < _PANELS_PER_ROW else 9.4, 1.4 + 2.0 * rows)
    picture, grid = plt.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    panels = grid.flatten()
    for axes, arm in zip(panels, arms, strict=False):
        table = frame[frame.arm == arm].pivot(index="step", columns="file", values="tokens_read") / 1e6
        axes.stackplot(table.index, table.T, colors=[part_colour(name) for name in table.columns])
        axes.set_title(textwrap.fill(arm_label(arm), _LETTERS_PER_PANEL), fontsize=11 if rows == 1 else 8)
        axes.margins(x=0)
    for axes in panels[len(arms):]:
        axes.set_visible(False)
    grid[-1][columns // 2].set_xlabel("optimizer step")
    grid[rows // 2][0].set_ylabel("tokens read, millions")
    last = frame[(frame.arm == arms[-1]) & (frame.step == frame.step.max())].set_index("file").tokens_read
    shares, arm = last / last.sum(), arm_label(arms[-1])
    lines = {names[0]: label for label, names in parts_by_label(frame.file).items()}
    of_last = {name: f"{label}, {shares[name]:.1%} of {arm}" for name, label in lines.items() if name in shares}
    _legend(grid[0][-1], lines | of_last)
    headline(picture, _schedule_finding(frame, arms[-1]))
    return picture


def _schedule_finding(frame: pd.DataFrame, arm: str) -> str:
    table = frame[frame.arm == arm].pivot(index="step", columns="file", values="tokens_read")
    alone = table[table.drop(columns="d1", errors="ignore").sum(axis=1) == 0].index.max()
    read = f"All arms read {table.iloc[-1].sum() / 1e6:,.2f} M tokens"
    if not alone:
        return f"{read}, each in one mix from the first step to the last"
    return f"{read}; the first {alone:,} of {table.index.max():,} steps see D1 alone"


@figure("tokens", "epochs")
def draw_epochs(frame: pd.DataFrame) -> Figure:
    """How often each part is read, ours and the paper's. Columns: arm, file, epochs."""
    table = frame.iloc[::-1].reset_index(drop=True)
    ours = table.arm != "paper"
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.3 * len(table)))
    colours = [part_colour(name.split(":")[0].lower()) for name in table.file]
    for row, colour, is_ours in zip(table.itertuples(), colours, ours, strict=True):
        axes.plot([1, row.epochs], [row.Index, row.Index], color=colour, alpha=0.5)
        axes.plot(row.epochs, row.Index, "o" if is_ours else "D", color=colour)
        axes.annotate(f"{row.epochs:.3g}", (row.epochs, row.Index), xytext=(0, 6), textcoords="offset points",
                      ha="center", fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    axes.axvline(1, color="black", linewidth=1)
    axes.axvline(_MANY_EPOCHS, color="black", linewidth=1, linestyle=":")
    for times, label, side in ((1, "once", "right"), (_MANY_EPOCHS, f"{_MANY_EPOCHS} times", "left")):
        axes.annotate(label, (times, 1), xycoords=("data", "axes fraction"), ha=side, va="bottom", fontsize=8)
    read = zip(table.arm.map(arm_label), table.file.map(part_label), strict=True)
    axes.set_yticks(range(len(table)), [_reading(arm, part) for arm, part in read])
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_ylim(-1, len(table))
    picture.supxlabel("epochs in the whole run (log scale); ● ours, ◆ the paper's plan", fontsize=10)
    headline(picture, _epochs_finding(frame))
    return picture


def _reading(arm: str, part: str) -> str:
    """An arm and a part that it reads; an arm that is named as the version of a part is that part alone."""
    return part if part.endswith(f", {arm}") else f"{arm} · {part}"


def _epochs_finding(frame: pd.DataFrame) -> str:
    ours = frame[frame.arm != "paper"]
    paper = frame[frame.arm == "paper"]
    most = ours.loc[ours.epochs.idxmax()]
    finding = f"Most is read of {part_label(most.file)}: {most.epochs:.2g} times, in arm {arm_label(most.arm)}"
    if len(paper):
        repeated = paper.loc[paper.epochs.idxmax()]
        finding += f"; the paper reads {repeated.file.split(': ')[-1]} {repeated.epochs:.2g} times"
    return finding


def _between(numbers: pd.Series) -> str:
    """One number, or the ends of several."""
    return " to ".join(dict.fromkeys(f"{number:,.2f}" for number in (numbers.min(), numbers.max())))


def _legend(axes: plt.Axes, labels: dict[str, str]) -> None:
    handles = [plt.Rectangle((0, 0), 1, 1, color=part_colour(name)) for name in labels]
    axes.legend(handles, labels.values(), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)

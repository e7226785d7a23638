"""Figures of the tokens stage: what the files hold, how a run reads them, how often."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from hare.report.figures import figure
from hare.report.style import OTHER_COLOUR, PART_COLOURS, arm_label, headline, part_label

_MANY_EPOCHS = 4  # up to about here, repeating data costs little (Muennighoff et al. 2023)


@figure("tokens", "composition")
def draw_composition(frame: pd.DataFrame) -> Figure:
    """Tokens by category, a dot per part. Columns: file, source, category, tokens."""
    table = frame.fillna({"category": "other"}).groupby(["file", "category"], as_index=False).tokens.sum()
    categories = table.groupby("category").tokens.sum().sort_values().index
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.3 * len(categories)))
    colours = [PART_COLOURS.get(name, OTHER_COLOUR) for name in table.file]
    places = table.file.rank(method="dense")
    shift = min(0.1, 0.9 / places.max()) * (places - 3)  # parts of one size would hide one another
    axes.scatter(table.tokens / 1e6, categories.get_indexer(table.category) + shift, s=40, c=colours)
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xscale("log")
    axes.set_xlabel("tokens, millions (log scale)")
    sums = frame.groupby("file").tokens.sum() / 1e6
    _legend(axes, {name: f"{part_label(name)}: {sums[name]:,.2f} M tokens" for name in sums.index})
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
    picture, panels = plt.subplots(1, len(arms), figsize=(max(7.2, len(arms)), 3.4), sharey=True, squeeze=False)
    for axes, arm in zip(panels[0], arms, strict=True):
        table = frame[frame.arm == arm].pivot(index="step", columns="file", values="tokens_read") / 1e6
        axes.stackplot(table.index, table.T, colors=[PART_COLOURS.get(name, OTHER_COLOUR) for name in table.columns])
        axes.set_title(arm_label(arm))
        axes.margins(x=0)
    panels[0][len(arms) // 2].set_xlabel("optimizer step")
    panels[0][0].set_ylabel("tokens read, millions")
    last = frame[(frame.arm == arms[-1]) & (frame.step == frame.step.max())].set_index("file").tokens_read
    shares, arm = last / last.sum(), arm_label(arms[-1])
    labels = {name: part_label(name) for name in dict.fromkeys(frame.file)}
    _legend(panels[0][-1], labels | {name: f"{labels[name]}, {share:.1%} of {arm}" for name, share in shares.items()})
    headline(picture, _schedule_finding(frame, arms[-1]))
    return picture


def _schedule_finding(frame: pd.DataFrame, arm: str) -> str:
    table = frame[frame.arm == arm].pivot(index="step", columns="file", values="tokens_read")
    alone = table[table.drop(columns="d1", errors="ignore").sum(axis=1) == 0].index.max()
    read = table.iloc[-1].sum() / 1e6
    return f"All arms read {read:,.2f} M tokens; the first {alone:,} of {table.index.max():,} steps see D1 alone"


@figure("tokens", "epochs")
def draw_epochs(frame: pd.DataFrame) -> Figure:
    """How often each part is read, ours and the paper's. Columns: arm, file, epochs."""
    table = frame.iloc[::-1].reset_index(drop=True)
    ours = table.arm != "paper"
    picture, axes = plt.subplots(figsize=(7.2, 1.4 + 0.3 * len(table)))
    colours = [PART_COLOURS.get(name.split(":")[0].lower(), OTHER_COLOUR) for name in table.file]
    for row, colour, is_ours in zip(table.itertuples(), colours, ours, strict=True):
        axes.plot([1, row.epochs], [row.Index, row.Index], color=colour, alpha=0.5)
        axes.plot(row.epochs, row.Index, "o" if is_ours else "D", color=colour)
        axes.annotate(f"{row.epochs:.3g}", (row.epochs, row.Index), xytext=(0, 6), textcoords="offset points",
                      ha="center", fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    axes.axvline(1, color="black", linewidth=1)
    axes.axvline(_MANY_EPOCHS, color="black", linewidth=1, linestyle=":")
    for times, label in ((1, "once"), (_MANY_EPOCHS, f"{_MANY_EPOCHS} times")):
        axes.annotate(label, (times, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8)
    axes.set_yticks(range(len(table)), [f"{arm_label(row.arm)} · {part_label(row.file)}" for row in table.itertuples()])
    axes.set_xscale("log")
    axes.margins(x=0.1, y=0.08)
    axes.set_xlabel("epochs in the whole run (log scale); ● ours, ◆ the paper's plan")
    headline(picture, _epochs_finding(frame))
    return picture


def _epochs_finding(frame: pd.DataFrame) -> str:
    ours = frame[frame.arm != "paper"]
    paper = frame[frame.arm == "paper"]
    most = ours.loc[ours.epochs.idxmax()]
    finding = f"Most is read of {part_label(most.file)}: {most.epochs:.2g} times, in arm {arm_label(most.arm)}"
    if len(paper):
        repeated = paper.loc[paper.epochs.idxmax()]
        finding += f"; the paper reads {repeated.file.split(': ')[-1]} {repeated.epochs:.2g} times"
    return finding


def _legend(axes: plt.Axes, labels: dict[str, str]) -> None:
    handles = [plt.Rectangle((0, 0), 1, 1, color=PART_COLOURS.get(name, OTHER_COLOUR)) for name in labels]
    axes.legend(handles, labels.values(), loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)

"""What all figures share: the colours and labels of arms, and the colours of parts."""

import textwrap
from collections.abc import Iterable

from matplotlib.figure import Figure

_LETTERS_PER_INCH = 10.5  # of a headline

ARM_COLOURS = {  # the study's arms, in the order of every figure and table
    "a": "#0072B2", "a1": "#4B3F72", "a2": "#56B4E9", "b": "#E69F00", "c": "#CC79A7", "c0": "#D55E00", "d": "#009E73",
}
_OTHER_ARMS = ("#7F7F7F", "#8C6D31", "#17BECF", "#AEC7E8", "#BCBD22")
TABLE_COLOUR = "#555555"  # of n-gram tables, which are no arms
PART_COLOURS = {
    "d1": "#0072B2", "d2": "#E69F00", "d3": "#009E73", "d3_passages": "#56B4E9", "d3_shuffled": "#CC79A7",
    "d1_reweighted": "#4B3F72",
}
OTHER_COLOUR = "#777777"
TABLES = {"unigram": "unigram table", "bigram": "bigram table", "fivegram": "5-gram table"}
MODELS = {"smollm2-135m-instruct": "SmolLM2-135M-Instruct"}
PARTS = {"d1": "D1", "d2": "D2", "d3": "D3", "d3_passages": "D3's passages", "d3_shuffled": "D3 shuffled",
         "d1_reweighted": "D1 in D3's mix"}


def arm_colours(arms: Iterable[str]) -> dict[str, str]:
    """A colour for each arm: arm → hex, in the order of `ARM_COLOURS`; other arms follow as they come, and an n-gram
    table is grey wherever it stands."""
    names = list(dict.fromkeys(arms))
    known = [name for name in ARM_COLOURS if name in names]
    others = [name for name in names if name not in (*known, *TABLES)]
    colours = ARM_COLOURS | {name: _OTHER_ARMS[place % len(_OTHER_ARMS)] for place, name in enumerate(others)}
    return {name: colours.get(name, TABLE_COLOUR) for name in [*known, *others, *(n for n in names if n in TABLES)]}


def arm_label(arm: str) -> str:
    """How figures name an arm: its name in capitals where it is short or a recipe; a table by what it is."""
    if arm in TABLES or arm in MODELS:
        return TABLES.get(arm) or MODELS[arm]
    return arm.upper() if len(arm) <= 2 or "+" in arm else arm


def part_label(part: str) -> str:
    """How figures name a part of the training data."""
    return PARTS.get(part, part.upper())


def headline(picture: Figure, text: str) -> None:
    """The finding as a title over the whole figure, broken where its width ends; breaks in ``text`` are kept."""
    width = int(_LETTERS_PER_INCH * picture.get_figwidth())
    lines = [textwrap.fill(line, width) for line in text.split("\n")]
    picture.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11, fontweight="bold")

"""What all figures share: the colours and labels of arms, and the colours of parts."""

import textwrap
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.figure import Figure

_LETTERS_PER_INCH = 10.5  # of a headline

ARM_COLOURS = {  # the study's arms, in the order of every figure and table
    "a": "#0072B2", "a1": "#4B3F72", "a2": "#56B4E9", "b": "#E69F00", "c": "#CC79A7", "c0": "#D55E00", "d": "#009E73",
}
_OTHER_ARMS = ("#7F7F7F", "#8C6D31", "#17BECF", "#AEC7E8", "#BCBD22")
_REST_COLOUR, _TOLD_COLOURS = "#C0C0C0", ("#0072B2", "#009E73", "#D55E00")
TABLE_COLOUR = "#555555"  # of n-gram tables, which are no arms
PART_COLOURS = {
    "d1": "#0072B2", "d2": "#E69F00", "d3": "#009E73", "d3_passages": "#56B4E9", "d3_shuffled": "#CC79A7",
    "d1_reweighted": "#4B3F72",
}
_VERSION_COLOURS = {"d1": "#A3B8CC", "d2": "#E69F00"}  # of a part cleaned otherwise, of fewer topics, of one form
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


def first_and_ends(last: pd.Series) -> dict[str, str]:
    """A colour for each arm of ``last`` (arm → number), for figures in which lines are told apart by colour alone. Of
    more arms than there are colours only the first, the lowest and the highest have one; the others are grey."""
    if len(last) <= len(ARM_COLOURS) + len(_OTHER_ARMS):
        return arm_colours(last.index)
    told = dict(zip(dict.fromkeys([last.index[0], last.idxmin(), last.idxmax()]), _TOLD_COLOURS, strict=False))
    return dict.fromkeys(last.index.difference(list(told), sort=False), _REST_COLOUR) | told  # the grey lines below


def line_label(arm: str, colours: Mapping[str, str]) -> str | None:
    """What a legend calls an arm's line; grey lines are counted, at the first of them."""
    grey = [name for name, colour in colours.items() if colour == _REST_COLOUR]
    return arm_label(arm) if arm not in grey else f"{len(grey)} other arms" if arm == grey[0] else None


def arm_label(arm: str) -> str:
    """How figures name an arm: its name in capitals where it is short or a recipe; a table by what it is."""
    if arm in TABLES or arm in MODELS:
        return TABLES.get(arm) or MODELS[arm]
    return arm.upper() if len(arm) <= 2 or "+" in arm else arm.replace("_", " ")


def part_label(part: str) -> str:
    """How figures name a part of the training data, or a version of one: another cleaning, fewer topics, one form."""
    base, _, version = part.partition("_")
    if part in PARTS or base not in PARTS or not version:
        return PARTS.get(part, part.upper())
    return f"{PARTS[base]}, {version.split('-seed')[0].replace('_', ' ')}"


def part_colour(part: str) -> str:
    """The colour of a part of the training data; versions of a part share one."""
    return PART_COLOURS.get(part) or _VERSION_COLOURS.get(part.partition("_")[0], OTHER_COLOUR)


def parts_by_label(parts: Iterable[str]) -> dict[str, list[str]]:
    """Parts by their line of a legend: each part has its own, and the versions of one part share one."""
    kinds: dict[str, list[str]] = {}
    for part in dict.fromkeys(parts):
        base = part.partition("_")[0]
        kinds.setdefault(part if part in PARTS or base not in PARTS else f"{base}_", []).append(part)
    return {
        part_label(names[0]) if len(names) == 1 else f"{PARTS[kind[:-1]]}, {len(names)} versions": names
        for kind, names in kinds.items()
    }


def headline(picture: Figure, text: str) -> None:
    """The finding as a title over the whole figure, broken where its width ends; breaks in ``text`` are kept."""
    width = int(_LETTERS_PER_INCH * picture.get_figwidth())
    lines = [textwrap.fill(line, width) for line in text.split("\n")]
    picture.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11, fontweight="bold")

"""What recorded tables say together, for sentences of README and article: no such number is typed into either."""

from dataclasses import dataclass

from hare.report import cost
from hare.report.recorded import Recorded
from hare.report.style import TABLES


@dataclass(frozen=True)
class Excess:
    """A category, and its share of the tokens of D2 and of D1."""

    category: str
    of_d2: float
    of_d1: float


def parameters(recorded: Recorded) -> int | None:
    """Parameters of the models that were trained; None where none was."""
    shape, pieces = recorded.provenance("training").get("parameters"), recorded.metrics("tokens").get("vocabulary_size")
    return cost.shape_of(shape, int(pieces)).parameters if shape and "layers" in shape and pieces else None


def excess_of_d2(recorded: Recorded) -> Excess | None:
    """The category that takes most more of D2 than of D1, by tokens; None where they were not counted."""
    table = recorded.table("tokens", "composition")
    if table is None or not {"d1", "d2"} <= set(table.file):
        return None
    tokens = table.groupby(["file", "category"]).tokens.sum().unstack("file", fill_value=0)[["d1", "d2"]]
    shares = tokens / tokens.sum()
    category = (shares.d2 - shares.d1).idxmax()
    return Excess(str(category), float(shares.d2[category]), float(shares.d1[category]))


def heldout(recorded: Recorded) -> dict[str, float]:
    """Bits per byte of held-out windows: ``best_arm`` and ``worst_arm`` when trained, and each n-gram table."""
    table = recorded.table("training", "heldout_curves")
    if table is None:
        return {}
    last = table.sort_values("tokens").groupby("arm").bits_per_byte.last()
    arms = last.drop(index=[name for name in TABLES if name in last.index])
    return {"best_arm": float(arms.min()), "worst_arm": float(arms.max()),
            **{name: float(last[name]) for name in TABLES if name in last.index}}

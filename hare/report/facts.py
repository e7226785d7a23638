"""What recorded tables say together, for sentences of README and article: no such number is typed into either."""

from dataclasses import dataclass
from typing import Any

from hare.report import cost
from hare.report.answers import leakage, priors, scaling
from hare.report.recorded import Recorded
from hare.report.style import TABLES

# Profiles whose arms stand beside those of the others; the second's leak experiment does, too.
LARGER, NIGHT = "single-gpu", "overnight"
PRIORS, GRID = "priors", "scaling"  # profiles with questions of their own
_READ = {"tasks": "d3", "pages": "d2"}  # by arm D


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


def outcomes(recorded: Recorded) -> dict[str, str]:
    """Of each contrast on the primary endpoint, by name: better, worse, equivalent or undecided, as registered."""
    table = recorded.table("training", "contrasts")
    if table is None:
        return {}
    primary = table[table.endpoint == "p"]
    return dict(zip(primary.contrast, primary.outcome, strict=True))


def of_priors() -> dict[str, Any]:
    """What profile `priors` says by its registered rules: shares and forms as sentences, changes as names by
    contrast, expected as pairs of an expectation and whether it came out. Nothing before it is recorded."""
    recorded = Recorded(PRIORS)
    metrics, contrasts = recorded.metrics("training"), recorded.table("training", "contrasts")
    if not metrics or contrasts is None:
        return {}
    return {"shares": priors.of_shares(metrics).strip(), "forms": priors.of_forms(metrics).strip(),
            "changes": {pair: priors.change(pair) for pair in outcomes(recorded)},
            "expected": list(priors.expectations(metrics, contrasts))}


def of_grid() -> dict[str, Any]:
    """What profile `scaling` says by its registered rules: cells and beyond as sentences, expected as pairs of an
    expectation and whether it came out. Nothing before it is recorded."""
    recorded = Recorded(GRID)
    metrics, cells = recorded.metrics("training"), recorded.table("training", "scaling")
    if not metrics or cells is None:
        return {}
    return {"cells": scaling.of_cells(cells).strip(), "beyond": scaling.beyond_the_grid(metrics).strip(),
            "expected": list(scaling.expectations(cells))}


def arms_of(profile: str, recorded: Recorded) -> dict[str, float]:
    """What notebook 05 measured at another profile: its metrics by their names, ``heldout.<name>``, parameters,
    times_the_tokens (of this profile's runs), tasks_share, tasks_epochs, pages_share and pages_epochs (of all D2) of
    arm D. Nothing where that is this profile, or was not run."""
    other = Recorded(profile)
    there, here, tokens = other.metrics("training"), recorded.metrics("training"), other.metrics("tokens")
    size = parameters(other)
    if recorded.profile == profile or not (there and here and tokens and size):
        return {}
    return there | {f"heldout.{name}": value for name, value in heldout(other).items()} | {
        "parameters": size, "times_the_tokens": there["tokens_per_run"] / here["tokens_per_run"],
        **{f"{part}_share": tokens[f"tokens_read.d.{file}"] / tokens["tokens_per_run"] for part, file in _READ.items()},
        **{f"{part}_epochs": tokens[f"epochs.d.{file}"] for part, file in _READ.items()},
    }


def leaks(recorded: Recorded) -> dict[str, dict[str, str]]:
    """From how many readings on a leak is seen: leak (of this profile), night-leak and wide-leak (of the narrowest and
    the widest models of `overnight`)."""
    there = full_leak(recorded)
    widest = {name.removeprefix("widest."): value for name, value in there.items() if name.startswith("widest.")}
    return {"leak": leakage.thresholds(recorded.metrics("leakage")), "night-leak": leakage.thresholds(there),
            "wide-leak": leakage.thresholds(widest)}


def full_leak(recorded: Recorded) -> dict[str, float]:
    """What notebook 07 measured at profile `overnight`: its metrics by their names, those of the widest model as
    ``widest.<name>``, narrowest_size, widest_size, layers. Nothing where that is this profile, or was not run."""
    other = Recorded(NIGHT)
    there, parameters = other.metrics("leakage"), other.provenance("leakage").get("parameters", {})
    sizes = parameters.get("leak_hidden_sizes")
    if recorded.profile == NIGHT or not (there and sizes):
        return {}
    prefix = f"hidden_{sizes[-1]}."
    widest = {name.removeprefix(prefix): value for name, value in there.items() if name.startswith(prefix)} or there
    return there | {f"widest.{name}": value for name, value in widest.items()} | {
        "narrowest_size": sizes[0], "widest_size": sizes[-1], "layers": parameters["layers"],
    }

"""Committed notebooks as data: their cells, and the parameters that they take."""

import ast
import json
from typing import Any

from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.profile import Profile

PARAMETERS_TAG = "parameters"


def read_cells(step: Step) -> list[dict[str, Any]]:
    """Cells of a step's notebook, each with its ``source`` as one text.

    Raises:
        HareError: there is no such notebook, or it is not one.
    """
    fix = "restore it from the repository: git checkout -- notebooks"
    if not step.source.is_file():
        raise HareError(f"{step.source} is missing.", fix)
    try:
        cells = json.loads(step.source.read_text(encoding="utf-8"))["cells"]
        return [cell | {"source": "".join(cell["source"])} for cell in cells]
    except (ValueError, KeyError, TypeError) as error:
        raise HareError(f"{step.source} is not a notebook: {type(error).__name__} {error}", fix) from error


def parameters_of(step: Step) -> dict[str, Any]:
    """Names and literal values in the cell tagged ``parameters``.

    The cell is parsed, since papermill's own inspection reads it line by line and misses lists that span lines.

    Raises:
        HareError: there is no such cell, or it holds anything but assignments of literals.
    """
    tagged = [cell for cell in read_cells(step) if PARAMETERS_TAG in cell["metadata"].get("tags", [])]
    fix = "keep one cell tagged `parameters`, with lines such as `train_steps = 150  # steps`"
    if len(tagged) != 1:
        raise HareError(f"{step.notebook} has {len(tagged)} cells tagged `parameters` instead of one.", fix)
    values = {}
    for statement in ast.parse(tagged[0]["source"]).body:
        try:
            (target,) = statement.targets  # type: ignore[attr-defined]
            values[target.id] = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
        except (AttributeError, ValueError) as error:
            where = f"The parameters cell of {step.notebook}, line {statement.lineno},"
            raise HareError(f"{where} is not an assignment of a literal.", fix) from error
    return values


def check_parameters(step: Step, profile: Profile) -> None:
    """Refuse a notebook whose parameters cell and the profile's sections do not name the same things.

    Raises:
        HareError: naming every parameter that only one of the two has.
    """
    wanted = profile.parameters(step).keys()
    found = parameters_of(step).keys()
    if wanted != found:
        unknown = ", ".join(sorted(wanted - found)) or "none"
        unfed = ", ".join(sorted(found - wanted)) or "none"
        raise HareError(
            f"{step.notebook} and its sections of the profile disagree. In the profile, but unknown to the notebook: "
            f"{unknown}. In the notebook's parameters cell, but in no section: {unfed}.",
            "make the cell tagged `parameters` name `profile` and every field of the step's sections, and nothing else",
        )

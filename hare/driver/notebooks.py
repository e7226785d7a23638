"""Committed notebooks as data: their cells and their parameters."""

import ast
import json
from typing import Any

from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.parameters import SPECIAL
from hare.core.profile import Profile

PARAMETERS_TAG = "parameters"


def read_cells(step: Step) -> list[dict[str, Any]]:
    """Cells of a step's notebook, each with its ``source`` as one text.

    Raises:
        HareError: the file is missing or is not a notebook.
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
    fix = "keep one cell tagged `parameters`, with lines such as `train_steps: int = 150  # steps`"
    if len(tagged) != 1:
        raise HareError(f"{step.notebook} has {len(tagged)} cells tagged `parameters` instead of one.", fix)
    values = {}
    for statement in ast.parse(tagged[0]["source"]).body:
        target = statement.target if isinstance(statement, ast.AnnAssign) else _only_target(statement)
        try:
            values[target.id] = ast.literal_eval(statement.value)  # type: ignore[union-attr,attr-defined]
        except (AttributeError, ValueError) as error:
            where = f"The parameters cell of {step.notebook}, line {statement.lineno},"
            raise HareError(f"{where} is not an assignment of a literal.", fix) from error
    return values


def _only_target(statement: ast.stmt) -> ast.expr | None:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return targets[0] if len(targets) == 1 else None


def parameters_for(step: Step, profile: Profile) -> dict[str, Any]:
    """What the parameters cell of a step's notebook receives from a profile: a value for each name in it.

    Raises:
        HareError: the cell lacks `profile` or `variant`, or names what the step does not depend on.
    """
    names = parameters_of(step).keys()
    lacking, unknown = set(SPECIAL) - names, names - set(SPECIAL) - set(step.parameters)
    if lacking or unknown:
        raise HareError(
            f"The parameters cell of {step.notebook} lacks {', '.join(sorted(lacking)) or 'nothing'} and names "
            f"{', '.join(sorted(unknown)) or 'nothing'} that its step does not depend on.",
            "make the cell tagged `parameters` name `profile`, `variant` and fields that the step in "
            "hare/core/chain.py lists, and nothing else",
        )
    fields = profile.fields()
    return {"profile": profile.source, "variant": ""} | {name: fields[name] for name in names if name in fields}

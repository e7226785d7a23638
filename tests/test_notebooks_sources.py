"""The committed notebooks: thin, without outputs, and fed by exactly what the profile says."""

import ast
import json
from typing import Any

import pytest

from hare.core.chain import CHAIN, Step
from hare.core.paths import NOTEBOOKS
from hare.core.profile import known_profiles, load_profile
from hare.driver.notebooks import PARAMETERS_TAG, check_parameters, parameters_of, read_cells

LINES_A_CELL = 25
LINES_A_FUNCTION = 5
EVERY_STEP = pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.notebook)


def _code(step: Step) -> list[dict[str, Any]]:
    return [cell for cell in read_cells(step) if cell["cell_type"] == "code"]


@EVERY_STEP
def test_a_notebook_has_no_outputs_and_stable_cells(step: Step) -> None:
    notebook = json.loads(step.source.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook["nbformat_minor"] >= 5
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in _code(step):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@EVERY_STEP
def test_a_notebook_takes_exactly_the_parameters_of_its_sections(step: Step) -> None:
    for name in known_profiles():
        check_parameters(step, load_profile(name))
    assert parameters_of(step) == load_profile("laptop").parameters(step), "the literals are those of profile laptop"


@EVERY_STEP
def test_a_notebook_is_thin(step: Step) -> None:
    for cell in _code(step):
        lines = cell["source"].splitlines()
        if PARAMETERS_TAG not in cell["metadata"].get("tags", []):
            assert len(lines) <= LINES_A_CELL, f"cell {cell['id']} has {len(lines)} lines"
        for node in ast.walk(ast.parse("\n".join("" if line.startswith(("%", "!")) else line for line in lines))):
            assert not isinstance(node, ast.ClassDef), f"cell {cell['id']} defines a class"
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= LINES_A_FUNCTION, f"{node.name} has {length} lines"


@EVERY_STEP
def test_a_notebook_tells_its_story_in_order(step: Step) -> None:
    cells = read_cells(step)
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"].startswith("# ")
    sources = [cell["source"] for cell in _code(step)]
    assert PARAMETERS_TAG in _code(step)[0]["metadata"].get("tags", []), "parameters come before any other code"
    assert f'Stage.open("{step.stage}", profile' in "\n".join(sources[1:3])
    assert "stage.record(" in sources[-1]
    assert any(cell["cell_type"] == "markdown" for cell in cells[3:])


def test_every_notebook_is_a_step_of_the_chain() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(step.notebook for step in CHAIN)

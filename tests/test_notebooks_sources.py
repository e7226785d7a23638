"""The committed notebooks: thin, without outputs, and with the parameters of the profile."""

import ast
import json
from typing import Any

import pytest

from hare.core.chain import CHAIN, Step
from hare.core.paths import NOTEBOOKS
from hare.core.profile import known_profiles, load_profile
from hare.driver.keys import code_files
from hare.driver.notebooks import PARAMETERS_TAG, SPECIAL, parameters_for, parameters_of, read_cells

LINES_PER_CELL = 25
LINES_PER_FUNCTION = 5
SECTION_VARIABLES = ("config", "corpus", "model", "tokens", "training", "asking")
ALL_FIELDS = load_profile("laptop").fields().keys()
EVERY_STEP = pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.notebook)


def _code(step: Step) -> list[dict[str, Any]]:
    return [cell for cell in read_cells(step) if cell["cell_type"] == "code"]


def _tree(cell: dict[str, Any]) -> ast.Module:
    lines = cell["source"].splitlines()
    return ast.parse("\n".join("" if line.startswith(("%", "!")) else line for line in lines))


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
def test_a_parameters_cell_holds_knobs_of_its_step_with_the_values_of_laptop(step: Step) -> None:
    for name in known_profiles():
        parameters_for(step, load_profile(name))
    fields = load_profile("laptop").fields()
    literals = parameters_of(step)
    assert {name: literals.pop(name) for name in SPECIAL} == {"profile": "laptop", "variant": ""}
    assert literals == {name: fields[name] for name in literals}
    (cell,) = (cell for cell in _code(step) if PARAMETERS_TAG in cell["metadata"].get("tags", []))
    for statement in ast.parse(cell["source"]).body:
        assert isinstance(statement, ast.AnnAssign), "typed, so that `papermill --help-notebook` shows what is wanted"
        value = ast.literal_eval(statement.value)  # type: ignore[arg-type]
        assert ast.unparse(statement.annotation) == type(value).__name__


@EVERY_STEP
def test_a_notebook_reads_its_parameters_from_the_stage_alone(step: Step) -> None:
    """A bare name would be the cell's literal, which the profile may overrule."""
    for cell in _code(step):
        if PARAMETERS_TAG not in cell["metadata"].get("tags", []):
            names = {node.id for node in ast.walk(_tree(cell)) if isinstance(node, ast.Name)}
            stored = {node.id for node in ast.walk(_tree(cell)) if isinstance(node, ast.Name)
                      and isinstance(node.ctx, ast.Store)}
            assert not (names - stored) & parameters_of(step).keys(), f"cell {cell['id']}"


@EVERY_STEP
def test_a_step_names_every_parameter_that_its_notebook_reads(step: Step) -> None:
    """Fields that the notebook reads of a section, and fields that the library reads of a section handed to it."""
    sections = {}
    for cell in _code(step):
        for node in ast.walk(_tree(cell)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in ALL_FIELDS:
                sections.setdefault(node.value.id, set()).add(node.attr)
    read = set().union(*(names for variable, names in sections.items() if variable in SECTION_VARIABLES))
    assert read <= set(step.parameters)
    reads = {
        node.attr for file in code_files(step) if file.suffix == ".py" and file.parent.name != "core"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
    }
    batch = {"micro_batch", "gradient_accumulation", "data_parallel"}  # read as Training.global_batch
    assert set(step.parameters) - batch <= read | reads, "named, but read nowhere"


@EVERY_STEP
def test_a_notebook_is_thin(step: Step) -> None:
    for cell in _code(step):
        lines = cell["source"].splitlines()
        if PARAMETERS_TAG not in cell["metadata"].get("tags", []):
            assert len(lines) <= LINES_PER_CELL, f"cell {cell['id']} has {len(lines)} lines"
        for node in ast.walk(_tree(cell)):
            assert not isinstance(node, ast.ClassDef), f"cell {cell['id']} defines a class"
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= LINES_PER_FUNCTION, f"{node.name} has {length} lines"


@EVERY_STEP
def test_a_notebook_tells_its_story_in_order(step: Step) -> None:
    cells = read_cells(step)
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"].startswith("# ")
    sources = [cell["source"] for cell in _code(step)]
    assert PARAMETERS_TAG in _code(step)[0]["metadata"].get("tags", []), "parameters come before any other code"
    assert f'Stage.open("{step.stage}", globals())' in "\n".join(sources[1:3])
    last = _tree(_code(step)[-1]).body[-1]
    assert ast.unparse(last).startswith("stage.record("), "what is recorded has passed every assertion"
    assert "stage.record(" not in "\n".join(sources[:-1])
    assert any(cell["cell_type"] == "markdown" for cell in cells[3:])


def test_every_notebook_is_a_step_of_the_chain() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(step.notebook for step in CHAIN)

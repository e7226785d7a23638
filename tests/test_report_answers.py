"""The sentence that each notebook begins with: one per stage, from recorded metrics, and this run's own at its end."""

import importlib
import json
from collections.abc import Callable, Mapping

import nbformat
import pytest
from toychain import PROFILE, toy_chain

from hare.core.chain import CHAIN, Step
from hare.core.paths import Workspace
from hare.core.provenance import sealed
from hare.driver.notebooks import read_cells
from hare.driver.reproduce import reproduce
from hare.report.answers.numbers import number
from hare.report.recorded import Recorded

EVERY_STEP = pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.notebook)


def _answer(step: Step) -> Callable[[Mapping[str, float]], str]:
    return importlib.import_module(f"hare.report.answers.{step.stage}").answer


@EVERY_STEP
def test_a_notebook_begins_with_the_answer_of_its_own_stage(step: Step) -> None:
    code = [cell["source"] for cell in read_cells(step) if cell["cell_type"] == "code"]
    assert f"from hare.report.answers.{step.stage} import answer" in "\n".join(code[:2])
    assert "stage.answer(answer)" in "\n".join(code[:3])


@EVERY_STEP
def test_every_number_of_an_answer_is_recorded(step: Step) -> None:
    assert "not recorded" in _answer(step)({}) or "not measured" in _answer(step)({})
    metrics = Recorded("laptop").metrics(step.stage)
    if metrics:
        assert "not recorded" not in _answer(step)(metrics)


def test_a_number_stands_with_its_interval() -> None:
    metrics = {"a": 0.25, "b": 1234.5, "b.low": 1000.0, "b.high": 2000.0}
    assert number(metrics, "a", ".0%") == "25%"
    assert number(metrics, "b", ",.0f") == "1,234 [1,000, 2,000]"
    assert number(metrics, "c", ".1f") == "not recorded"


def test_a_run_puts_its_own_answer_in_the_place_of_the_last_record_s(roots) -> None:
    folder = Workspace(PROFILE.name).results / "corpus"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(sealed({"metrics": {"total": 7}, "provenance": {}})))
    cell = "stage.answer(lambda metrics: f\"the total is {metrics['total']}\")"
    chain = toy_chain(roots / "notebooks", {"corpus": cell}, length=1)
    reproduce(PROFILE, chain=chain)
    kept = nbformat.read(Workspace(PROFILE.name).results / "notebooks" / "01_count.ipynb", as_version=4)
    shown = [output.data["text/markdown"] for cell in kept.cells for output in cell.get("outputs", [])
             if "text/markdown" in output.get("data", {})]
    assert shown == ["**Answer, as recorded.** the total is 1"]

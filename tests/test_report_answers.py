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
from hare.report.answers import decontamination, finetuning, leakage, study, training
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
    notebook = nbformat.read(Workspace(PROFILE.name).results / "notebooks" / "01_count.ipynb", as_version=4)
    shown = [output.data["text/markdown"] for cell in notebook.cells for output in cell.get("outputs", [])
             if "text/markdown" in output.get("data", {})]
    assert shown == ["**Answer, as recorded.** the total is 1"]


def _interval(name: str, low: float, high: float) -> dict[str, float]:
    return {name: (low + high) / 2, f"{name}.low": low, f"{name}.high": high}


@pytest.mark.parametrize(("share", "any_run", "sentence"), [
    ((0.0, 0.0), (0.9, 1.0), "sees nothing inside"), ((0.1, 0.3), (0.9, 1.0), "sees less inside"),
    ((0.1, 0.9), (0.2, 0.9), "is not seen to be worse"),
])
def test_the_finding_of_03_follows_its_numbers(share: tuple, any_run: tuple, sentence: str) -> None:
    rate = "planted.inside_a_document.{}.detection_rate".format
    metrics = _interval(rate("document-share-10-15"), *share) | _interval(rate("any-13-gram"), *any_run)
    assert sentence in decontamination.answer(metrics)


@pytest.mark.parametrize(("h3", "p", "sentence"), [
    ((-2, -1), (1, 2), "further tasks are predicted better; benchmark answers by the registered rule: undecided."),
    ((1, 2), (-2, -1), "further tasks are predicted worse; benchmark answers by the registered rule: undecided."),
    ((-1, 1), (-2, -1), "the treatment failed, and benchmark answers say nothing about it."),
])
def test_the_finding_of_05_follows_its_check_and_its_registered_outcome(h3: tuple, p: tuple, sentence: str) -> None:
    metrics = _interval("contrast.c-a2.h3", *h3) | _interval("contrast.c-a2.p", *p) | _interval("contrast.d-a.p", 1, 2)
    told = training.answer(metrics, {"c-a2": "undecided", "d-a": "equivalent"})
    assert sentence in told and "+1.500 [+1.000, +2.000] (equivalent) with the paper's whole mixture" in told
    assert "registered" not in training.answer(metrics), "an interval alone is no outcome"


def test_the_answer_of_05_names_the_arms_of_a_profile_without_the_contrast_of_tasks() -> None:
    metrics = _interval("contrast.without_language-a.p", -0.02, 0.04) | _interval("contrast.tasks_10-a.p", -0.03, -0.01)
    assert training.answer(metrics).endswith(
        "without language − a +0.010 [-0.020, +0.040]; tasks 10 − a -0.020 [-0.030, -0.010]."
    )
    metrics |= _interval("slope.n", -0.2, -0.1) | _interval("slope.h1", -0.1, 0.0)
    assert "held-out text by -0.050 [-0.100, +0.000], which is not seen to differ from zero, and neutral text by " \
           "-0.150 [-0.200, -0.100]; from one topic to three" in training.answer(metrics)


@pytest.mark.parametrize(("law", "alone", "held", "sentence"), [
    ((0.02, 0.06), (0.01, 0.07), 1.0, "[+0.020, +0.060], by the differences alone +0.040 [+0.010, +0.070]: worse."),
    ((-0.06, -0.02), (-0.07, -0.01), 1.0, "alone -0.040 [-0.070, -0.010]: better."),
    ((-0.02, 0.06), (-0.03, 0.07), 1.0, "it cannot be told."), ((0.02, 0.06), (-0.01, 0.07), 1.0, "it cannot be told."),
    ((0.02, 0.06), (0.01, 0.07), 0.0, "cannot be told: the law through the grid does not predict the longest run"),
])
def test_the_answer_of_05_goes_beyond_a_grid_only_as_far_as_its_law_holds(
    law: tuple, alone: tuple, held: float, sentence: str
) -> None:
    metrics = _interval("contrast.c-a.p", -0.02, 0.04) | _interval("scaling.p.extrapolated", *law)
    assert sentence in training.answer(metrics | _interval("scaling.p.alone", *alone) | {"scaling.p.held": held})


@pytest.mark.parametrize(("rare", "paper", "sentence"), [
    ((0.02, 0.01), (0.03, 0.01), "tokens from one reading on, in five tokens continued after 4 readings at all"),
    ((0.03, 0.5), (0.02, 0.03), "tokens not even after 4 readings, in five tokens continued not even after 4 readings"),
    ((0.5, 0.02), (0.02, 0.02), "tokens after 4 readings, in five tokens continued from one reading on at all"),
])
def test_the_finding_of_07_names_the_first_dose_that_the_registered_test_sees(
    rare: tuple, paper: tuple, sentence: str
) -> None:
    metrics: dict[str, float] = {}
    for estimator, chances in (("min_k", rare), (leakage.REGISTERED, paper), (leakage.PAPERS, (1.0, 1.0))):
        for dose, p in zip((1, 4), chances, strict=True):
            end = f"{estimator}.dose_{dose}"
            metrics |= _interval(f"auc.{end}", 0.6, 0.9) | {f"p.{end}": p, f"power.{end}": 0.1 * dose + 0.1}
    told = leakage.answer(metrics)
    assert sentence in told and "not even after 4 readings at the paper's five places.**" in told
    assert "shows it in at least half of the tests after 4 readings." in told
    assert leakage.answer(metrics | {"negative_control.leaks": 1, "negative_control.tests": 30}).endswith(
        "1 of 30 tests of it see a leak.")


@pytest.mark.parametrize(("marked", "copied", "sentence"), [
    ((0.8, 0.9), (0.0, 0.1), "Copying arguments fails"), ((0.8, 0.9), (0.6, 0.7), "points at arguments better"),
    ((0.2, 0.4), (0.1, 0.3), "not shown to be better"),
])
def test_the_finding_of_08_follows_its_intervals(marked: tuple, copied: tuple, sentence: str) -> None:
    assert sentence in finetuning.answer(_interval("tool.test.hare-tool.with_arguments", *marked)
                                     | _interval("tool.test.copying.with_arguments", *copied))


@pytest.mark.parametrize(("low", "sentence"), [(-0.5, "tables cannot show"), (0.2, "tables show")])
def test_the_finding_of_10_follows_its_correlation(low: float, sentence: str) -> None:
    assert sentence in study.answer(_interval("printed.score_leakage_rank_correlation.test", low, 0.9))

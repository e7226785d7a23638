"""The parameters of a notebook's run, and the folders that it writes to."""

from pathlib import Path
from typing import Any

import pytest
from papermill.translators import PythonTranslator

from hare.core.chain import CHAIN, Step, step_of_stage
from hare.core.errors import HareError
from hare.core.parameters import Parameters
from hare.core.profile import known_profiles, load_profile

TRAINING = step_of_stage("training")
LAPTOP = load_profile("laptop").fields()


@pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.stage)
def test_the_profiles_own_values_are_the_record(step: Any) -> None:
    for name in ("laptop", "smoke"):
        fields = load_profile(name).fields()
        parameters = Parameters.of(step, {"profile": name} | {key: fields[key] for key in step.parameters})
        assert parameters.changes == {} and parameters.variant == ""
        assert parameters.values(step) == {"profile": name} | {key: fields[key] for key in step.parameters}


def test_literals_of_the_committed_cell_leave_the_choice_to_the_profile() -> None:
    parameters = Parameters.of(TRAINING, {"profile": "smoke"} | {key: LAPTOP[key] for key in TRAINING.parameters})
    assert parameters.changes == {} and parameters.profile.training.train_steps == 12


@pytest.mark.parametrize(("cell", "variant"), [
    ({"learning_rate": 1e-3}, "learning_rate-0.001"),
    ({"learning_rate": 1e-3, "train_steps": 50}, "learning_rate-0.001,train_steps-50"),
    ({"learning_rate": 1e-3, "variant": "slower"}, "slower"),
    ({"variant": "lr-3e-3"}, "lr-3e-3"),
    ({"training_seeds": tuple(LAPTOP["training_seeds"])}, ""),
])
def test_changed_values_name_their_variant(cell: dict[str, Any], variant: str) -> None:
    assert Parameters.of(TRAINING, cell).variant == variant


def test_values_that_cannot_make_a_name_are_named_by_their_digest() -> None:
    variants = {
        Parameters.of(TRAINING, {"arms": {"d1": {"d1": 1.0}, "d1+d2+d3": {"d1": weight, "d3": 2.0}}}).variant
        for weight in (1.0, 2.0)
    }
    assert len(variants) == 2 and all(len(name) == 16 and name.startswith("changed-") for name in variants)


@pytest.mark.parametrize("variant", ["a/b", "../up", "", "a@b", ".", "-x", "a b", "x" * 61, 3, None])
def test_a_variant_is_a_plain_name(variant: Any) -> None:
    if variant == "":
        assert Parameters.of(TRAINING, {"variant": variant}).variant == ""
        return
    with pytest.raises(HareError, match=r"variant = .* cannot name a folder"):
        Parameters.of(TRAINING, {"variant": variant})


@pytest.mark.parametrize(("cell", "message"), [
    ({"learning_rate": 0}, "training.learning_rate = 0: choose more than 0"),
    ({"train_steps": 5}, "training.warmup_steps = .*: not below train_steps 5"),
    ({"arms": {"d1": {"d1": 1}, "x": {"d9": 1}}}, r"training.arms.x.d9 = 'd9': choose one of 'd1'"),
    ({"items_per_task": 7}, "05_pretrain_arms does not depend on items_per_task"),
    ({"profile": "labtop"}, "There is no profile 'labtop'"),
])
def test_a_cell_passes_through_the_checks_of_a_profile(cell: dict[str, Any], message: str) -> None:
    with pytest.raises(HareError, match=message):
        Parameters.of(TRAINING, cell)


def test_other_names_of_a_notebook_are_not_parameters() -> None:
    import hare.corpus.statistics as topics

    assert Parameters.of(TRAINING, {"topics": topics, "schedule": len, "whatever": 3}).changes == {}


def test_what_a_step_does_not_name_is_at_its_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {learning_rate: 0.01, train_steps: 50}\n")
    tokens = Parameters.of(step_of_stage("tokens"), {"profile": str(path)}).profile.training
    assert (tokens.train_steps, tokens.learning_rate) == (50, LAPTOP["learning_rate"])


@pytest.mark.parametrize("name", known_profiles())
@pytest.mark.parametrize("step", CHAIN, ids=lambda step: step.stage)
def test_values_in_papermills_form_make_no_variant(step: Step, name: str) -> None:
    cell: dict[str, Any] = {}
    fields = load_profile(name).fields()
    injected = {"profile": name} | {key: fields[key] for key in step.parameters}
    exec(PythonTranslator.codify(injected), cell)  # as papermill injects parameters
    assert Parameters.of(step, cell).variant == ""

"""The Berkeley sets with their own checker, and the model that reads schemas."""

import random
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hare.core.sections import Finetuning
from hare.finetuning.dialogue import load_for_chat
from hare.finetuning.marks import pieces_of
from hare.finetuning.outside import asked as outside
from hare.finetuning.outside import bfcl, schema
from hare.finetuning.outside.bfcl import BfclItem, Parameter, Schema
from hare.finetuning.outside.schema import SchemaModel, training_examples, value_of
from hare.finetuning.scoring import accuracy_table
from hare.finetuning.tool_data import plain_set
from hare.finetuning.tools import ToolModel
from tests.chat_toys import save_toy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_toy(tmp_path_factory.mktemp("outside") / "hf")


def test_the_sets_are_whole_and_their_own_checker_decides() -> None:
    assert [len(bfcl.items(name)) for name in bfcl.SETS] == [400, 200, 240]
    item = bfcl.items("bfcl-simple")[0]
    assert bfcl.is_right(item, ("calculate_triangle_area", {"base": 10, "height": 5}))
    assert not bfcl.is_right(item, ("calculate_triangle_area", {"base": 10, "height": 6}))
    assert not bfcl.is_right(item, ("calculate_triangle_area", {"base": "10", "height": 5}))
    assert not bfcl.is_right(item, ("calculate_triangle_area", {"base": 10}))
    assert not bfcl.is_right(item, ("another", {"base": 10, "height": 5})) and not bfcl.is_right(item, None)
    nothing = bfcl.items("bfcl-irrelevance")[0]
    assert bfcl.is_right(nothing, None) and not bfcl.is_right(nothing, ("calculate_triangle_area", {}))


@pytest.mark.parametrize("name", ["bfcl-simple", "bfcl-multiple"])
def test_every_right_answer_is_right_to_the_checker(name: str) -> None:
    for item in bfcl.items(name)[::7]:
        (function, values), = item.answers[0].items()
        arguments = {key: listed[0] for key, listed in values.items() if listed[0] != ""}
        if item.expressible and all(not isinstance(value, list | dict) for value in arguments.values()):
            assert bfcl.is_right(item, (function, arguments)), item.id


def _item(kind: str, answers: int = 1) -> BfclItem:
    one = Schema("f", "", (Parameter("x", kind, "", True), Parameter("y", "array", "", False)), {})
    return BfclItem("i", "bfcl-simple", "r", (one,), ({"f": {"x": [1]}},) * answers)


def test_nested_arguments_and_parallel_calls_cannot_be_expressed() -> None:
    assert _item("integer").expressible and _item("string", answers=0).expressible
    assert not _item("array").expressible and not _item("dict").expressible and not _item("string", 2).expressible
    table = bfcl.expressible_table().set_index("test_set")
    assert (table.flat <= table["items"]).all() and table.of_ours.sum() < 10


@pytest.mark.parametrize(("kind", "choices", "words", "value"), [
    ("integer", (), "about 1,200 units", 1200), ("float", (), "-0.5%", -0.5), ("integer", (), "many", "many"),
    ("boolean", (), "yes", True), ("string", ("metric units", "imperial"), "in Imperial please", "imperial"),
    ("string", (), "Paris, ", "Paris"), ("float", (), "3", 3.0),
])
def test_words_become_values_of_the_parameters_kind(kind: str, choices: tuple, words: str, value: object) -> None:
    result = value_of(Parameter("x", kind, "", True, choices), words)
    assert result == value and type(result) is type(value)


@given(st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=12))
def test_a_value_is_the_stretch_with_the_highest_sum(gains: list[float]) -> None:
    request = " ".join(f"w{place}" for place in range(len(gains)))
    words = schema._stretch(request, gains).split()
    first = int(words[0][1:])
    assert words == request.split()[first : first + len(words)]
    best = max(sum(gains[a:b]) for a in range(len(gains)) for b in range(a + 1, len(gains) + 1))
    assert sum(gains[first : first + len(words)]) == pytest.approx(best)


def test_questions_are_learnt_by_their_answers_alone(folder: Path) -> None:
    dialogue = load_for_chat(folder, 0).dialogue
    items = plain_set("train", {"call_contact": 5, "send_email": 5}, 0)
    examples = training_examples(dialogue, items, 60, 0)
    answers = {*dialogue.api_ids, *dialogue.mark_ids}
    for example in examples:
        learnt = [token for token, scored in zip(example.ids, example.scored, strict=True) if scored]
        assert learnt and set(learnt) <= answers
    assert training_examples(dialogue, items, 60, 0) == examples
    assert not set(schema._tools()) & {
        one.name for name in bfcl.SETS for item in bfcl.items(name) for one in item.functions}


def test_an_invented_function_differs_from_its_twin_by_the_noun_alone() -> None:
    for number in range(30):
        request, ((wanted, yes), (other, no)), slots = schema._invented(random.Random(number), ())
        ours, theirs = (set(re.findall(r"[a-z]+", text.lower())) for text in (wanted, other))
        assert yes and not no and ours != theirs
        noun = next(iter(ours - theirs))
        assert noun in request.lower() and all(value in request for _, value in slots)
    assert not set(schema._tools()["kept_aside"]) & set(schema._tools()["written"])


def test_the_limit_is_set_where_functions_kept_aside_are_best_told_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SchemaModel(load_for_chat(folder, 0))
    monkeypatch.setattr(model, "_wanted", lambda pairs: [
        -2.0 - number % 2 for number in range(len(pairs))])  # wanted and unwanted in turn, all below 0
    assert model.calibrate(0) == 1.0 and model.limit == -3.0


def test_a_run_answers_all_three_sets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: bfcl.items(name)[:4] for name in bfcl.SETS}
    monkeypatch.setattr(bfcl, "items", few.__getitem__)
    items = plain_set("train", {"call_contact": 5}, 0)
    done = outside.schema_answers(folder, items, Finetuning(tool_steps=2, tool_batch=4), 0)
    phone = outside.phone_answers(ToolModel("hare-tool", load_for_chat(folder, 0)), 0)
    for rows in (done["rows"], phone):
        table = accuracy_table(rows)
        assert list(table[table.part == "all"].test_set) == list(bfcl.SETS)
        assert table.exact.between(0, 1).all()


def test_in_a_batch_marks_are_what_they_are_alone(folder: Path) -> None:
    model = SchemaModel(load_for_chat(folder, 0))
    questions = [("find flights from Rome to Oslo", Parameter("to", "string", "where to", True)),
                 ("hm", Parameter("x", "string", "anything", True))]
    together = model._values(questions)
    assert together == [model._values([one])[0] for one in questions]
    assert all(value in request for value, (request, _) in zip(together, questions, strict=True))
    assert pieces_of("hm") == [(0, 2)]

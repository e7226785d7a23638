"""D3 items: builders, validation, wordings, diversity, gates."""

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.data.diversity import distinct_ngrams, topic_entropy
from hare.synthesis.diversity import self_bleu
from hare.synthesis.passages import Passage
from hare.synthesis.tasks.builders import BUILDERS, is_whole
from hare.synthesis.tasks.items import (
    MOST_TOKENS,
    Item,
    documents,
    objection_to,
    passage_documents,
    rendered,
    tokens_at_most,
    with_answers_shuffled,
    wordings,
)
from hare.synthesis.tasks.material import Material, Topic
from hare.synthesis.tasks.open_sets import open_items
from hare.synthesis.tasks.restruct import build_items, category_mix, counted_items
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

_PROSE = (
    "Marseille is a port city in southern France. In 1720 the great plague reached the harbour, and many people died. "
    "The city council of Provence closed the gates, but ships kept arriving from Tunis. Later the city grew quickly, "
    "because the harbour brought trade, sailors and money. Trade made people rich; the plague did "
    "not return to the city for as long as anyone could remember."
)
_CODE = (
    'def parse_header(line):\n    """Return the name and value of one header line."""\n'
    "    name, _, value = line.partition(':')\n    if not name:\n        raise ValueError(line)\n"
    "    return name.strip(), value.strip()\n"
)
_MATHS = "Question: Solve 2*x = 8 for x.\nAnswer: 4\nQuestion: What is 3 + 4?\nAnswer: 7"
_TOPIC = Topic(
    "harbour, ship, trade", ("anchor", "vessel", "market", "bridge", "canals", "tower"),
    ("Genoa", "Lisbon"), ("Nobody expected the harvest to fail that year.", "The old bridge fell into the river."),
)


def material(text: str, category: str = "wikipedia", name: str = "doc#0") -> Material:
    return Material.of(Passage(name, name[:-2], "s", category, text), _TOPIC)


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_each_builder_makes_valid_and_repeatable_items(kind):
    text = {"arithmetic": _MATHS, "function_name": _CODE, "function_purpose": _CODE}.get(kind, _PROSE)
    built = [BUILDERS[kind](material(text), random.Random(seed)) for seed in range(20)]
    items = [item for item in built if item is not None]
    assert items and all(objection_to(item) is None for item in items)
    assert built == [BUILDERS[kind](material(text), random.Random(seed)) for seed in range(20)]
    assert all(item.answer in rendered(item) for item in items)


def test_an_altered_claim_is_marked_false_and_is_not_in_the_passage():
    items = [BUILDERS["true_false"](material(_PROSE), random.Random(seed)) for seed in range(60)]
    answers = {item.answer for item in items if item}
    assert answers == {"True", "False"}
    assert all((item.question in _PROSE) == (item.answer == "True") for item in items if item)


def test_the_order_that_is_asked_for_restores_the_text():
    item = BUILDERS["ordering"](material(_PROSE), random.Random(1))
    lines = [line.split(") ", 1)[1] for line in item.question.split("\n")]
    assert " ".join(lines[int(place) - 1] for place in item.answer.split(", ")) == _PROSE


@given(st.text(max_size=300), st.sampled_from(sorted(BUILDERS)), st.sampled_from(["wikipedia", "code", "math"]))
def test_builders_survive_any_text(text, kind, category):
    item = BUILDERS[kind](material(text, category), random.Random(0))
    assert item is None or isinstance(item, Item)


@pytest.mark.parametrize(("change", "objection"), [
    ({"answer": " "}, "an empty field"),
    ({"kind": "riddle"}, "an unknown kind"),
    ({"options": ("x", "y")}, "the answer is not among the options"),
    ({"options": ("harbour", "Harbour")}, "options that repeat, or only one"),
    ({"options": ("harbour",)}, "options that repeat, or only one"),
    ({"evidence": "submarine"}, "an answer that the passage does not support"),
    ({"evidence": "arbour"}, "an answer that the passage does not support"),
    ({"passage": "word " * 400}, "too long"),
])
def test_an_invalid_item_is_rejected_for_the_right_reason(change, objection):
    valid = Item("cloze", "built", "doc#0", "d1", "wikipedia", "t", _PROSE, "", "harbour", _PROSE, "harbour")
    assert objection_to(valid) is None
    assert objection_to(dataclasses.replace(valid, **change)) == objection


def test_the_token_estimate_is_on_the_safe_side():
    tokenizer = fast_tokenizer(mistral_model())
    for text in (_PROSE, _CODE, _MATHS, "Ça coûte 12 €, naïve “quotes” …", "x" * 50, "def f(): return {1: [2, 3]}"):
        assert len(tokenizer(text)["input_ids"]) <= tokens_at_most(text) <= 4 * len(text) + 4


def test_open_items_are_valid_short_and_repeatable():
    items = open_items(60, seed=0)
    assert len(items) == 60 and items == open_items(60, seed=0)
    assert all(tokens_at_most(rendered(item)) <= MOST_TOKENS and item.method == "open set" for item in items)
    assert len({item.source for item in items}) == 60


def test_items_are_even_over_kinds_and_then_over_categories():
    prose = {f"{c}/{n}": material(_PROSE.replace("1720", str(1600 + n)), c, f"{c}{n}#0")
             for c in ("law", "news", "wikipedia") for n in range(12)}
    items, rejected = build_items(list(prose.values()), 90, seed=0)
    assert len(items) == 90 and items == build_items(list(prose.values())[::-1], 90, seed=0)[0]
    kinds = Counter(item.kind for item in items)
    assert max(kinds.values()) - min(kinds[kind] for kind in kinds if kind != "definition") <= 1
    categories = Counter(item.category for item in items if item.kind != "definition")
    assert max(categories.values()) - min(categories.values()) <= kinds["definition"] + 1
    mix = category_mix(counted_items(items))
    assert mix["items"].sum() == 90 and mix["share"].sum() == pytest.approx(1)
    assert list(rejected.columns) == ["kind", "objection", "items"]


def test_shuffled_answers_keep_the_form_and_every_answer_of_a_kind():
    items, _ = build_items([material(_PROSE, "news", f"{n}#0") for n in range(9)], 60, seed=0)
    shuffled = with_answers_shuffled(items, seed=1)
    assert [dataclasses.replace(s, answer=i.answer) for s, i in zip(shuffled, items, strict=True)] == items
    assert any(s.answer != i.answer for s, i in zip(shuffled, items, strict=True))
    for kind in {item.kind for item in items if not item.options}:
        before, after = ([i.answer for i in rows if i.kind == kind] for rows in (items, shuffled))
        assert sorted(before) == sorted(after)
    assert all(item.answer in item.options for item in shuffled if item.options)
    rows, plain = documents(shuffled, "d3_shuffled"), documents(items)
    assert [row["id"].split("/", 1)[1] for row in rows] == [row["id"].split("/", 1)[1] for row in plain]


def test_the_passages_of_the_items_are_each_there_once_and_as_they_stand():
    items, _ = build_items([material(_PROSE + f" {n}.", "news", f"{n}#0") for n in range(5)], 40, seed=0)
    rows = passage_documents([*items, *open_items(3, seed=0)])
    assert sorted(row["metadata"]["seed_passage"] for row in rows) == [f"{n}#0" for n in range(5)]
    assert {row["text"] for row in rows} == {_PROSE + f" {n}." for n in range(5)}
    assert all(row["metadata"]["kind"] == "passage" and row["metadata"]["category"] == "news" for row in rows)


@pytest.mark.parametrize(("sentence", "whole"), [
    ("The plague reached the harbour.", True), ("“He left the harbour at noon,” she said.", True),
    ("(2023 est.", False),
    ("the plague reached the harbour.", False), ("The plague reached the harbour", False),
    ("It fell (see the map.", False), ("A 12 34 56 78 90 11 12 13 14 15 16.", False),
])
def test_only_whole_sentences_are_asked_about(sentence, whole):
    assert is_whole(sentence) == whole


def test_a_function_that_is_cut_off_or_a_test_gives_no_item():
    cut_off, a_test = _CODE.replace("raise ValueError(line)", "raise ValueError("), _CODE.replace("parse", "test")
    for code in (cut_off, a_test):
        assert BUILDERS["function_name"](material(code, "code"), random.Random(0)) is None


def test_every_kind_has_wordings_that_hold_the_answer():
    assert set(BUILDERS) <= set(wordings()) and min(map(len, wordings().values())) >= 12
    assert all(len(set(texts)) == len(texts) for texts in wordings().values())
    assert all("{answer}" in wording for texts in wordings().values() for wording in texts)


def test_diversity_of_known_texts():
    assert topic_entropy(np.array([0, 1, 2, 3]), 4) == pytest.approx(np.log(4))
    assert topic_entropy(np.array([2, 2]), 4) == 0
    assert distinct_ngrams(["a b a b"], 2, 100) == pytest.approx(2 / 3)
    same, different = ["one two three four five"] * 3, ["a b c d e", "f g h i j", "k l m n o"]
    assert self_bleu(same) == pytest.approx([1, 1, 1])
    assert self_bleu(different).max() < 0.2 and self_bleu(same[:1]).tolist() == [0] and self_bleu([]).size == 0

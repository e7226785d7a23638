"""Held-out questions: in D3's words, answerable, apart from the training data; scored and tabled by group."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hare.core.errors import HareError
from hare.data.shards import read_documents
from hare.evaluation.heldout import TEXT, Question, task_questions, text_questions, unseen
from hare.synthesis.passages import Passage
from hare.synthesis.tasks.builders import BUILDERS
from tests.evaluation_toys import WORDS

PLACES = ("Harbour", "Meadow", "Castle", "Village", "Forest", "Market")


def passage(number: int, source: str = "letters") -> Passage:
    rng = np.random.default_rng(number)
    words = [WORDS[i] for i in rng.integers(0, len(WORDS), 40)]
    place = PLACES[number % len(PLACES)]
    text = (
        f"The {words[0]} of {place} was built in {1700 + number} by a {words[1]} who loved every {words[2]} there. "
        f"In the {words[3]} of that year, {place}, a town of {words[4]} and {words[5]}, sold its {words[6]} again. "
        f"The {place} Society is a group of people who keep the {words[7]} and the {words[8]} of the old {words[9]}. "
        f"They say that {' '.join(words[10:22])} came before the long {words[23]} and the last {words[24]}."
    )
    return Passage(f"{source}/{number}#0", f"{source}/{number}", source, "books", text)


def source_of(one: Passage) -> str:
    return one.source


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return [passage(number, source) for source in ("letters", "novels") for number in range(60)]


@pytest.fixture(scope="module")
def tasks(passages: list[Passage]) -> list[Question]:
    return task_questions(passages, 4, seed=0)


def test_every_task_of_a_kind_has_choices_or_none_has() -> None:
    """Problems of mathematics may well be answered by True; that makes them no task of choice."""
    lines = "".join(f"Question: Is {n} less than {n % 3}?\nAnswer: {n < n % 3}\n" for n in range(9))
    maths = [Passage(f"maths/{n}#0", f"maths/{n}", "maths", "math", lines + f"Question: {n} + 1\nAnswer: {n + 1}\n")
             for n in range(40)]
    questions = task_questions([*maths, *(passage(number) for number in range(60))], 30, seed=0)
    choices = pd.DataFrame([(q.group, len(q.choices) > 1) for q in questions], columns=["kind", "choice"])
    assert choices.groupby("kind")["choice"].nunique().eq(1).all() and "arithmetic" in set(choices["kind"])
    assert any(q.choices[0].strip() == "False" for q in questions if q.group == "arithmetic")


def test_texts_are_one_passage_per_document_and_few_of_each_source(passages: list[Passage]) -> None:
    twice = [*passages, *(Passage(f"{p.document}#1", p.document, p.source, p.category, "other") for p in passages)]
    questions = text_questions(twice, 5, 0, source_of)
    assert [q.group for q in questions] == ["letters"] * 5 + ["novels"] * 5
    assert len({q.document for q in questions}) == 10
    assert all(q.context == "" and q.choices == (q.support,) for q in questions)
    assert questions == text_questions(list(reversed(twice)), 5, 0, source_of) != text_questions(twice, 5, 1, source_of)


def test_tasks_are_d3s_kinds_cut_before_the_answer(tasks: list[Question]) -> None:
    kinds = {q.group for q in tasks}
    assert {"cloze", "multiple_choice", "true_false", "next_sentence", "completion"} <= kinds <= set(BUILDERS)
    assert pd.Series([q.group for q in tasks]).value_counts().max() == 4
    for question in tasks:
        assert question.context == question.context.rstrip() and question.context
        assert len(set(question.choices)) == len(question.choices) > question.gold
        assert all(choice != choice.lstrip() for choice in question.choices)
        if question.group == "multiple_choice":
            assert [choice.strip()[0] for choice in question.choices] == list("ABCD")
            assert question.choices[question.gold].split(". ")[1].casefold() in question.support.casefold()
        if question.group == "true_false":
            assert [choice.strip() for choice in question.choices] == ["True", "False"]
    assert all(len(q.choices) == 1 for q in tasks if q.group in ("cloze", "completion", "ordering"))


def write(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir()
    (folder / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def trained(text: str, name: str = "other/1", **metadata: str) -> dict:
    return {"text": text, "id": name, "metadata": {"source": "other", "category": "books"} | metadata}


def test_passages_that_training_quotes_are_left_out_and_counted(passages: list[Passage], tmp_path: Path) -> None:
    questions = text_questions([*passages[:10], passage(1, "single")], 10, 0, source_of)
    quoted = questions[3].support
    half = " ".join(questions[5].support.split()[:25])
    folder = write(tmp_path / "d1", [trained(f"He wrote: {quoted.upper()}"), trained(half), trained("Nothing alike.")])
    unquoted, counted = unseen(questions, read_documents(folder), 0.5, 2)
    assert unquoted == questions[:3] + questions[4:10], "nor is a single passage of a source of any use"
    assert counted.to_dict("records") == [
        {"benchmark": TEXT, "group": "letters", "made": 10, "overlapping": 1, "kept": 9},
        {"benchmark": TEXT, "group": "single", "made": 1, "overlapping": 0, "kept": 0},
    ]


@pytest.mark.parametrize("row", [
    trained("Some text.", name="letters/3"), trained("A task.", name="d3/0", seed_passage="letters/3#7"),
])
def test_a_document_that_was_trained_on_is_refused(row: dict, passages: list[Passage], tmp_path: Path) -> None:
    with pytest.raises(HareError, match="Held-out documents are among the training data: letters/3"):
        unseen(text_questions(passages, 60, 0, source_of), read_documents(write(tmp_path / "d1", [row])), 0.5, 2)

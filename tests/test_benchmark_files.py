"""Each benchmark's file: rows in the hub's schema, the gold answer, and the form of the question."""

from pathlib import Path

import pytest

from hare.benchmarks import arc_challenge, gsm8k, hellaswag, mmlu, truthfulqa, winogrande
from hare.core.errors import HareError

HEADER = "Question,Best Answer,Correct Answers,Incorrect Answers\n"


def test_arc_has_letters_and_the_bare_question() -> None:
    document = {"id": "x", "query": "Question: Why?\nAnswer:", "choices": ["a", "b", "c"], "gold": 2}
    row = arc_challenge.row_of(document)
    assert (row["question"], row["choices"]["label"], row["answerKey"]) == ("Why?", ["A", "B", "C"], "C")
    assert arc_challenge.SPEC.cloze(row) == ("Question: Why?\nAnswer:", " c")
    assert arc_challenge.SPEC.texts(row) == ["Why?", "a", "b", "c"]


def test_gsm8k_is_asked_without_the_calculators_notes() -> None:
    row = gsm8k.row_of({"question": "1 + 2? ", "answer": "1 + 2 = <<1+2=3>>3\n#### 3", "other": 0})
    assert gsm8k.SPEC.cloze(row) == ("Question: 1 + 2?\nAnswer:", " 1 + 2 = 3\n#### 3")
    assert gsm8k.SPEC.question_answer(row)[1] == "1 + 2 = <<1+2=3>>3\n#### 3"


def test_hellaswag_keeps_activity_and_context_apart() -> None:
    row = hellaswag.row_of({"ind": 7, "query": "Cooking: A man: he", "choices": ["eats", "runs"], "gold": 1})
    assert (row["activity_label"], row["ctx"], row["label"]) == ("Cooking", "A man: he", "1")
    assert hellaswag.SPEC.cloze(row) == ("Cooking: A man: he", " runs")


def test_mmlu_answers_by_text_never_by_letter() -> None:
    row = {"question": "Which?", "choices": ["one", "two", "three", "four"], "answer": 3}
    assert mmlu.SPEC.question_answer(row) == ("Which?", "four")
    assert mmlu.SPEC.cloze(row)[1] == " four" and mmlu.SPEC.options(row) == row["choices"]


def test_winogrande_scores_what_follows_the_blank() -> None:
    row = winogrande.row_of({"sentence": "Ann thanked Eve because _ had helped.", "option1": "Ann", "option2": "Eve",
                             "answer": "2", "qID": "x"})
    assert winogrande.SPEC.cloze(row) == ("Ann thanked Eve because Eve", " had helped.")
    assert winogrande.SPEC.right_choices(row, " had helped.") == [1]


def test_truthfulqa_is_built_from_the_public_table(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    path.write_text(HEADER + "Why? ,Because,So; Because,Never.; No\n", encoding="utf-8")
    (row,) = truthfulqa.table(path).read()
    assert row["mc1_targets"] == {"choices": ["Because.", "Never.", "No."], "labels": [1, 0, 0]}
    assert row["mc2_targets"] == {"choices": ["So.", "Because.", "Never.", "No."], "labels": [1, 1, 0, 0]}
    assert truthfulqa.SPEC.right_choices(row, None) == [0, 1]


@pytest.mark.parametrize(("text", "reason"), [
    (HEADER, "it holds no row"), ("Question\nWhy?\n", "lacks the columns"), (HEADER + "Why?\n", "empty cell"),
])
def test_another_table_is_refused_by_its_path(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "TruthfulQA.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HareError, match=reason):
        list(truthfulqa.table(path).read())

"""Rewrites say the same in other words: numbers, options and calculations survive, and bad ones are refused."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.evaluation import rewrites
from hare.evaluation.leakage_sets import SampleSet, rows_of, sample_of, sample_sets
from hare.evaluation.rewrites import Sample, faults, novelty, rewrite
from hare.run.errors import HareError

GSM = Sample(
    "Janet has 3 ducks.  If each duck lays two eggs per day, she does not buy any.  How many eggs does Janet get?",
    "Janet gets 3*2=<<3*2=6>>6 eggs because 3 ducks lay.\n#### 6",
)
WORDS = st.sampled_from([
    "Janet", "Tom", "she", "has", "3", "two", "seven", "12", "apples", "because", "does not", "buys", "large", "a",
    "the", "If", "it rains,", "dogs bark.", "Then", "How many", "are there?", "$5", "2.5", "10%", "cars", "it's", "\n",
])


def test_a_rewrite_changes_words_order_and_people_but_not_the_task() -> None:
    changed = rewrite(GSM)
    assert faults(GSM, changed) == []
    assert changed.question.startswith("What number of eggs does ")
    assert "doesn't purchase" in changed.question and "2 eggs each day" in changed.question
    assert "Janet" not in changed.text
    name = re.search(r"^(\w+) gets", changed.answer)
    assert name and name[1] in changed.question, "people are renamed alike in question and answer"
    assert "3*2=<<3*2=6>>6" in changed.answer and changed.answer.endswith("#### 6")


def test_a_leading_clause_moves_behind() -> None:
    changed = rewrite(Sample("When the sun sets, the air cools.", "Stars appear."))
    assert changed.question == "The air cools when the sun sets."


def test_possessive_names_are_renamed_like_the_others() -> None:
    changed = rewrite(Sample("Ian ate Dennis's soup since", "Dennis despised soup."))
    assert "Dennis" not in changed.text and "Ian" not in changed.text
    assert re.search(r"(\w+)'s soup", changed.question)[1] in changed.answer  # type: ignore[index]


@given(st.lists(WORDS, min_size=1, max_size=30), st.lists(WORDS, min_size=1, max_size=10))
def test_rewriting_is_repeatable_and_never_loses_a_quantity(question: list[str], answer: list[str]) -> None:
    sample = Sample(" ".join(question), " ".join(answer))
    changed = rewrite(sample)
    assert changed == rewrite(sample)
    assert "the numbers of the question changed" not in faults(sample, changed)
    assert "the calculation in the answer changed" not in faults(sample, changed)


@given(st.integers(2, 6), st.data())
def test_options_change_place_and_the_key_follows(count: int, data: st.DataObject) -> None:
    options = tuple(f"thing {'abcdef'[number]}" for number in range(count))
    gold = data.draw(st.integers(0, count - 1))
    sample = Sample("Which of the following is it?", options[gold], options, gold)
    changed = rewrite(sample)
    assert sorted(changed.options) == sorted(options) and changed.options != options
    assert changed.options[changed.gold] == changed.answer == options[gold]
    assert changed.text.endswith(f"{'ABCDEF'[changed.gold]}. {options[gold]}")


@pytest.mark.parametrize(("damage", "message"), [
    ({"question": GSM.question}, "nothing changed"),
    ({"question": GSM.question.replace("3", "4")}, "the numbers of the question changed"),
    ({"answer": GSM.answer.replace("<<3*2=6>>", "")}, "the calculation in the answer changed"),
    ({"question": GSM.question * 3}, "the length changed too much"),
])
def test_a_bad_rewrite_is_named(damage: dict[str, str], message: str) -> None:
    assert message in faults(GSM, dataclasses.replace(GSM, **damage))


def test_a_rewrite_that_breaks_the_options_is_named() -> None:
    sample = Sample("Which?", "big dog", ("big dog", "large dog"), 0)
    assert "two options became one" in faults(sample, dataclasses.replace(sample, options=("big dog", "big dog")))
    assert "the answer is no longer the right option" in faults(sample, dataclasses.replace(sample, gold=1))


def test_exchanged_words_need_the_same_article() -> None:
    for word, other in rewrites._lexicon()["words"].items():
        assert (word[0] in "aeiou") == (other[0] in "aeiou"), f"a/an would be wrong after {word} → {other}"


def test_novelty_runs_from_nothing_to_everything() -> None:
    assert novelty("a b c d", "a b c d") == 0
    assert novelty("a b c d", "e f g h") == 1
    assert 0 < novelty(GSM.text, rewrite(GSM).text) < 1


def test_most_benchmark_items_can_be_rewritten() -> None:
    made = {samples.split: samples for samples in sample_sets(["arc_challenge"], 200, seed=3)}
    assert list(made) == ["train", "test"]
    for samples in made.values():
        assert len(samples.originals) == 200 and samples.skipped.get("nothing changed", 0) <= 4
        assert samples.novelty > 0.25
        assert all(a != b for a, b in zip(samples.originals, samples.rewrites[0], strict=True))
    assert made["test"] == {s.split: s for s in sample_sets(["arc_challenge"], 200, seed=3)}["test"]


def test_text_forms_follow_the_method_s_code() -> None:
    hellaswag = sample_of("hellaswag", {"activity_label": "Baking", "ctx": "A man bakes", "endings": ["bread."],
                                        "label": "0"})
    assert hellaswag.text == "Baking: A man bakesbread."
    arc = sample_of("arc_challenge", rows_of("arc_challenge", "test")[0])
    assert " A. " in arc.text and arc.text.endswith(f"{'ABCD'[arc.gold]}. {arc.answer}")


def test_an_item_without_a_label_is_refused() -> None:
    with pytest.raises(HareError, match="no usable gold label"):
        sample_of("hellaswag", {"activity_label": "x", "ctx": "y", "endings": ["z"], "label": ""})


def test_published_rewrites_are_joined_by_the_original_question(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of("gsm8k", "test")[:6]
    versions = [
        [{"original_question": row["question"], "question": f"{mark} {row['question']}", "answer": row["answer"]}
         for row in reversed(rows[:kept])]
        for mark, kept in (("One:", 5), ("Two:", 4))
    ]
    monkeypatch.setattr("hare.evaluation.leakage_sets.rows_of", lambda name, split: rows)
    monkeypatch.setattr("hare.decontamination.benchmarks.rewrites",
                        lambda name, split: versions if split == "test" else [])
    made = {(s.split, s.rewriter): s for s in sample_sets(["gsm8k"], 10, seed=0)}[("test", "published")]
    assert made.name == "gsm8k-published-rewrites" and made.skipped == {"not in every rewritten set": 2}
    assert len(made.originals) == 4
    for original, first, second in zip(made.originals, *made.rewrites, strict=True):
        assert (first, second) == (f"One: {original}", f"Two: {original}")


def test_a_rewritten_set_of_another_length_is_refused() -> None:
    with pytest.raises(HareError, match=r"2 originals, but rewritten sets of \[1\]"):
        SampleSet("gsm8k", "test", "published", ("a", "b"), (("c", "d"), ("e",)), {})
    with pytest.raises(HareError, match="rewritten sets of none"):
        SampleSet("gsm8k", "test", "published", ("a", "b"), (), {})

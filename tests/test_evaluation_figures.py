"""Figures of the evaluation can be drawn from their CSV files alone and state what these say."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from hare.evaluation.reading import letter_table
from hare.report.evaluation_figures import draw_letters, draw_scores
from hare.report.training_figures import _against_tables

ARMS = ("a", "b", "c")
BENCHMARKS = ("arc_challenge", "winogrande", "average")


@pytest.fixture(autouse=True)
def closed_figures() -> object:
    yield
    plt.close("all")


def scores(low: float) -> pd.DataFrame:
    rows = [{"benchmark": benchmark, "arm": arm, "value": 0.3, "low": low, "high": 0.4, "chance": 0.25, "items": 10}
            for benchmark in BENCHMARKS for arm in ARMS]
    return pd.DataFrame(rows)


def test_scores_are_set_against_guessing() -> None:
    assert "No arm is above guessing on any of 2" in draw_scores(scores(0.2)).get_suptitle()
    assert "above guessing on 2 of 2" in draw_scores(scores(0.26)).get_suptitle()


def test_a_constant_letter_is_shown_as_what_it_is() -> None:
    items = pd.DataFrame({
        "benchmark": "mmlu", "arm": ["a"] * 4 + ["c"] * 4, "task": "t", "item": [0, 1, 2, 3] * 2,
        "gold": [0, 1, 2, 2] * 2, "preferred": [1] * 4 + [0, 1, 1, 1],
    })
    frame = letter_table(items)
    assert frame[frame["arm"] == "a"].to_dict("records") == [
        {"arm": "a", "letter": letter, "share": share, "right": right}
        for letter, share, right in (("A", 0.0, 0.25), ("B", 1.0, 0.25), ("C", 0.0, 0.5))
    ], "a letter that is right and that no arm answers is told too"
    assert draw_letters(frame).get_suptitle() == "Arm A answers B to 100% of MMLU's questions"


@pytest.mark.parametrize(("last", "title"), [
    ([2.6, 2.7], "All arms beat the unigram table, no arm beats the bigram table"),
    ([2.4, 2.7], "All arms beat the unigram table, 1 arm beats the bigram table"),
    ([2.4, 2.45], "All arms beat the bigram table, no arm beats the 5-gram table"),
    ([2.0, 2.1], "All arms beat the 5-gram table"),
    ([3.0, 3.8], "1 arm beats the unigram table"),
])
def test_the_title_says_which_tables_are_beaten(last: list[float], title: str) -> None:
    tables = pd.Series({"unigram": 3.5, "bigram": 2.5, "fivegram": 2.2})
    assert _against_tables(pd.Series(last), tables) == title

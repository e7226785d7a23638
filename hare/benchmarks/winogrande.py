"""Winogrande: which of two names fills the blank of a sentence (Sakaguchi et al. 2019)."""

from typing import Any

from hare.benchmarks import sources
from hare.benchmarks.forms import FILLED
from hare.benchmarks.sources import OLMO, Row
from hare.benchmarks.spec import BenchmarkSpec, Protocol


def row_of(document: Row) -> Row:
    """The hub's row, which is kept whole in the request."""
    return {name: document[name] for name in ("sentence", "option1", "option2", "answer")}


def _question_answer(row: Row) -> tuple[str, str]:
    """The sentence up to the blank (empty when the blank opens it), and the rest with the right option."""
    before, after = row["sentence"].split("_", 1)
    option = row["option" + row["answer"]]
    return before.strip(), f"{option}{after}".strip()


def _cloze(row: Row) -> tuple[str, str]:
    """As in lm-eval: the contexts hold the choices, and the text after the blank is scored."""
    before, after = row["sentence"].split("_", 1)
    return f"{before}{row['option' + row['answer']]}", f" {after.strip()}"


def _right_choices(row: Row, _: Any) -> list[int]:
    """The logged target is the text that follows the blank, not the number of the choice."""
    return [int(row["answer"]) - 1]


SPEC = BenchmarkSpec(
    name="winogrande",
    label="Winogrande",
    chance=0.5,
    sources={
        "train": lambda _: sources.requests(OLMO, "winogrande/train_rc_5shot", row_of),
        "validation": lambda _: sources.table("winogrande/winogrande_xl/validation"),
    },
    question_answer=_question_answer,
    texts=lambda row: [row["sentence"], row["option1"], row["option2"]],
    options=lambda row: [row["option1"], row["option2"]],
    cloze=_cloze,
    form=FILLED,
    protocol=Protocol("winogrande", "winogrande", 5, "train", "validation", "acc"),
    right_choices=_right_choices,
    published_label="Winogrande",
    published_column="winogrande_5shot",
)

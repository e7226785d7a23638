"""ARC-Challenge: science questions of American schools that simple retrieval gets wrong (Clark et al. 2018)."""

from hare.benchmarks import sources
from hare.benchmarks.forms import LISTED
from hare.benchmarks.sources import OLMO, Row
from hare.benchmarks.spec import BenchmarkSpec, Protocol

_LETTERS = "ABCDE"


def row_of(document: Row) -> Row:
    """The hub's row; the answers' labels, now letters throughout, were digits in a few items of the original."""
    letters = list(_LETTERS[: len(document["choices"])])
    return {
        "id": document["id"],
        "question": document["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
        "choices": {"text": document["choices"], "label": letters},
        "answerKey": letters[document["gold"]],
    }


def _question_answer(row: Row) -> tuple[str, str]:
    return row["question"], row["choices"]["text"][row["choices"]["label"].index(row["answerKey"])]


def _cloze(row: Row) -> tuple[str, str]:
    question, answer = _question_answer(row)
    return f"Question: {question}\nAnswer:", f" {answer}"


SPEC = BenchmarkSpec(
    name="arc_challenge",
    label="ARC-Challenge",
    chance=0.25,
    sources={
        "train": lambda _: sources.requests(OLMO, "arc_challenge/train_rc_5shot", row_of),
        "validation": lambda _: sources.table("ai2_arc/ARC-Challenge/validation"),
        "test": lambda _: sources.requests(OLMO, "arc_challenge/test_rc_5shot", row_of),
    },
    question_answer=_question_answer,
    texts=lambda row: [row["question"], *row["choices"]["text"]],
    options=lambda row: row["choices"]["text"],
    cloze=_cloze,
    form=LISTED,
    protocol=Protocol("arc_challenge", "arc", 25, "train", "test", "acc_norm"),
    leakage_lists_options=True,
    published_label="ARC-C",
    published_column="arc_c_25shot",
)

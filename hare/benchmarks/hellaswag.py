"""HellaSwag: which of four endings continues a description of an everyday activity (Zellers et al. 2019)."""

from hare.benchmarks import sources
from hare.benchmarks.forms import CONTINUED
from hare.benchmarks.sources import OLMO, Row
from hare.benchmarks.spec import BenchmarkSpec, Protocol


def row_of(document: Row) -> Row:
    """The hub's row, except that the context is not split into its two parts, and WikiHow's brackets are missing.

    lm-eval's stock task makes the same prompt of this row as of the original one.
    """
    activity, _, context = document["query"].partition(": ")
    return {
        "ind": document["ind"], "activity_label": activity, "ctx_a": context, "ctx_b": "", "ctx": context,
        "endings": document["choices"], "source_id": "", "split": "train", "split_type": "",
        "label": str(document["gold"]),
    }


def _question(row: Row) -> str:
    return f"{row['activity_label']}: {row['ctx']}"


def _question_answer(row: Row) -> tuple[str, str]:
    return _question(row), row["endings"][int(row["label"])]


def _cloze(row: Row) -> tuple[str, str]:
    question, answer = _question_answer(row)
    return question, f" {answer}"


SPEC = BenchmarkSpec(
    name="hellaswag",
    label="HellaSwag",
    chance=0.25,
    sources={
        "train": lambda _: sources.requests(OLMO, "hellaswag/train_rc_5shot", row_of),
        "validation": lambda _: sources.table("hellaswag/none/validation"),
    },
    question_answer=_question_answer,
    texts=lambda row: [_question(row), *row["endings"]],
    options=lambda row: row["endings"],
    cloze=_cloze,
    form=CONTINUED,
    protocol=Protocol("hellaswag", "hellaswag", 10, "train", "validation", "acc_norm"),
    leakage_glue="",
    published_label="HellaSwag",
    published_column="hellaswag_10shot",
)

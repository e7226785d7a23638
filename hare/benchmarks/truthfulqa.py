"""TruthfulQA: questions that people answer wrongly by habit, with several right and wrong answers (Lin et al. 2021)."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hare.benchmarks import sources
from hare.benchmarks.forms import LISTED
from hare.benchmarks.sources import Row, Source
from hare.benchmarks.spec import BenchmarkSpec, Protocol
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.provenance import digest_of

_RULE = "every answer ends with a full stop"


def table(path: Path) -> Source:
    """The public CSV, from which the hub's multiple-choice targets are built, best or correct answers first."""
    return Source(lambda: digest_of([sha256_of(path), _RULE]), lambda: iter(_rows(path)), extra=True)


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(_rows_of(csv.DictReader(lines)))
    except (UnicodeDecodeError, csv.Error, KeyError, AttributeError, TypeError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if not rows:
        raise _refused(path, "it holds no row")
    return rows


def _refused(path: Path, reason: str) -> HareError:
    return HareError(f"{path} is not the table of TruthfulQA ({reason}).",
                     "replace the file, or unset HARE_EXTRA_DATA to go on without it")


def _rows_of(documents: csv.DictReader) -> Iterator[Row]:
    wanted = {"Question", "Best Answer", "Correct Answers", "Incorrect Answers"}
    absent = wanted - set(documents.fieldnames or ())
    if absent:
        raise KeyError(f"line 1 lacks the columns {', '.join(sorted(absent))}")
    for document in documents:
        try:
            yield _row(document)
        except AttributeError as error:
            raise AttributeError(f"line {documents.line_num} has an empty cell") from error


def _row(document: Row) -> Row:
    best = _closed(document["Best Answer"].strip())
    correct, incorrect = _answers(document["Correct Answers"]), _answers(document["Incorrect Answers"])
    return {
        "question": document["Question"].strip(),
        "mc1_targets": _targets([best], incorrect),
        "mc2_targets": _targets(correct if best in correct else [best, *correct], incorrect),
    }


def _answers(listed: str) -> list[str]:
    return [_closed(answer.strip()) for answer in listed.split(";") if answer.strip()]


def _closed(answer: str) -> str:
    """The answer with a full stop, which all multiple-choice targets on the hub have, but few answers of the table."""
    return answer if answer.endswith(".") else f"{answer}."


def _targets(correct: list[str], incorrect: list[str]) -> Row:
    return {"choices": correct + incorrect, "labels": [1] * len(correct) + [0] * len(incorrect)}


def _question_answer(row: Row) -> tuple[str, str]:
    return row["question"], row["mc1_targets"]["choices"][row["mc1_targets"]["labels"].index(1)]


def _texts(row: Row) -> list[str]:
    return [row["question"], *dict.fromkeys([*row["mc1_targets"]["choices"], *row["mc2_targets"]["choices"]])]


def _cloze(row: Row) -> tuple[str, str]:
    question, answer = _question_answer(row)
    return f"Q: {question}\nA:", f" {answer}"


def _right_choices(row: Row, _: Any) -> list[int]:
    return [number for number, label in enumerate(row["mc2_targets"]["labels"]) if label == 1]


SPEC = BenchmarkSpec(
    name="truthfulqa",
    label="TruthfulQA",
    chance=None,
    sources={"validation": sources.ExtraFile("truthfulqa/TruthfulQA.csv", table)},
    question_answer=_question_answer,
    texts=_texts,
    options=lambda row: row["mc1_targets"]["choices"],
    cloze=_cloze,
    form=LISTED,
    protocol=Protocol("truthfulqa_mc2", "truthfulqa", 0, "", "validation", "acc"),
    right_choices=_right_choices,
    leakage_glue="",
    published_label="TruthfulQA",
    published_column="truthfulqa_0shot",
    published_splits={"validation": "train"},  # its only split, which the paper calls train
)

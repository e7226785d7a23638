"""Shards: folders of JSON-lines files, one document with ``id``, ``text`` and ``metadata`` per line."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.files import folder_written_whole, read_jsonl, write_jsonl


def shard_files(folder: Path) -> list[Path]:
    """The shards of a folder, in the order of their names.

    Raises:
        HareError: there are none.
    """
    shards = sorted(folder.glob("*.jsonl"))
    if not shards:
        raise HareError(f"{folder} holds no .jsonl shards.", "rerun the notebook that writes it")
    return shards


def read_documents(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of every shard of a folder, in the order of the shards' names.

    Raises:
        HareError: the folder holds no document, or a line of a shard is damaged (both are named).
    """
    empty = True
    for shard in shard_files(folder):
        for row in read_jsonl(shard):
            empty = False
            yield row
    if empty:
        raise HareError(f"{folder} holds no document.", "rerun the notebook that writes it, with more text")


def write_documents(folder: Path, rows: Iterable[dict[str, Any]], shard_rows: int = 50_000) -> int:
    """Write rows as JSON-lines shards into a folder, atomically; return the number of rows."""
    rows = list(rows)
    with folder_written_whole(folder) as temporary:
        for number, start in enumerate(range(0, max(len(rows), 1), shard_rows)):
            write_jsonl(temporary / f"{number:05d}.jsonl", rows[start : start + shard_rows])
    return len(rows)

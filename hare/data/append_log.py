"""An append-only log that survives a kill and damage: each JSON line carries a digest of its row.

A line that was cut short or altered is dropped on opening, and its row is computed again like any other missing one.
Generations and evaluation answers are kept in such files, so that nothing is computed twice.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hare.core.files import naming_disk_errors, written_whole

_CHARACTERS = 16  # of a digest


class AppendLog:
    """One JSON value per line, after its digest, in a file that only grows.

    ``rows``: the undamaged rows found when the log was opened, in order. Every `append` is on disk before it returns.
    Use it as a context manager, or `close` it.
    """

    def __init__(self, path: Path):
        """Open the log at ``path``; it is created when missing.

        Raises:
            HareError: the disk is full.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        self.rows = list(_rows(data))
        if (kept := _lines(self.rows)) != data:
            with written_whole(path) as temporary:
                temporary.write_bytes(kept)
        self._file = path.open("ab")

    def append(self, *rows: Any) -> None:
        """Append rows (JSON-able) in one write and flush them to disk.

        Raises:
            HareError: the disk is full.
        """
        with naming_disk_errors(self.path):
            self._file.write(_lines(rows))
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> "AppendLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lines(rows: Iterable[Any]) -> bytes:
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(f'["{_digest(text)}", {text}]\n' for text in texts).encode("utf-8", "surrogatepass")


def _rows(data: bytes) -> Iterator[Any]:
    """The rows of complete and undamaged lines."""
    for line in data.split(b"\n"):
        try:
            digest, row = json.loads(line.decode("utf-8", "surrogatepass"))
            if digest == _digest(json.dumps(row, ensure_ascii=False)):
                yield row
        except (ValueError, TypeError):
            continue


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_CHARACTERS]

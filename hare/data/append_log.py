"""An append-only log that survives a kill: JSON lines, and a last line that was cut short is dropped on opening.

Generations, evaluation answers and training steps are kept in such files, so that nothing is computed twice.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.files import naming_disk_errors, written_whole


class AppendLog:
    """One JSON value per line, in a file that only grows.

    ``rows``: what was kept when the log was opened and still is, in order. Every `append` goes through to the disk
    before it returns. Use it as a context manager, or `close` it.
    """

    def __init__(self, path: Path, keep: Callable[[Any], bool] = lambda row: True):
        """Open the log at ``path``, made when there is none.

        ``keep``: rows for which it is false are dropped from the file (steps after the checkpoint that a run resumes
        from, for example).

        Raises:
            HareError: a whole line is not JSON, or the disk is full.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        size = data.rfind(b"\n") + 1
        rows = [self._parsed(number, line) for number, line in enumerate(data[:size].split(b"\n")[:-1], 1)]
        self.rows = [row for row in rows if keep(row)]
        if len(self.rows) < len(rows):
            with written_whole(path) as temporary:
                temporary.write_bytes(_lines(self.rows))
        elif size < len(data):
            os.truncate(path, size)
        self._file = path.open("ab")

    def _parsed(self, number: int, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            what = f"{self.path}, line {number}, is damaged: {error}"
            raise HareError(what, "delete the file and run again") from error

    def append(self, *rows: Any) -> None:
        """Add rows (JSON-able) in one write, through to the disk.

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
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")

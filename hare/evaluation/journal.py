"""A request cache that survives a kill: answers are kept batch by batch, and none is asked for twice.

lm-eval's own cache keeps single requests. Served from it, a rerun would batch the remaining requests otherwise than
before, and rounding would show in the last digits. Whole batches leave an interrupted run byte for byte what an
uninterrupted one is.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hare.core.provenance import digest_of


class Journal:
    """Answers to batches of requests, one JSON line each, in a file that only grows.

    A process that is killed while it writes leaves half a line; it is cut off when the journal is opened again.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        self._kept: dict[str, Any] = dict(json.loads(line) for line in whole[0].splitlines())
        self._file = path.open("ab")
        self._file.truncate(len(whole[0]) + len(whole[1]))
        self.recalled = 0  # batches answered from the file

    def answer(self, asked: Any, compute: Callable[[], Any]) -> Any:
        """The answer kept for ``asked`` (JSON-able), or ``compute()``, which is then kept before it is returned."""
        key = digest_of(asked)
        if key in self._kept:
            self.recalled += 1
        else:
            self._kept[key] = compute()
            self._file.write(json.dumps([key, self._kept[key]]).encode() + b"\n")
            self._file.flush()
        return self._kept[key]

    def close(self) -> None:
        """Release the file."""
        self._file.close()

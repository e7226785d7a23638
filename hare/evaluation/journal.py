"""A request cache that survives a kill: answers are kept batch by batch, and none is asked for twice.

lm-eval's own cache keeps single requests. Served from it, a rerun would batch the remaining requests otherwise than
before, and rounding would show in the last digits. Whole batches leave an interrupted run byte for byte what an
uninterrupted one is.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hare.core.provenance import digest_of
from hare.data.append_log import AppendLog


class Journal:
    """Answers to batches of requests, by the digest of the batch, in an append-only log."""

    def __init__(self, path: Path):
        self._log = AppendLog(path)
        self._kept: dict[str, Any] = dict(self._log.rows)

    def answer(self, asked: Any, compute: Callable[[], Any]) -> Any:
        """The answer kept for ``asked`` (JSON-able), or ``compute()``, which is then kept before it is returned."""
        key = digest_of(asked)
        if key not in self._kept:
            self._kept[key] = compute()
            self._log.append([key, self._kept[key]])
        return self._kept[key]

    def close(self) -> None:
        """Release the file."""
        self._log.close()

"""What a generator is, and the file of finished generations that lets a killed run continue."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import filelock

from hare.core.files import naming_disk_errors
from hare.core.paths import cache_folder
from hare.data.append_log import AppendLog

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}
FAILED = "failed"  # the finish reason of a request that got no usable answer


@dataclass(frozen=True)
class Decoding:
    """How text is drawn from the model; the defaults got the best out of a 135M-parameter model."""

    max_new_tokens: int
    min_new_tokens: int = 0  # the end is not drawn before
    temperature: float = 0.5
    min_p: float = 0.05  # tokens less likely than this share of the likeliest are never drawn
    repetition_penalty: float = 1.15


@dataclass(frozen=True)
class Request:
    """One conversation to be continued. ``seed`` alone decides the random numbers of its answer."""

    messages: tuple[Message, ...]
    seed: int

    def key(self, generator: str, decoding: Decoding) -> str:
        """Digest of everything that the answer depends on."""
        whole = [generator, dataclasses.asdict(decoding), list(self.messages), self.seed]
        return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Generation:
    """An answer: its text, its length in the generator's own tokens, and why it ended (stop, length or failed)."""

    text: str
    tokens: int
    finish_reason: str


class Generator(Protocol):
    """Anything that answers requests."""

    @property
    def name(self) -> str:
        """Name for the record; another name means another model or other settings."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
        """Answers in the order of the requests; those found in the cache are not generated again."""


class Finished:
    """Finished generations of one set of requests, in a log that only grows.

    What a kill or damage has taken from the file is not there any more, so those requests are answered again.
    """

    def __init__(self, path: Path, keys: Sequence[str]):
        self.path = path
        self._log = AppendLog(path)
        rows = (dict(row) for row in self._log.rows)
        found = {row.pop("key"): Generation(**row) for row in rows}
        self._found = {key: found[key] for key in keys if key in found}

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Generation:
        return self._found[key]

    def __len__(self) -> int:
        return len(self._found)

    def add(self, generations: dict[str, Generation]) -> None:
        """Append to the file, through to the disk; what is there already stays as it is."""
        new = {key: generation for key, generation in generations.items() if key not in self._found}
        self._log.append(*({"key": key, **dataclasses.asdict(generation)} for key, generation in new.items()))
        self._found |= new

    def close(self) -> None:
        """Release the file."""
        self._log.close()


@contextmanager
def finished_generations(keys: Sequence[str]) -> Iterator[Finished]:
    """The file of finished generations in the cache that belongs to this very set of requests, locked meanwhile."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:24]
    path = cache_folder() / "generations" / f"{digest}.jsonl"
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        finished = Finished(path, keys)
        try:
            yield finished
        finally:
            finished.close()

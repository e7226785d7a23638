"""What a generator is, and the file of finished generations that lets a killed run continue."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import filelock

from hare.core.errors import HareError
from hare.core.files import naming_disk_errors
from hare.core.paths import cache_folder

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
    """Finished generations of one set of requests, one JSON line each, appended as they come.

    A line cut short by a kill is dropped when the file is opened, so its request is answered again; nothing else is.
    """

    def __init__(self, path: Path, keys: Sequence[str]):
        self.path = path
        self._wanted = set(keys)
        self._found: dict[str, Generation] = {}
        self._load()

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Generation:
        return self._found[key]

    def __len__(self) -> int:
        return len(self._found)

    def add(self, generations: dict[str, Generation]) -> None:
        """Append to the file, through to the disk; what is there already stays as it is."""
        new = {key: generation for key, generation in generations.items() if key not in self._found}
        with naming_disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            for key, generation in new.items():
                file.write(json.dumps({"key": key, **dataclasses.asdict(generation)}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._found |= new

    def _load(self) -> None:
        if not self.path.exists():
            return
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._remember(line)
        os.truncate(self.path, whole)

    def _remember(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            key = row.pop("key")
            generation = Generation(**row)
        except (ValueError, KeyError, TypeError) as error:
            raise HareError(f"{self.path} holds a damaged line.", "delete the file and run again") from error
        if key in self._wanted:
            self._found[key] = generation


@contextmanager
def finished_generations(keys: Sequence[str]) -> Iterator[Finished]:
    """The file of finished generations in the cache that belongs to this very set of requests, locked meanwhile."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:24]
    path = cache_folder() / "generations" / f"{digest}.jsonl"
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        yield Finished(path, keys)

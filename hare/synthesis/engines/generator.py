"""What a generator is, and the file of finished generations that lets a killed run continue."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import filelock

from hare.core.code import code_of
from hare.core.errors import HareError
from hare.core.files import naming_disk_errors
from hare.core.paths import cache_folder
from hare.core.provenance import digest_of
from hare.data.append_log import AppendLog

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}
FAILED = "failed"  # the finish reason of a request that got no usable answer


@dataclass(frozen=True)
class Decoding:
    """How text is drawn from the model.

    The penalties count the tokens of the answer, not those of the prompt: if the prompt counted too, a small model
    would misspell the names that it is asked to write about. ``temperature`` 0 takes the likeliest token.
    """

    max_new_tokens: int
    min_new_tokens: int = 0  # the end is not drawn before
    temperature: float = 0.5
    min_p: float = 0.05  # tokens less likely than this share of the likeliest are never drawn
    presence_penalty: float = 0.0  # nats taken from a token that the answer holds already
    frequency_penalty: float = 0.0  # nats taken for each time that it does


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
    """An answer: its text, its length in tokens of the generator, and why it ended (stop, length or failed).

    ``failure`` says why a request failed.
    """

    text: str
    tokens: int
    finish_reason: str
    failure: str = ""


class Generator(Protocol):
    """Anything that answers requests."""

    block: int  # best number of requests per call; more are split over several calls

    @property
    def name(self) -> str:
        """Name for the record; another name means another model or other settings."""

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> list[Generation]:
        """Answers in the order of the requests; those found in the cache are not generated again."""


def identity(generator: Generator, module: str) -> str:
    """What an answer depends on beside its request: the generator and the code in ``module`` that asks it."""
    return f"{generator.name}, {digest_of(code_of(module, leaving_out=('core/', 'data/')))}"


class Finished:
    """Finished generations of one set of requests, in an append-only log.

    A line cut short by a kill is dropped when the log is opened, so its request is answered again; nothing else is.
    """

    def __init__(self, path: Path, keys: Sequence[str]):
        self.path = path
        self._log = AppendLog(path)
        wanted = set(keys)
        try:
            self._generations = {
                row["key"]: Generation(row["text"], row["tokens"], row["finish_reason"])
                for row in self._log.rows if row["key"] in wanted
            }
        except (KeyError, TypeError) as error:
            raise HareError(f"{path} holds a row of another form.", "delete the file and run again") from error

    def __contains__(self, key: str) -> bool:
        return key in self._generations

    def __getitem__(self, key: str) -> Generation:
        return self._generations[key]

    def __len__(self) -> int:
        return len(self._generations)

    def add(self, generations: dict[str, Generation]) -> None:
        """Append to the log and flush it to disk; existing generations stay unchanged."""
        new = {key: generation for key, generation in generations.items() if key not in self}
        kept = ("text", "tokens", "finish_reason")
        self._log.append(*({"key": key} | {name: getattr(g, name) for name in kept} for key, g in new.items()))
        self._generations |= new

    def close(self) -> None:
        """Release the log."""
        self._log.close()


@contextmanager
def finished_generations(keys: Sequence[str]) -> Iterator[Finished]:
    """The file of finished generations in the cache that belongs to this very set of requests, locked meanwhile."""
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:24]
    path = cache_folder() / "generations" / f"{digest}.jsonl"
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")), closing(Finished(path, keys)) as finished:
        yield finished

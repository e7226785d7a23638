"""The tokenizer that notebook 04 leaves behind, as one object: text to ids and back, and what each id stands for.

Everything that needs a vocabulary's size, its control tokens or the bytes of its tokens asks here, so that another
vocabulary is another folder and nothing else.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers
from tokenizers import pre_tokenizers, processors

from hare.core.errors import HareError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SENTENCEPIECE_FILE = "tokenizer.model"  # beside tokenizer.json, where the vocabulary is sentencepiece's
PAPER_VOCABULARY = "mistral-32k"
_TRAINED_HERE = re.compile(r"own-([1-9][0-9]*)")
_SPACE = "▁"  # what sentencepiece writes for a space
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Vocabulary:
    """``size`` ids, among them the ``begin`` and ``end`` of a document."""

    size: int
    begin: int = 1  # sentencepiece numbers its control tokens so: unknown 0, begin 1, end 2
    end: int = 2

    @classmethod
    def named(cls, name: str) -> "Vocabulary":
        """What a profile's ``vocabulary`` will come to: ``mistral-32k``, or ``own-<n>`` with n pieces.

        Raises:
            HareError: the name is of another kind.
        """
        named = _TRAINED_HERE.fullmatch(name)
        if name != PAPER_VOCABULARY and not named:
            raise HareError(
                f"vocabulary = {name!r} is no kind of vocabulary.",
                f"choose {PAPER_VOCABULARY} (the paper's) or own-<number of pieces>, such as own-4096",
            )
        return cls(int(named[1]) if named else 32_000)


class Tokenizer:
    """A folder saved by a fast Hugging Face tokenizer, of a kind whose tokens' bytes are known.

    Two kinds are: *sentencepiece* (a space is ``▁``, ``<0xNN>`` one byte; spaces are put before a text and taken away
    again) and *byte-level* (each character of a token is one byte, as in GPT-2).

    Raises:
        HareError: the folder holds no tokenizer, one of another kind, or one without begin and end of a document.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._described = _described(folder)
        self.kind = _kind(self._described, folder)
        self.vocabulary = Vocabulary(self._size(), *self._control_ids())

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer in ``folder``, read anew only when its file has changed."""
        path = Path(folder) / "tokenizer.json"
        return _loaded(Path(folder), path.stat().st_mtime_ns if path.exists() else 0)

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.vocabulary.size

    @property
    def begin(self) -> int:
        """Id that begins a document."""
        return self.vocabulary.begin

    @property
    def end(self) -> int:
        """Id that ends a document."""
        return self.vocabulary.end

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` without any control token: one that is spelled in the text stays text."""
        return self._plain.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode`, for many texts on all cores."""
        return [encoding.ids for encoding in self._plain.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, without control tokens; bytes that make no character come out as ``�``."""
        control = self._control
        return self._plain.decode([int(number) for number in ids if int(number) not in control])

    def piece(self, number: int) -> str:
        """One id as the vocabulary spells it, such as ``▁hare``."""
        return self._plain.id_to_token(number)

    @cached_property
    def bytes(self) -> np.ndarray:
        """UTF-8 bytes that each id stands for: int64[size]; control tokens stand for none."""
        sizes = np.zeros(self.size, dtype=np.int64)
        for piece, number in self._described["model"]["vocab"].items():
            if number not in self._control:
                sizes[number] = _piece_bytes(piece, self.kind)
        for token in self._described["added_tokens"]:
            if not token["special"]:
                sizes[token["id"]] = len(token["content"].encode())
        return sizes

    def predicted_bytes(self, windows: np.ndarray) -> np.ndarray:
        """UTF-8 bytes of the text that int64[…, length + 1] windows predict, their last ``length`` tokens: int64[…].

        The space that sentencepiece puts before a document is none of its bytes.
        """
        predicted, before = windows[..., 1:], windows[..., :-1]
        added = (before == self.begin) & self._starts_with_space[predicted] & self._adds_space
        return (self.bytes[predicted] - added).sum(-1)

    @cached_property
    def packing(self) -> tokenizers.Tokenizer:
        """The engine for training text: begin, text, end."""
        engine = tokenizers.Tokenizer.from_str(self._plain.to_str())
        control = [(f"{number}", number) for number in (self.begin, self.end)]
        engine.post_processor = processors.TemplateProcessing(
            single=f"{self.begin} $A {self.end}",
            special_tokens=[{"id": name, "ids": [number], "tokens": [self.piece(number)]} for name, number in control],
        )
        return engine

    def hugging_face(self) -> "PreTrainedTokenizerFast":
        """The same as a transformers tokenizer, which puts the begin before a text and nothing after it."""
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(self.folder)

    def sentencepiece_model(self) -> bytes:
        """The serialised sentencepiece model, pieces with their scores, from which GGUF files are made.

        Raises:
            HareError: the vocabulary has none.
        """
        path = self.folder / SENTENCEPIECE_FILE
        if not path.exists():
            raise HareError(
                f"{self.folder} holds no {SENTENCEPIECE_FILE}: its vocabulary is {self.kind}, not made by notebook 04.",
                "use a vocabulary that `hare reproduce --only 04` makes",
            )
        return path.read_bytes()

    def _size(self) -> int:
        numbers = [*self._described["model"]["vocab"].values(), *(t["id"] for t in self._described["added_tokens"])]
        return max(numbers) + 1

    @cached_property
    def _control(self) -> frozenset[int]:
        return frozenset(token["id"] for token in self._described["added_tokens"] if token["special"])

    def _control_ids(self) -> tuple[int, int]:
        """Ids of begin and end, whose names stand in ``tokenizer_config.json``."""
        path = self.folder / "tokenizer_config.json"
        names = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        spelled = [names.get(key) for key in ("bos_token", "eos_token")]
        spelled = [name["content"] if isinstance(name, dict) else name for name in spelled]
        ids = self._described["model"]["vocab"] | {t["content"]: t["id"] for t in self._described["added_tokens"]}
        if not all(name in ids for name in spelled):
            raise HareError(
                f"{self.folder} names no begin and end of a document ({spelled[0]!r}, {spelled[1]!r}).",
                "set bos_token and eos_token in tokenizer_config.json to tokens of the vocabulary",
            )
        return ids[spelled[0]], ids[spelled[1]]

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """The engine without control tokens and without anything added around a text."""
        kept = [token for token in self._described["added_tokens"] if not token["special"]]
        return tokenizers.Tokenizer.from_str(
            json.dumps({**self._described, "added_tokens": kept, "post_processor": None})
        )

    @cached_property
    def _starts_with_space(self) -> np.ndarray:
        """Whether an id's text begins with a space: bool[size]."""
        spaces = np.zeros(self.size, dtype=bool)
        first = _SPACE if self.kind == "sentencepiece" else "Ġ"
        for piece, number in self._described["model"]["vocab"].items():
            spaces[number] = piece.startswith(first)
        return spaces

    @cached_property
    def _adds_space(self) -> bool:
        """Whether a space is put before a text that has none."""
        ids = self.encode("a")
        return bool(ids) and bool(self._starts_with_space[ids[0]])


@lru_cache(maxsize=8)
def _loaded(folder: Path, stamp: int) -> Tokenizer:
    return Tokenizer(folder)


def _described(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    if not path.exists():
        raise HareError(f"{folder} holds no tokenizer.json.", "name a folder saved by a fast Hugging Face tokenizer")
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        described["model"]["vocab"].items()
        return {"added_tokens": [], **described}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HareError(
            f"{path} is no tokenizer of a known kind ({error}).", "save it again with a fast Hugging Face tokenizer"
        ) from error


def _kind(described: Any, folder: Path) -> str:
    """``sentencepiece`` or ``byte-level``, by the decoder."""
    decoder = described.get("decoder") or {}
    steps = decoder.get("decoders", [decoder])
    types = {step.get("type") for step in steps}
    spaced = any(step.get("type") == "Replace" and step["pattern"] == {"String": _SPACE} for step in steps)
    metaspace = any(step.get("type") == "Metaspace" and step.get("replacement") == _SPACE for step in steps)
    if types == {"ByteLevel"}:
        strange = sorted(
            piece for piece in set(described["model"]["vocab"]) - {t["content"] for t in described["added_tokens"]}
            if not set(piece) <= set(pre_tokenizers.ByteLevel.alphabet())
        )
        if not strange:
            return "byte-level"
        raise HareError(
            f"{folder} has a byte-level decoder, but tokens that are not spelled in bytes, such as {strange[0]!r}.",
            "list such tokens as added tokens, or choose another vocabulary",
        )
    if "ByteFallback" in types and (spaced or metaspace) and types <= {
        "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"
    }:
        return "sentencepiece"
    raise HareError(
        f"{folder} has a decoder of an unknown kind ({', '.join(sorted(map(str, types)))}): the bytes of its tokens "
        "cannot be told, so bits per byte would be wrong.",
        "use a sentencepiece-style vocabulary with byte fallback, or a byte-level one",
    )


def _piece_bytes(piece: str, kind: str) -> int:
    """UTF-8 bytes that one piece of a vocabulary stands for."""
    if kind == "byte-level":
        return len(piece)
    return 1 if _BYTE.fullmatch(piece) else len(piece.replace(_SPACE, " ").encode())

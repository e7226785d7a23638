"""A model's vocabulary as GGUF holds it: llama.cpp's ``llama`` (sentencepiece-style) or ``gpt2`` (byte-level) kind.

Everything is taken from the folder's own tokenizer.json. llama.cpp merges sentencepiece's pairs by the score of the
piece that they make; here the score is the place of that piece's first merge, so both tokenise alike.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
from gguf import TokenType

from hare.core.errors import HareError
from hare.tokens.tokenizer import Tokenizer

_TOKENIZER = "tokenizer.json"
_BYTE_LENGTH = len("<0x00>")
_GPT2_SPLIT = {"type": "ByteLevel", "use_regex": True}


@dataclass(frozen=True)
class GgufVocabulary:
    """What goes into the header: pieces by id, their scores and kinds, and the merges of the byte-level kind."""

    kind: str
    pieces: list[str]
    types: list[int]
    begin: int
    end: int
    unknown: int | None
    adds_space: bool
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Add everything to a file's header."""
        writer.add_tokenizer_model(self.kind)
        writer.add_token_list([piece.encode() for piece in self.pieces])
        writer.add_token_types(self.types)
        writer.add_bos_token_id(self.begin)
        writer.add_eos_token_id(self.end)
        writer.add_add_bos_token(True)
        if self.unknown is not None:
            writer.add_unk_token_id(self.unknown)
        if self.kind == "llama":
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.adds_space)
        else:
            writer.add_tokenizer_pre("gpt-2")
            writer.add_token_merges(self.merges)


def gguf_vocabulary(folder: Path, rows: int) -> GgufVocabulary:
    """The vocabulary of the model in ``folder``, whose embedding has ``rows`` rows; rows without a token are padded
    with unused ones, as llama.cpp's own converter does.

    Raises:
        HareError: the tokenizer is missing, of a kind that llama.cpp would read otherwise, or has more tokens than the
            embedding has rows.
    """
    tokenizer = Tokenizer.load(folder)
    described = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8"))
    model, added = described["model"], described.get("added_tokens") or []
    by_id = {number: piece for piece, number in model["vocab"].items()} | {t["id"]: t["content"] for t in added}
    if max(by_id) >= rows:
        raise HareError(f"{folder / _TOKENIZER} has {max(by_id) + 1} tokens, the embedding {rows} rows.",
                        "save the tokenizer that the model was trained with")
    control = {token["id"]: token["special"] for token in added}
    pieces = [by_id.get(number, f"[PAD{number}]") for number in range(rows)]
    unknown = model["vocab"].get(model.get("unk_token") or "")
    types = [_type(number, by_id, control, unknown, tokenizer.kind) for number in range(rows)]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model.get("merges", [])]
    common: dict[str, Any] = {"pieces": pieces, "types": types, "begin": tokenizer.begin, "end": tokenizer.end,
                              "unknown": unknown, "adds_space": _adds_space(tokenizer)}
    if tokenizer.kind == "sentencepiece":
        return GgufVocabulary("llama", scores=_scores(pieces, merges), **common)
    _refuse_other_splits(described, folder)
    return GgufVocabulary("gpt2", merges=merges, **common)


def _type(number: int, by_id: dict[int, str], control: dict[int, bool], unknown: int | None, kind: str) -> int:
    if number not in by_id:
        return TokenType.UNUSED
    if number == unknown:
        return TokenType.UNKNOWN
    if number in control:
        return TokenType.CONTROL if control[number] else TokenType.USER_DEFINED
    piece = by_id[number]
    is_byte = kind == "sentencepiece" and len(piece) == _BYTE_LENGTH and piece.startswith("<0x") and piece[-1] == ">"
    return TokenType.BYTE if is_byte else TokenType.NORMAL


def _scores(pieces: list[str], merges: list[str]) -> list[float]:
    """Minus the place of each piece's first merge; pieces that no merge makes cannot be reached by one."""
    first: dict[str, int] = {}
    for place, pair in enumerate(merges):
        first.setdefault(pair.replace(" ", ""), place)
    return [-float(first.get(piece, len(merges))) for piece in pieces]


def _adds_space(tokenizer: Tokenizer) -> bool:
    return tokenizer.kind == "sentencepiece" and tokenizer.piece(tokenizer.encode("a")[0]).startswith("▁")


def _refuse_other_splits(described: dict[str, Any], folder: Path) -> None:
    """llama.cpp splits text into words before it merges; only GPT-2's way of it is known to be the same here."""
    split = described.get("pre_tokenizer") or {}
    steps = split.get("pretokenizers", [split])
    if described.get("normalizer") or len(steps) != 1 or not _GPT2_SPLIT.items() <= steps[0].items():
        raise HareError(f"{folder / _TOKENIZER}: pre_tokenizer splits text otherwise than GPT-2's.",
                        "use a sentencepiece-style vocabulary, or a byte-level one with GPT-2's splitting")

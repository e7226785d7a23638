"""Held-out text in bits per byte, by category: comparable over tokenizers, and finer than benchmark accuracy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hare.run.errors import HareError
from hare.tokens.packed import TokenFile


@dataclass(frozen=True)
class HeldoutSequences:
    """Windows of the held-out token files: ``categories`` and ``bytes`` a window, ``tokens`` int64[windows, seq + 1].

    ``bytes`` counts the UTF-8 text of the predicted tokens.
    """

    categories: list[str]
    numbers: list[int]
    bytes: np.ndarray
    tokens: np.ndarray


def heldout_sequences(
    files: Mapping[str, Path], tokenizer: Path, sequence_length: int, per_category: int
) -> HeldoutSequences:
    """Up to ``per_category`` windows of each file, spread evenly over it; files shorter than a window are left out.

    Raises:
        HareError: no file has a whole window.
    """
    categories, numbers, windows = [], [], []
    for category, path in sorted(files.items()):
        if path.stat().st_size // 2 <= sequence_length:
            print(f"held-out {category} is left out: shorter than one sequence of {sequence_length} tokens", flush=True)
            continue
        file = TokenFile(path, sequence_length, seed=0)
        count = min(per_category, file.windows)
        for number in range(count):
            categories.append(category)
            numbers.append(number)
            windows.append(file.window(number * file.windows // count))
    if not windows:
        raise HareError(
            "No held-out file is as long as one sequence.", "raise heldout_fraction or shorten sequence_length"
        )
    tokens = np.stack(windows)
    return HeldoutSequences(categories, numbers, bytes_by_token(tokenizer)[tokens[:, 1:]].sum(1), tokens)


def bytes_by_token(tokenizer: Path) -> np.ndarray:
    """UTF-8 bytes that each token of a sentencepiece-style tokenizer stands for: int64[vocabulary].

    ``▁`` is a space, ``<0xNN>`` one byte, a control token none. The space that the tokenizer puts before a document
    counts as text: one byte a document.
    """
    described = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    control = {token["id"] for token in described["added_tokens"] if token["special"]}
    vocabulary = described["model"]["vocab"]
    sizes = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for piece, number in vocabulary.items():
        if number not in control:
            byte = len(piece) == len("<0x00>") and piece.startswith("<0x") and piece.endswith(">")
            sizes[number] = 1 if byte else len(piece.replace("▁", " ").encode())
    return sizes


def bits_per_byte(nats: float, size: int) -> float:
    """Cross-entropy of a text in nats, over its size in bytes, in bits per byte."""
    return float(nats) / np.log(2) / float(size)

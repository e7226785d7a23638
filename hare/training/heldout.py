"""Held-out text in bits per byte, by category: comparable over tokenizers, and finer than benchmark accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hare.core.errors import HareError
from hare.tokens.packed import TokenFile
from hare.tokens.tokenizer import Tokenizer


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
    return HeldoutSequences(categories, numbers, Tokenizer.load(tokenizer).predicted_bytes(tokens), tokens)


def bits_per_byte(nats: float, size: int) -> float:
    """Cross-entropy of a text in nats, over its size in bytes, in bits per byte."""
    return float(nats) / np.log(2) / float(size)

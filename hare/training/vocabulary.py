"""What training needs to know of a tokenizer, read from its ``tokenizer.json`` without loading its engine."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hare.core.errors import HareError


def vocabulary_size(tokenizer: Path) -> int:
    """Number of token ids."""
    return max(_described(tokenizer)["model"]["vocab"].values()) + 1


def bytes_by_token(tokenizer: Path) -> np.ndarray:
    """UTF-8 bytes that each token of a sentencepiece-style tokenizer stands for: int64[vocabulary].

    ``▁`` is a space, ``<0xNN>`` one byte, a control token none. The space that the tokenizer puts before a document
    counts as text: one byte a document.
    """
    described = _described(tokenizer)
    control = {token["id"] for token in described["added_tokens"] if token["special"]}
    vocabulary = described["model"]["vocab"]
    sizes = np.zeros(vocabulary_size(tokenizer), dtype=np.int64)
    for piece, number in vocabulary.items():
        if number not in control:
            byte = len(piece) == len("<0x00>") and piece.startswith("<0x") and piece.endswith(">")
            sizes[number] = 1 if byte else len(piece.replace("▁", " ").encode())
    return sizes


@cache
def _described(tokenizer: Path) -> Any:
    path = tokenizer / "tokenizer.json"
    if not path.exists():
        raise HareError(f"{tokenizer} holds no tokenizer.json.", "name a folder saved by a fast Hugging Face tokenizer")
    return json.loads(path.read_text(encoding="utf-8"))

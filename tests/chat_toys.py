"""Tiny random models over small vocabularies of both kinds, for the tests of fine-tuning and deployment."""

from pathlib import Path
from typing import Any

import torch
from transformers import MistralConfig, MistralForCausalLM

from hare.finetuning.dialogue import Dialogue
from hare.tokens.tokenizer import Tokenizer
from hare.tokens.vocabulary import make
from tests.test_tokens_tokenizer import byte_level, sentences

KINDS = ("own-512", "byte-level")


def toy_tokenizer(folder: Path, kind: str = "own-512") -> Tokenizer:
    """A vocabulary of 512 pieces in ``folder``, sentencepiece-style or byte-level."""
    return byte_level(folder) if kind == "byte-level" else make(kind, {"d1": sentences(60)}, folder)


def toy_dialogue(folder: Path, kind: str = "own-512") -> Dialogue:
    """The chat template over a toy vocabulary."""
    return Dialogue(toy_tokenizer(folder, kind))


def save_toy(folder: Path, kind: str = "own-512", **shape: Any) -> Path:
    """A tiny random Mistral with a toy vocabulary, saved in ``folder``."""
    tokenizer = toy_tokenizer(folder, kind)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.size, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "sliding_window": None,
        "initializer_range": 0.1, "bos_token_id": tokenizer.begin, "eos_token_id": tokenizer.end,
    }
    MistralForCausalLM(MistralConfig(**sizes | shape)).save_pretrained(folder)
    return folder

"""Small stand-ins for the evaluation's tests: rows of every benchmark in the hub's schema, and tiny random models."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from hare.benchmarks import registry as benchmarks
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

WORDS = [
    "apple", "river", "stone", "winter", "music", "letter", "garden", "engine", "silver", "window", "planet", "doctor",
]
SUBJECTS = ("anatomy", "virology", "marketing")
HUB = {  # where lm-eval's stock tasks look
    "arc_challenge": ("allenai/ai2_arc", "ARC-Challenge"), "hellaswag": ("Rowan/hellaswag", None),
    "winogrande": ("allenai/winogrande", "winogrande_xl"), "gsm8k": ("openai/gsm8k", "main"),
    "truthfulqa": ("truthfulqa/truthful_qa", "multiple_choice"),
} | {f"mmlu/{subject}": ("cais/mmlu", subject) for subject in SUBJECTS}
SPLITS = {
    "arc_challenge": ("train", "validation", "test"), "hellaswag": ("train", "validation"),
    "winogrande": ("train", "validation"), "gsm8k": ("train", "test"), "truthfulqa": ("validation",),
    "mmlu": ("dev", "validation", "test"),
}


def row(name: str, rng: random.Random) -> dict[str, Any]:
    """One row of a benchmark, as the Hugging Face hub has it."""

    def text(count: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(count))

    choices = [text(rng.randint(1, 6)) for _ in range(4)]
    if name == "arc_challenge":
        return {"id": text(1), "question": text(9) + "?", "choices": {"text": choices, "label": list("ABCD")},
                "answerKey": rng.choice("ABCD")}
    if name == "hellaswag":
        return {"ind": rng.randint(0, 999), "activity_label": text(2), "ctx_a": text(8) + " [title] x.", "ctx_b": "he",
                "ctx": text(9), "endings": choices, "source_id": "", "split": "", "split_type": "",
                "label": str(rng.randint(0, 3))}
    if name == "winogrande":
        sentence = f"{text(5)} _ {text(4)}."
        return {"sentence": sentence, "option1": text(1), "option2": text(1), "answer": rng.choice("12")}
    if name == "gsm8k":
        return {"question": text(8), "answer": f"{text(6)}\n#### {rng.randint(1, 99)}"}
    if name == "truthfulqa":
        return {"question": text(6) + "?", "mc1_targets": {"choices": choices, "labels": [1, 0, 0, 0]},
                "mc2_targets": {"choices": choices, "labels": [1, 1, 0, 0]}}
    return {"question": text(7) + " ", "subject": "", "choices": choices, "answer": rng.randint(0, 3)}


@pytest.fixture
def local_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], Path]:
    """The files of `write_benchmarks` in the place of the real ones."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    files = write_benchmarks(tmp_path)
    for name, function in registry_of(files).items():
        monkeypatch.setattr(benchmarks, name, function)
    return files


def write_benchmarks(folder: Path) -> dict[tuple[str, str], Path]:
    """Files of 40 rows per split for every benchmark, MMLU with three subjects, by name and split."""
    rng, files = random.Random(0), {}
    for name, splits in SPLITS.items():
        for subset in SUBJECTS if name == "mmlu" else ("",):
            for split in splits:
                path = folder / "benchmarks" / "fingerprint" / name / subset / f"{split}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = [row(name, rng) for _ in range(5 if split == "dev" else 40)]
                path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
                files[f"{name}/{subset}".rstrip("/"), split] = path
    return files


def registry_of(files: dict[tuple[str, str], Path]) -> dict[str, Callable]:
    """What `hare.benchmarks.registry` says, of these files."""
    return {
        "file": lambda name, split, subset="": files[f"{name}/{subset}".rstrip("/"), split],
        "splits": lambda name, subset="": list(SPLITS[name]),
        "rows_from": lambda name, split: "toys",
        "subsets": lambda name: list(SUBJECTS) if name == "mmlu" else [""],
    }


def save_model(folder: Path, seed: int = 0, **shape: Any) -> Path:
    """A tiny random Mistral with Mistral's tokenizer, saved in ``folder``."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": 32000, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "sliding_window": 4096,
        "initializer_range": 0.2,
    }
    MistralForCausalLM(MistralConfig(**sizes | shape)).save_pretrained(folder)
    fast_tokenizer(mistral_model()).save_pretrained(folder)
    return folder

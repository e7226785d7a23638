"""Tiny training runs for the tests: token files of a learnable toy language, a tokenizer folder, a small shape."""

import dataclasses
from pathlib import Path

import numpy as np

from hare.core.files import write_json
from hare.core.sections import Model, Training
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import fingerprint
from hare.training.run import TrainingRun

VOCABULARY = 512
SHAPE = Model(
    hidden_size=32, intermediate_size=88, layers=2, attention_heads=4, key_value_heads=2, max_positions=64,
    tied_embeddings=False,
)
OPTIMISATION = Training(
    arms={"d1": {"d1": 1.0}}, training_seeds=(0,), train_steps=20, micro_batch=1, gradient_accumulation=4,
    data_parallel=1, tensor_parallel=1, pipeline_parallel=1, tensor_parallel_mode="all_reduce", zero_stage=0,
    cpu_threads=1, precision="float32", mask_documents=False, recompute_activations=False, torch_compile=False,
    tensorboard=False, runs_at_once=2,
    learning_rate=3e-3, min_learning_rate=3e-4, warmup_steps=2, schedule="cosine",
    weight_decay=0.1, adam_beta2=0.95, gradient_clip=1.0, checkpoint_interval=8, averaged_checkpoints=1,
    validation_interval=10, validation_sequences=3,
    parity_steps=1,
)
SEQUENCE_LENGTH = 32


def toy_tokens(path: Path, seed: int, count: int = 4000, document: int | None = None) -> Path:
    """A token file in which each token nearly decides the next; documents of ``document`` tokens, or one alone."""
    random = np.random.default_rng(seed)
    tokens = np.empty(count, dtype="<u2")
    tokens[0] = 1
    for index, noise in enumerate(random.integers(0, 3, count - 1)):
        tokens[index + 1] = 3 + (int(tokens[index]) * (3 + 2 * seed) + noise) % 509
    tokens[:: document or count] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    tokens.tofile(path)
    return path


def toy_tokenizer(folder: Path) -> Path:
    """A tokenizer folder in which each token stands for three bytes, but for two control tokens."""
    control = {"<s>": 1, "</s>": 2}
    plain = {f"{number:03d}": number for number in range(VOCABULARY) if number not in control.values()}
    replaced = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    described = {
        "added_tokens": [{"id": number, "content": name, "special": True} for name, number in control.items()],
        "model": {"type": "BPE", "vocab": control | plain, "merges": []},
        "decoder": {"type": "Sequence", "decoders": [replaced, {"type": "ByteFallback"}]},
    }
    write_json(folder / "tokenizer.json", described)
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})
    return folder


def toy_run(root: Path, name: str, seed: int = 0, model: Model = SHAPE, **changes: object) -> TrainingRun:
    """A run of twenty steps of four sequences, first of one file, then of two; ``changes`` alter the optimisation."""
    training = dataclasses.replace(OPTIMISATION, **changes)
    files = {part: toy_tokens(root / f"{part}.ds", number, document=23) for number, part in enumerate(("d1", "d2"))}
    batch = training.global_batch
    first = training.train_steps * batch // 3
    mixture = MixtureSpec(
        files={part: str(path) for part, path in files.items()},
        fingerprints={part: fingerprint(path) for part, path in files.items()},
        stages=(
            MixtureStage(first, {"d1": 1.0}),
            MixtureStage(training.train_steps * batch - first, {"d1": 2.0, "d2": 1.0}),
        ),
        sequence_length=SEQUENCE_LENGTH, seed=seed,
    )
    heldout = {"toy": toy_tokens(root / "heldout" / "toy.ds", 0, 300)}
    return TrainingRun(root / "runs" / name, model, training, mixture, heldout, toy_tokenizer(root / "tokenizer"), seed)

"""Training speed and memory: our trainer against a plain PyTorch loop and Hugging Face's Trainer, in one run.

With the profile's own shape, batch and threads: the plain loop drives the same module with the same fused optimizer, so
that ratio is what the trainer itself costs; Hugging Face's Trainer drives MistralForCausalLM of the same shape.
Blocks of steps alternate between the processes, and ratios are medians of neighbouring blocks, since machines are
rarely quiet. The paper's shape on a GPU is `hare.bench.gpu`.
"""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from hare.bench.training_contestants import IN_A_GROUP, REPLY
from hare.core.errors import HareError
from hare.core.files import write_json
from hare.core.profile import Profile
from hare.core.sections import Model, Training
from hare.model.sizes import training_flops_per_token
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import fingerprint
from hare.tokens.tokenizer import Vocabulary
from hare.training.matrix_rate import matrix_flops
from hare.training.processes import place
from hare.training.run import TrainingRun

ROUNDS = 7  # the first of them, in which everything is slow, is thrown away
SECONDS_PER_BLOCK = 2.5
_WINDOWS = 64
Blocks = dict[str, list[dict[str, float]]]


def bench(profile: Profile) -> dict[str, float]:
    """What `hare bench training` records: ``training_tokens_per_s`` and ratios (above 1: ours is faster) with peak
    memory."""
    training = alone(profile.training)
    vocabulary = Vocabulary.named(profile.tokens.vocabulary).size
    with random_run(profile.model, training, profile.tokens.sequence_length, vocabulary) as run:
        blocks = in_turns({name: (name, run) for name in ("trainer", "plain", "hf")})
        torch.set_num_threads(training.cpu_threads)
        rate = matrix_flops(training.precision)
    speed = run.global_batch * run.mixture.sequence_length / median_seconds(blocks["trainer"])
    flops = training_flops_per_token(run.model, run.mixture.sequence_length, vocabulary)
    return {
        "training_tokens_per_s": speed,
        "training_mfu": speed * flops / rate,
        "training_vs_plain_loop": _ratio(blocks, "plain"),
        "training_vs_hf_trainer": _ratio(blocks, "hf"),
        "training_peak_rss_mb": peak_mb(blocks["trainer"]),
        "training_plain_loop_peak_rss_mb": peak_mb(blocks["plain"]),
        "training_hf_trainer_peak_rss_mb": peak_mb(blocks["hf"]),
    }


def alone(training: Training) -> Training:
    """One process, long enough for all rounds, nothing saved or validated."""
    return dataclasses.replace(
        training, data_parallel=1, tensor_parallel=1, pipeline_parallel=1, zero_stage=0, tensorboard=False,
        train_steps=1 << 20, checkpoint_interval=1 << 20, averaged_checkpoints=1,
        validation_interval=1 << 20, schedule="constant",
    )


def numbered_tokenizer(folder: Path, size: int) -> None:
    """A folder whose tokenizer has ``size`` ids and pieces that mean nothing: enough for training on random tokens."""
    control = {"<unk>": 0, "<s>": 1, "</s>": 2}
    pieces = control | {f"piece{number}": number for number in range(len(control), size)}
    replaced = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    write_json(folder / "tokenizer.json", {
        "added_tokens": [{"id": number, "content": name, "special": True} for name, number in control.items()],
        "model": {"type": "BPE", "vocab": pieces, "merges": []},
        "decoder": {"type": "Sequence", "decoders": [replaced, {"type": "ByteFallback"}]},
    })
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})


@contextlib.contextmanager
def random_run(model: Model, training: Training, length: int, vocabulary: int) -> Iterator[TrainingRun]:
    """A run on random tokens in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "random.ds"
        np.random.default_rng(0).integers(3, vocabulary, _WINDOWS * length + 1).astype("<u2").tofile(path)
        numbered_tokenizer(folder / "tokenizer", vocabulary)
        batch = training.micro_batch * training.gradient_accumulation
        stages = (MixtureStage(batch * training.train_steps, {"random": 1.0}),)
        mixture = MixtureSpec({"random": str(path)}, {"random": fingerprint(path)}, stages, length, 0)
        run = TrainingRun(folder / "run", model, training, mixture, {}, folder / "tokenizer", 0)
        run.folder.mkdir()
        run.save()
        yield run


def in_turns(runs: Mapping[str, tuple[str, TrainingRun]]) -> Blocks:
    """Start the contestants, let each take a block of steps in turn, and collect what they report.

    ``runs`` are by a name of your choice: the contestant and what it is to train.
    """
    blocks: Blocks = defaultdict(list)
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(started(*contestant)) for name, contestant in runs.items()}
        steps = dict.fromkeys(runs, 1)
        for _ in range(ROUNDS):
            for name, process in processes.items():
                kind, run = runs[name]
                blocks[name].append(block(kind, process, error_log(run, kind), steps[name]))
                steps[name] = max(1, round(SECONDS_PER_BLOCK / min(block["seconds"] for block in blocks[name])))
    return {name: timed[1:] for name, timed in blocks.items()}


def error_log(run: TrainingRun, name: str) -> Path:
    """Where a contestant's standard error goes."""
    return run.folder / f"{name}.err"


@contextlib.contextmanager
def started(name: str, run: TrainingRun) -> Iterator[subprocess.Popen[str]]:
    """A contestant's process, which waits for its turn; it is ended with the body."""
    environment = dict(os.environ) | {
        "OMP_NUM_THREADS": str(run.training.cpu_threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
        **(place(run.folder / f"{name}.store", 0, 1) if name in IN_A_GROUP else {}),
    }
    with error_log(run, name).open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hare.bench.training_contestants", name, str(run.folder)], text=True,
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def block(name: str, process: subprocess.Popen[str], errors: Path, steps: int) -> dict[str, float]:
    """Let one contestant take ``steps`` steps: its seconds per step, peak_mb and the loss before the last step."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
    for line in process.stdout:
        if line.startswith(REPLY):
            return json.loads(line.removeprefix(REPLY))
    log = errors.read_text(encoding="utf-8")[-2000:]
    raise HareError(f"The benchmark's process {name!r} stopped:\n{log}", "fix what its log names")


def median_seconds(blocks: list[dict[str, float]]) -> float:
    """Seconds per step."""
    return statistics.median(block["seconds"] for block in blocks)


def _ratio(blocks: Blocks, other: str) -> float:
    """Median over the rounds of how much longer ``other`` took than our trainer."""
    pairs = zip(blocks["trainer"], blocks[other], strict=True)
    return statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs)


def peak_mb(blocks: list[dict[str, float]]) -> float:
    """Most memory that the process ever held."""
    return max(block["peak_mb"] for block in blocks)

"""Training speed and memory: our trainer against a plain PyTorch loop and Hugging Face's Trainer, in one run.

Two comparisons, both with the profile's own shape and batch:

- One process against one, with the profile's threads: the plain loop drives the same module with the same fused
  optimizer, so that ratio is what the trainer itself costs; Hugging Face's Trainer drives MistralForCausalLM of the
  same shape. ``returning`` is our trainer with an allocator as the system sets it, where the study's keeps memory.
- The whole machine (``training_machine_…``): our runs side by side, as the study trains its arms, against one process
  of Hugging Face's Trainer with a thread per core, as torch starts it; and against as many processes of that Trainer
  side by side as there are runs of ours, since nothing keeps its user from doing the same.

Blocks of steps alternate between the contestants, and ratios are medians of neighbouring blocks, since machines are
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hare.bench.training_contestants import IN_A_GROUP, REPLY
from hare.core.errors import HareError
from hare.core.files import write_json
from hare.core.profile import Profile
from hare.core.provenance import cores
from hare.core.sections import Model, Training
from hare.model.sizes import training_flops_per_token
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import fingerprint
from hare.tokens.tokenizer import Vocabulary
from hare.training.launch import KEEP_MEMORY, at_once
from hare.training.matrix_rate import matrix_flops
from hare.training.processes import place
from hare.training.run import TrainingRun

ROUNDS = 7  # the first of them, in which everything is slow, is thrown away
SECONDS_PER_BLOCK = 2.5
_WINDOWS = 64
_FIRST_PIECE = 0x20000  # the first of a block of 42,720 rare Chinese characters
Blocks = dict[str, list[dict[str, float]]]
Contestant = tuple[str, TrainingRun]  # its name in `hare.bench.training_contestants`, and what it is to train


def bench(profile: Profile) -> dict[str, float]:
    """What `hare bench training` records: tokens per second and ratios (above 1: ours is faster), of one process with
    its peak memory and of the whole machine."""
    return _one_process(profile) | _whole_machine(profile)


def _one_process(profile: Profile) -> dict[str, float]:
    training = alone(profile.training)
    with _random_run(profile, training) as run:
        blocks = in_turns({name: [(name, run)] for name in ("trainer", "returning", "plain", "hf")})
        torch.set_num_threads(training.cpu_threads)
        rate = matrix_flops(training.precision)
    speed = _tokens(run) / median_seconds(blocks["trainer"])
    vocabulary = Vocabulary.named(profile.tokens.vocabulary).size
    flops = training_flops_per_token(run.model, run.mixture.sequence_length, vocabulary)
    return {
        "training_tokens_per_s": speed,
        "training_mfu": speed * flops / rate,
        "training_vs_plain_loop": _ratio(blocks, "trainer", "plain"),
        "training_vs_hf_trainer": _ratio(blocks, "trainer", "hf"),
        "training_memory_kept_vs_returned": _ratio(blocks, "trainer", "returning"),
        "training_peak_rss_mb": peak_mb(blocks["trainer"]),
        "training_memory_returned_peak_rss_mb": peak_mb(blocks["returning"]),
        "training_plain_loop_peak_rss_mb": peak_mb(blocks["plain"]),
        "training_hf_trainer_peak_rss_mb": peak_mb(blocks["hf"]),
    }


def _whole_machine(profile: Profile) -> dict[str, float]:
    """Tokens per second of all processes that train at the same time; a block ends with the slowest of them."""
    training = alone(profile.training)
    with contextlib.ExitStack() as stack:
        wide = stack.enter_context(_random_run(profile, dataclasses.replace(training, cpu_threads=cores())))
        runs = [stack.enter_context(_random_run(profile, training)) for _ in range(training.runs_at_once)]
        count = at_once(runs)
        blocks = in_turns({
            "ours": [("trainer", run) for run in runs[:count]], "hf": [("hf", wide)],
            "hf_side_by_side": [("hf", run) for run in runs[:count]],
        })
    tokens, together = _tokens(wide), {"ours": count, "hf": 1, "hf_side_by_side": count}
    speeds = {name: tokens * together[name] / median_seconds(timed) for name, timed in blocks.items()}
    return {
        "training_machine_runs": count,
        "training_machine_tokens_per_s": speeds["ours"],
        "training_machine_hf_trainer_tokens_per_s": speeds["hf"],
        "training_machine_hf_trainer_side_by_side_tokens_per_s": speeds["hf_side_by_side"],
        "training_machine_vs_hf_trainer": count * _ratio(blocks, "ours", "hf"),
        "training_machine_vs_hf_trainer_side_by_side": _ratio(blocks, "ours", "hf_side_by_side"),
    }


def _random_run(profile: Profile, training: Training) -> contextlib.AbstractContextManager[TrainingRun]:
    vocabulary = Vocabulary.named(profile.tokens.vocabulary).size
    return random_run(profile.model, training, profile.tokens.sequence_length, vocabulary)


def _tokens(run: TrainingRun) -> int:
    """Per step."""
    return run.global_batch * run.mixture.sequence_length


def alone(training: Training) -> Training:
    """One process, long enough for all rounds, nothing saved or validated."""
    return dataclasses.replace(
        training, data_parallel=1, tensor_parallel=1, pipeline_parallel=1, zero_stage=0, tensorboard=False,
        train_steps=1 << 20, checkpoint_interval=1 << 20, averaged_checkpoints=1,
        validation_interval=1 << 20, schedule="constant",
    )


def numbered_tokenizer(folder: Path, size: int) -> None:
    """A folder whose tokenizer has ``size`` ids, each piece one character: what is written is read back."""
    control = {"<unk>": 0, "<s>": 1, "</s>": 2}
    pieces = control | {chr(_FIRST_PIECE + number): number for number in range(len(control), size)}
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    replaced = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    write_json(folder / "tokenizer.json", {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": name, "special": True} | plain for name, number in control.items()],
        "model": {"type": "BPE", "vocab": pieces, "merges": []},
        "decoder": {"type": "Sequence", "decoders": [replaced, {"type": "ByteFallback"}]},
    })
    write_json(folder / "tokenizer_config.json", {
        "bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast",
    })


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


def in_turns(teams: Mapping[str, Sequence[Contestant]]) -> Blocks:
    """Start all contestants, let each team take a block of steps in turn, and collect what they report.

    Teams are by a name of your choice; the contestants of a team, of different runs, take their steps at the same time.
    """
    blocks: Blocks = defaultdict(list)
    with contextlib.ExitStack() as stack:
        processes = {name: [stack.enter_context(started(*each)) for each in team] for name, team in teams.items()}
        steps = dict.fromkeys(teams, 1)
        for _ in range(ROUNDS):
            for name, team in teams.items():
                blocks[name].append(_block_of_all(team, processes[name], steps[name]))
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
        **(KEEP_MEMORY if name in ("trainer", "plain") else {}),
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


def _block_of_all(
    team: Sequence[Contestant], processes: Sequence[subprocess.Popen[str]], steps: int
) -> dict[str, float]:
    """A block of a whole team: the seconds per step of its slowest contestant, and the memory of all."""
    for process in processes:
        _begin(process, steps)
    replies = [
        _reply(kind, process, error_log(run, kind)) for (kind, run), process in zip(team, processes, strict=True)
    ]
    return {
        "seconds": max(reply["seconds"] for reply in replies), "peak_mb": sum(reply["peak_mb"] for reply in replies),
    }


def block(name: str, process: subprocess.Popen[str], errors: Path, steps: int) -> dict[str, float]:
    """Let one contestant take ``steps`` steps: its seconds per step, peak_mb and the loss before the last step."""
    _begin(process, steps)
    return _reply(name, process, errors)


def _begin(process: subprocess.Popen[str], steps: int) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()


def _reply(name: str, process: subprocess.Popen[str], errors: Path) -> dict[str, float]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(REPLY):
            return json.loads(line.removeprefix(REPLY))
    log = errors.read_text(encoding="utf-8")[-2000:]
    raise HareError(f"The benchmark's process {name!r} stopped:\n{log}", "fix what its log names")


def median_seconds(blocks: list[dict[str, float]]) -> float:
    """Seconds per step."""
    return statistics.median(block["seconds"] for block in blocks)


def _ratio(blocks: Blocks, name: str, other: str) -> float:
    """Median over the rounds of how much longer ``other`` took per step than ``name``."""
    pairs = zip(blocks[name], blocks[other], strict=True)
    return statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs)


def peak_mb(blocks: list[dict[str, float]]) -> float:
    """Most memory that the process ever held."""
    return max(block["peak_mb"] for block in blocks)

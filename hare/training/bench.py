"""Training speed: nanotron's trainer against a plain PyTorch loop and Hugging Face's Trainer, in one process and run.

The plain loop drives the same module with the same fused optimizer and gradient clipping, so the ratio is what the
trainer itself costs. Hugging Face's Trainer drives MistralForCausalLM of the same shape. Batches and threads are the
same for all; blocks of steps alternate, and ratios are medians, since machines are rarely quiet.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hare.run.errors import HareError
from hare.run.files import write_json
from hare.run.profile import Profile
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import fingerprint
from hare.tokens.tokenizer import mistral_tokenizer
from hare.training.run import TrainingRun

ROUNDS = 5
STEPS = 4  # a round
_WINDOWS = 64


def bench(profile: Profile) -> dict[str, float]:
    """``training_tokens_per_s`` of the trainer, ``training_vs_plain_loop`` and ``training_vs_hf_trainer`` (above 1:
    ours is faster), all with the profile's shape, batch and threads in one process."""
    with tempfile.TemporaryDirectory() as folder:
        run = _run(profile, Path(folder))
        run.folder.mkdir()
        run.save()
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "-m",
            "hare.training.bench", str(run.folder),
        ]
        environment = dict(os.environ) | {"OMP_NUM_THREADS": str(run.training.cpu_threads), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = run.folder / "bench.json"
        if done.returncode or not found.exists():
            raise HareError(f"The benchmark of training failed:\n{done.stderr[-2000:]}", "mend what its log names")
        return json.loads(found.read_text(encoding="utf-8"))


def _run(profile: Profile, folder: Path) -> TrainingRun:
    """A run on random tokens, long enough for all rounds."""
    training = dataclasses.replace(
        profile.training, data_parallel=1, tensor_parallel=1, pipeline_parallel=1, zero_stage=0,
        train_steps=1 << 20, checkpoint_interval=1 << 20, validation_interval=1 << 20,
    )
    length = profile.tokens.sequence_length
    path = folder / "random.ds"
    np.random.default_rng(0).integers(3, 32000, _WINDOWS * length + 1).astype("<u2").tofile(path)
    mistral_tokenizer().save_pretrained(folder / "tokenizer")
    batch = training.micro_batch * training.gradient_accumulation
    stages = (MixtureStage(batch * training.train_steps, {"random": 1.0}),)
    mixture = MixtureSpec({"random": str(path)}, {"random": fingerprint(path)}, stages, length, 0)
    return TrainingRun(folder / "run", profile.model, training, mixture, {}, folder / "tokenizer", 0)


def measure(run: TrainingRun) -> dict[str, float]:
    """Time alternating blocks in this process, which `torchrun` started."""
    from hare.model.device import training_device
    from hare.tokens.mixture import Mixture
    from hare.training.batches import training_batches
    from hare.training.trainer import HareTrainer

    torch.set_num_threads(run.training.cpu_threads)
    trainer = HareTrainer(run, None, None)
    batches = training_batches(trainer, Mixture(run.mixture))
    with training_device():
        steps = {"trainer": _trainer_step(trainer, batches), "plain": _plain_step(trainer, batches)}
        seconds = _alternate(steps)
    seconds["hf"] = _hf_trainer_seconds(run, Mixture(run.mixture))
    tokens = run.global_batch * run.mixture.sequence_length
    ours = statistics.median(seconds["trainer"])
    plain = statistics.median(theirs / own for own, theirs in zip(seconds["trainer"], seconds["plain"], strict=True))
    return {
        "training_tokens_per_s": tokens / ours,
        "training_vs_plain_loop": plain,
        "training_vs_hf_trainer": statistics.median(seconds["hf"]) / ours,
    }


def _alternate(steps: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds a step, by block; the first block of each is thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, step in steps.items():
            seconds[name].append(_timed(step))
    return {name: found[1:] for name, found in seconds.items()}


def _timed(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / STEPS


def _trainer_step(trainer: Any, batches: Iterator[Any]) -> Callable[[], None]:
    from nanotron.trainer import sanity_check_dataloader

    loader = sanity_check_dataloader(batches, trainer.parallel_context, trainer.config)
    trainer.pipeline_engine = trainer.config.parallelism.pp_engine
    trainer.pipeline_engine.nb_microbatches = trainer.n_micro_batches_per_batch

    def step() -> None:
        trainer.iteration_step += 1
        trainer.iteration_start_time = time.time()
        outputs, loss = trainer.training_step(loader)
        trainer.consumed_train_samples += trainer.global_batch_size
        trainer.train_step_logs(outputs, loss)

    return step


def _plain_step(trainer: Any, batches: Iterator[Any]) -> Callable[[], None]:
    module, settings = trainer.unwrapped_model, trainer.config.optimizer
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=1e-6, weight_decay=settings.weight_decay, betas=(0.9, 0.95), fused=True
    )
    accumulation = trainer.n_micro_batches_per_batch

    def step() -> None:
        for batch in itertools.islice(batches, accumulation):
            placed = {name: tensor.to(device="cuda") for name, tensor in batch.items()}
            (module(**placed)["loss"] / accumulation).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), settings.clip_grad)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _hf_trainer_seconds(run: TrainingRun, mixture: Any) -> list[float]:
    """Seconds of each step of Hugging Face's Trainer after the first."""
    from transformers import MistralConfig, MistralForCausalLM, Trainer, TrainerCallback, TrainingArguments

    from hare.model.config import HareConfig
    from hare.model.convert import hugging_face_config

    class Clock(TrainerCallback):
        """Notes when steps end."""

        ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    samples = [torch.from_numpy(mixture.sample(index)[:-1]) for index in range(run.global_batch * (STEPS + 2))]
    dtype = getattr(torch, run.training.precision)
    model = MistralForCausalLM(MistralConfig(**hugging_face_config(HareConfig.of(run.model, 32000), dtype))).to(dtype)
    arguments = TrainingArguments(
        output_dir=str(run.folder / "hf"), max_steps=STEPS + 1, per_device_train_batch_size=run.training.micro_batch,
        gradient_accumulation_steps=run.training.gradient_accumulation, report_to=[], save_strategy="no",
        optim="adamw_torch_fused", disable_tqdm=True, logging_strategy="no", use_cpu=not torch.cuda.is_available(),
    )
    clock = Clock()
    data = [{"input_ids": sample, "labels": sample} for sample in samples]
    with contextlib.redirect_stdout(sys.stderr):
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock]).train()
    return [later - earlier for earlier, later in itertools.pairwise(clock.ends)]


if __name__ == "__main__":
    chosen = TrainingRun.load(Path(sys.argv[1]))
    write_json(chosen.folder / "bench.json", measure(chosen))

"""nanotron's own configuration file of a run. nanotron 0.4 takes nothing else, and saves it with every checkpoint."""

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from hare.core.files import write_text
from hare.core.sections import Training
from hare.model.config import HareConfig
from hare.tokens.tokenizer import Tokenizer, Vocabulary
from hare.training.run import TrainingRun

_NEVER = 1 << 40  # steps
DECAY_SHARE = 0.2  # of the steps, in a warm-up-stable-decay schedule


def write_nanotron_yaml(run: TrainingRun, checkpoints: Path, resume: Path | None) -> Path:
    """Write ``nanotron.yaml`` into the run's folder and return its path; ``resume`` is a checkpoint to go on from."""
    path = run.folder / "nanotron.yaml"
    write_text(path, yaml.safe_dump(nanotron_settings(run, checkpoints, resume), sort_keys=False))
    return path


def nanotron_settings(
    run: TrainingRun, checkpoints: Path, resume: Path | None, vocabulary: Vocabulary | None = None
) -> dict[str, Any]:
    """The settings as nested plain values, in nanotron's words; ``vocabulary`` stands in for a missing tokenizer."""
    training = run.training
    low_precision = training.precision != "float32"
    config = HareConfig.of(run.model, vocabulary or Tokenizer.load(run.tokenizer).vocabulary, training)
    return {
        "general": {"project": "hare", "run": run.folder.name, "seed": run.seed, "ignore_sanity_checks": True},
        "parallelism": {
            "dp": training.data_parallel, "tp": training.tensor_parallel, "pp": training.pipeline_parallel,
            "pp_engine": "1f1b", "tp_mode": training.tensor_parallel_mode.upper(),
            "tp_linear_async_communication": False,
        },
        "model": {
            "model_config": dataclasses.asdict(config), "init_method": {"std": config.initializer_range},
            "dtype": "bfloat16" if low_precision else "float32", "make_vocab_size_divisible_by": 1,
        },
        "tokenizer": {"tokenizer_name_or_path": str(run.tokenizer)},
        "checkpoints": {
            "checkpoints_path": str(checkpoints), "checkpoint_interval": training.checkpoint_interval,
            "save_initial_state": False, "resume_checkpoint_path": str(resume) if resume else None,
            "checkpoints_path_is_shared_file_system": True,
        },
        "logging": {"log_level": "error", "log_level_replica": "error", "iteration_step_info_interval": 1},
        "tokens": {
            "sequence_length": run.mixture.sequence_length, "train_steps": training.train_steps,
            "micro_batch_size": training.micro_batch, "batch_accumulation_per_replica": training.gradient_accumulation,
        },
        "optimizer": {
            "zero_stage": training.zero_stage, "weight_decay": training.weight_decay,
            "clip_grad": training.gradient_clip, "accumulate_grad_in_fp32": low_precision,
            "adam_eps": 1e-8, "adam_beta1": 0.9, "adam_beta2": training.adam_beta2, "torch_adam_is_fused": True,
            "learning_rate_scheduler": schedule(training),
        },
        "data": {"dataset": None, "seed": run.seed, "num_loading_workers": 0},
    }


def schedule(training: Training) -> dict[str, Any]:
    """nanotron's learning-rate schedule: linear warm-up, then constant, a cosine, or stable with a linear decay.

    The first step of a warm-up runs at learning rate 0, as in nanotron's own schedule.
    """
    after_warmup = training.train_steps - training.warmup_steps
    settings: dict[str, Any] = {
        "learning_rate": training.learning_rate, "lr_warmup_steps": training.warmup_steps,
        "lr_warmup_style": "linear", "min_decay_lr": training.min_learning_rate,
    }
    if training.schedule == "constant":
        return settings | {"lr_decay_style": "linear", "lr_decay_starting_step": _NEVER, "lr_decay_steps": 1}
    if training.schedule == "cosine":
        return settings | {"lr_decay_style": "cosine", "lr_decay_steps": after_warmup}
    decay = max(1, round(DECAY_SHARE * training.train_steps))
    start = max(training.warmup_steps, training.train_steps - decay)
    return settings | {
        "lr_decay_style": "linear", "lr_decay_starting_step": start, "lr_decay_steps": training.train_steps - start,
    }

"""What more GPUs would buy a profile's pretraining, by formula, and what would break first; nothing is measured.

Data parallelism alone, the same global batch: the micro-batch shrinks once there are more replicas than micro-batches.
Time per step is the larger of computing at the assumed MFU and of reducing the gradients over the network, which
overlap; so the days are a lower bound. Checkpoints: one file of optimizer state per replica under ZeRO-1, and one per
parameter; the first process hashes all of them before a checkpoint counts.
"""

import math
from dataclasses import dataclass

import pandas as pd

from hare.core.profile import Profile
from hare.model.sizes import parameters, training_flops_per_token
from hare.tokens.tokenizer import Vocabulary
from hare.training.cluster.estimate import MFU, PEAK_FLOPS

NETWORK = 50e9  # bytes per second and GPU between machines: 400 Gbit/s each
HASHED = 1.5e9  # bytes per second that one process reads and hashes with sha256
WRITTEN = 2e9  # bytes per second into a shared file system, all processes together
GPU_DAYS_PER_FAILURE = 16_384 * 54 / 419  # Llama 3 (arXiv 2407.21783, section 3.3.4): 419 unexpected interruptions
_GRADIENT_BYTES = 4  # nanotron reduces the fp32 sums
_CHECKPOINT_BYTES = 2 + 12  # weights in 16 bits; optimizer moments and fp32 weights
_DAY = 86_400.0
_COUNTS = (16, 64, 256, 1000)  # of GPUs, in the table


@dataclass(frozen=True)
class Growth:
    """The run on ``gpus`` GPUs."""

    gpus: int
    sequences: int  # per GPU and step
    compute_s: float  # per step
    reduce_s: float  # per step
    days: float
    checkpoint_gb: float
    checkpoint_files: int
    checkpoint_s: float  # written and hashed, during which nothing is trained

    @property
    def failures(self) -> float:
        """How many times a run is interrupted by a failing machine, at the rate that Llama 3 reports."""
        return self.gpus * self.days / GPU_DAYS_PER_FAILURE

    @property
    def efficiency(self) -> float:
        """Share of the days that computing alone would take."""
        return self.compute_s / max(self.compute_s, self.reduce_s)


def grown(profile: Profile, gpus: int) -> Growth:
    """The profile's run of the same global batch and steps on ``gpus`` GPUs; at most one sequence of a step each."""
    size = Vocabulary.named(profile.tokens.vocabulary).size
    weights, length = parameters(profile.model, size), profile.tokens.sequence_length
    batch = profile.training.global_batch
    replicas = min(gpus, batch)
    sequences = math.ceil(batch / replicas)
    compute = sequences * length * training_flops_per_token(profile.model, length, size) / (PEAK_FLOPS * MFU)
    reduce = 2 * (replicas - 1) / replicas * weights * _GRADIENT_BYTES / NETWORK
    held = weights * _CHECKPOINT_BYTES
    tensors = 7 * profile.model.layers + 3
    saved = held / WRITTEN + held / HASHED
    checkpoints = profile.training.train_steps / profile.training.checkpoint_interval
    seconds = profile.training.train_steps * max(compute, reduce) + checkpoints * saved
    return Growth(
        gpus, sequences, compute, reduce, seconds / _DAY, held / 1e9, tensors + replicas, saved
    )


def growth_table(profile: Profile) -> pd.DataFrame:
    """One row per number of GPUs, with the columns of `Growth`, efficiency and failures."""
    rows = [grown(profile, gpus) for gpus in _COUNTS]
    return pd.DataFrame([vars(row) | {"efficiency": row.efficiency, "failures": row.failures} for row in rows])


def described(profile: Profile) -> str:
    """The table, and from how many GPUs on the network takes longer than the computing."""
    table = growth_table(profile)
    lines = ["With more GPUs, by formula (data parallelism, the same global batch; a lower bound):",
             table.to_string(index=False, float_format="{:.2f}".format)]
    slow = table[table["reduce_s"] > table["compute_s"]]
    if len(slow):
        lines.append(
            f"From {slow['gpus'].iloc[0]} GPUs on reducing the gradients takes longer than computing them: raise the "
            "global batch before the number of GPUs."
        )
    if (table["gpus"] > profile.training.global_batch).any():
        lines.append(f"A step has {profile.training.global_batch:,} sequences: more GPUs than that have nothing to do.")
    lines.append(f"A checkpoint stops all GPUs for about {table['checkpoint_s'].iloc[-1]:.0f} s.")
    return "\n".join(lines)

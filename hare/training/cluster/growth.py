"""What more GPUs would buy a profile's pretraining, by layout, and what would break first: by formula, not measured.

The global batch stays what it is, so the micro-batch shrinks once there are more replicas than micro-batches. Beside
the formula stands what nanotron's authors have printed for data parallelism alone (another model, whose size and batch
do not stand beside their figure).
"""

from dataclasses import dataclass

import pandas as pd

from hare.core.paths import REPOSITORY
from hare.core.profile import Profile
from hare.core.sections import Model
from hare.model.sizes import parameters
from hare.training.checkpoints import KEPT
from hare.training.cluster.communication import StepCost, step_cost
from hare.training.cluster.estimate import Layout, layout_of, layouts, vocabulary_size

COUNTS = (16, 64, 256, 1000)  # of GPUs
HASHED = 1.5e9  # bytes per second that one process reads and hashes with sha256
STORED = 2e9  # bytes per second into or out of a shared file system, all processes together
GPU_DAYS_PER_FAILURE = 16_384 * 54 / 419  # Llama 3 (arXiv 2407.21783): 419 unexpected interruptions in 54 days
PUBLISHED = REPOSITORY / "results" / "published" / "nanotron_scaling.csv"
_CHECKPOINT_BYTES = 2 + 12  # per parameter: weights in 16 bits; optimizer moments and fp32 weights
_TOKEN_BYTES = 2
_FINGERPRINT_BYTES = 1024 * 65_536  # that each rank reads of each token file, at the most (hare.tokens.packed)
_OTHER_FILES = 8  # of a checkpoint: configurations, manifest, learning rate, losses
_DAY = 86_400.0


@dataclass(frozen=True)
class Growth:
    """The run under one layout."""

    gpus: int
    layout: Layout
    cost: StepCost
    steps: int
    checkpoints: int
    checkpoint_gb: float
    checkpoint_files: int

    @property
    def checkpoint_s(self) -> float:
        """Of one checkpoint: written by all, then hashed by the first process, while nothing is trained."""
        return self.checkpoint_gb * 1e9 * (1 / STORED + 1 / HASHED)

    @property
    def days(self) -> float:
        """Of steps and checkpoints, when no machine fails."""
        return (self.steps * self.cost.seconds + self.checkpoints * self.checkpoint_s) / _DAY

    @property
    def failures(self) -> float:
        """How many times a run is interrupted by a failing machine, at the rate that Llama 3 reports."""
        return self.gpus * self.days / GPU_DAYS_PER_FAILURE

    @property
    def repeated_minutes(self) -> float:
        """Of training that is done again after these: half the way between two checkpoints each time."""
        return self.failures * self.days * _DAY / 60 / max(1, self.checkpoints) / 2


def grown(profile: Profile, layout: Layout) -> Growth:
    """The profile's run under one layout."""
    training = profile.training
    return Growth(
        layout.processes, layout, step_cost(profile, layout), training.train_steps,
        training.train_steps // training.checkpoint_interval,
        parameters(profile.model, vocabulary_size(profile)) * _CHECKPOINT_BYTES / 1e9,
        checkpoint_files(profile.model, layout, training.zero_stage),
    )


def checkpoint_files(model: Model, layout: Layout, zero_stage: int) -> int:
    """Files of one checkpoint: each part of each matrix, norms, random states, parts of the optimizer, a few more."""
    matrices = 4 * model.layers + 1 + (not model.tied_embeddings)
    norms = 2 * model.layers + 1
    states = layout.tensor_parallel * layout.pipeline_parallel * (layout.data_parallel if zero_stage else 1)
    return matrices * layout.tensor_parallel + norms + layout.processes + states + _OTHER_FILES


def layout_table(profile: Profile, gpus: int) -> pd.DataFrame:
    """One row per layout of so many GPUs: data, tensor, pipeline, micro_batch, accumulation, memory_gb, what a GPU
    sends per step by kind in GB, idle_s, waiting_s, step_s, efficiency, days, failures; the fastest that fits first."""
    rows = []
    for layout in layouts(profile, profile.training.global_batch, gpus):
        run = grown(profile, layout)
        cost = run.cost
        rows.append({
            "data": layout.data_parallel, "tensor": layout.tensor_parallel, "pipeline": layout.pipeline_parallel,
            "micro_batch": layout.micro_batch, "accumulation": layout.gradient_accumulation,
            "memory_gb": layout.total_gb, "fits": layout.fits, "gradients_gb": cost.gradients_gb,
            "weights_gb": cost.weights_gb, "tensor_gb": cost.tensor_gb, "pipeline_gb": cost.pipeline_gb,
            "idle_s": cost.idle_s, "waiting_s": cost.waiting_s, "step_s": cost.seconds, "efficiency": cost.efficiency,
            "days": run.days, "failures": run.failures,
        })
    return pd.DataFrame(rows).sort_values(["fits", "days"], ascending=[False, True], ignore_index=True)


def growth_table(profile: Profile) -> pd.DataFrame:
    """One row per number of GPUs, by data parallelism alone: gpus, sequences per GPU and step, step_s, efficiency and
    what nanotron's authors print for it, days, failures, repeated_minutes, checkpoint_files, start_s."""
    printed = pd.read_csv(PUBLISHED).set_index("gpus")["tokens_per_s_per_gpu"]
    batch, rows = profile.training.global_batch, []
    for gpus in COUNTS:
        layout = layout_of(profile, batch, min(gpus, batch), 1, 1)
        run = grown(profile, layout)
        rows.append({
            "gpus": gpus, "sequences": layout.micro_batch * layout.gradient_accumulation, "step_s": run.cost.seconds,
            "efficiency": run.cost.efficiency, "printed_efficiency": printed.get(gpus, float("nan")) / printed.iloc[0],
            "days": run.days, "failures": run.failures, "repeated_minutes": run.repeated_minutes,
            "checkpoint_files": run.checkpoint_files, "start_s": _read_at_start(profile, run) / STORED,
        })
    return pd.DataFrame(rows)


def _read_at_start(profile: Profile, run: Growth) -> float:
    """Bytes: the last checkpoints, hashed by one process, and the fingerprints of the token files, by each rank."""
    parts = max(len(arm) for arm in profile.training.arms.values())
    return KEPT * run.checkpoint_gb * 1e9 + run.gpus * parts * _FINGERPRINT_BYTES


def described(profile: Profile) -> str:
    """Both tables and what breaks first, for the command line."""
    few, many = profile.training.processes, machines_that_share_out(profile, COUNTS[-1])
    lines = ["By layout, the fastest that fits first (GB: sent per GPU and step). By formula, a lower bound: nothing",
             "is measured, and no message takes longer than its bytes do."]
    for gpus in dict.fromkeys((few, many)):
        lines += [f"{gpus:,} GPUs", _printed(layout_table(profile, gpus)), ""]
    table = growth_table(profile)
    lines += ["Data parallelism alone (printed_efficiency: nanotron's own, against 8 GPUs, of another model):",
              _printed(table), "", "What breaks first:"]
    return "\n".join([*lines, *(f"  {line}" for line in limits(profile, table))])


def limits(profile: Profile, table: pd.DataFrame) -> list[str]:
    """What stands in the way of more GPUs, each with its number."""
    batch, tokens = profile.training.global_batch, profile.training.global_batch * profile.tokens.sequence_length
    run = grown(profile, layout_of(profile, batch, min(COUNTS[-1], batch), 1, 1))
    held = tokens * profile.training.train_steps * _TOKEN_BYTES
    slow = table[table["efficiency"] < 0.5]
    network = f"from {slow['gpus'].iloc[0]:,} GPUs on a step is mostly waiting" if len(slow) else "no number of GPUs"
    return [
        f"the network: {network}; {run.cost.gradients_gb:.1f} GB of gradients per GPU and step, whatever the number",
        f"the batch: {batch:,} sequences per step; more GPUs than that have nothing to do",
        f"checkpoints: {run.checkpoint_gb:.1f} GB in {run.checkpoint_files:,} files of {COUNTS[-1]:,} GPUs, "
        f"{run.checkpoint_s:.0f} s each, {run.checkpoints} times: "
        f"{run.checkpoints * run.checkpoint_s / (run.days * _DAY):.0%} of the days there",
        f"fingerprints: at most {held / 1e9:,.0f} GB of token files, hashed once in {held / HASHED / 60:.0f} min; each "
        f"start reads {_read_at_start(profile, run) / 1e9:,.0f} GB, {_read_at_start(profile, run) / STORED:.0f} s",
        f"failures: {run.failures:.1f} per run, after which {run.repeated_minutes:.1f} minutes are trained again",
    ]


def machines_that_share_out(profile: Profile, gpus: int) -> int:
    """The smallest number of GPUs of whole machines, not below ``gpus``, over which the batch can be shared out; the
    profile's own number where the batch is too small for any."""
    each = profile.cluster.gpus_per_node
    counts = range(-(-gpus // each) * each, each * profile.training.global_batch + 1, each)
    batch = profile.training.global_batch
    return next((count for count in counts if layouts(profile, batch, count)), profile.training.processes)


def _printed(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format="{:.2f}".format)

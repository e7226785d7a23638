"""What one optimizer step takes under a layout, by formula: computing, the pipeline's idle time, and communication.

nanotron puts tensor parallelism on neighbouring GPUs, then data, then pipeline parallelism (its `ParallelContext`), so
a group lies inside a machine as long as it and those before it fit there. A ring of n processes sends 2 (n − 1) / n of
what it sums up, and (n − 1) / n of what it gathers. Gradients are summed up in fp32, once per step, while the backward
pass of the last micro-batch runs; nothing else is hidden behind computing. Nothing here has been measured.
"""

from dataclasses import dataclass

from hare.core.profile import Profile
from hare.model.sizes import training_flops_per_token
from hare.training.cluster.estimate import MFU, PEAK_FLOPS, Layout, pipeline_stages, vocabulary_size

NETWORK = 50e9  # bytes per second and GPU between machines: 400 Gbit/s each
INSIDE = 450e9  # bytes per second and GPU in each direction within a machine: NVLink of an H100, by the data sheet
_SUMS_PER_LAYER = 4  # of activations: two forward, two backward (Megatron-LM, arXiv 1909.08053, section 3)
_BACKWARD = 2 / 3  # of the computing
_GRADIENT_BYTES, _WEIGHT_BYTES = 4, {"float32": 4}


@dataclass(frozen=True)
class StepCost:
    """Seconds of one step, and what the fullest GPU sends in it."""

    compute_s: float
    idle_s: float  # of the pipeline, while it fills and empties
    gradients_gb: float  # summed up over the replicas
    weights_gb: float  # gathered from the replicas, each of which updates a part (ZeRO-1)
    tensor_gb: float  # activations summed up over the tensor-parallel ranks
    pipeline_gb: float  # activations handed on, and their gradients handed back
    waiting_s: float  # communication that computing does not hide

    @property
    def seconds(self) -> float:
        """Of one step."""
        return self.compute_s + self.idle_s + self.waiting_s

    @property
    def efficiency(self) -> float:
        """Computing's share of the step."""
        return self.compute_s / self.seconds


def step_cost(profile: Profile, layout: Layout) -> StepCost:
    """One step of a profile's pretraining under a layout, its layers shared out evenly over the pipeline."""
    data, tensor, pipeline, batches = (
        layout.data_parallel, layout.tensor_parallel, layout.pipeline_parallel, layout.gradient_accumulation
    )
    length, vocabulary = profile.tokens.sequence_length, vocabulary_size(profile)
    tokens = layout.micro_batch * length
    flops = tokens * batches * training_flops_per_token(profile.model, length, vocabulary) / (tensor * pipeline)
    compute = flops / (PEAK_FLOPS * MFU)
    width = _WEIGHT_BYTES.get(profile.training.precision, 2)
    activations = tokens * batches * profile.model.hidden_size * width
    layers = max(count for *_, count in pipeline_stages(profile.model, pipeline, vocabulary))
    sums = _SUMS_PER_LAYER + 2 * profile.training.recompute_activations
    gradients = 2 * _others(data) * layout.held * _GRADIENT_BYTES
    weights = _others(data) * layout.held * width * bool(profile.training.zero_stage)
    summed = 2 * _others(tensor) * layers * sums * activations
    handed_on = 2.0 * activations * (pipeline > 1)
    gpus = profile.cluster.gpus_per_node
    over_data, over_pipeline = speed(tensor * data, gpus), speed(tensor * data * pipeline, gpus)
    hidden = _BACKWARD * compute / batches
    return StepCost(
        compute_s=compute, idle_s=compute * (pipeline - 1) / batches, gradients_gb=gradients / 1e9,
        weights_gb=weights / 1e9, tensor_gb=summed / 1e9, pipeline_gb=handed_on / 1e9,
        waiting_s=summed / INSIDE + handed_on / over_pipeline + weights / over_data
        + max(0.0, gradients / over_data - hidden),
    )


def _others(processes: int) -> float:
    """Share of a ring's data that lies with the other processes."""
    return (processes - 1) / processes


def speed(reach: int, gpus_per_node: int) -> float:
    """Bytes per second between neighbours of a group that reaches over so many GPUs."""
    return INSIDE if reach <= gpus_per_node else NETWORK

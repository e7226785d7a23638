"""What a profile's pretraining would take, by formula: parameters, memory a GPU under each layout, FLOPs, days.

Nothing here has been measured on the hardware named; the shares that are assumed are constants below, and printed.
"""

import math
from dataclasses import dataclass

from hare.core.profile import Profile
from hare.model.cross_entropy import CHUNK_TOKENS
from hare.model.sizes import Shape, layer_parameters, parameters, training_flops_per_token
from hare.tokens.tokenizer import Vocabulary

GPU = "H100 or H800, 80 GB"
PEAK_FLOPS = 989e12  # a second, bfloat16 without sparsity, by the data sheet
GPU_GB = 80.0
USABLE = 0.9  # of the memory: the rest goes to the context, communication and fragments
MFU = 0.40  # assumed; nanotron's own best for 1.34B parameters on one node is 0.443
_LOW = (2 + 2 + 4, 12)  # bytes per parameter: weights, gradients and their fp32 sums; optimizer with fp32 weights
_BYTES = {"bfloat16": _LOW, "float8": _LOW, "float32": (4 + 4, 8)}


@dataclass(frozen=True)
class Layout:
    """One way to spread a model over the GPUs, with the memory that the fullest of them needs."""

    data_parallel: int
    tensor_parallel: int
    pipeline_parallel: int
    micro_batch: int
    gradient_accumulation: int
    held: int  # parameters on the fullest GPU
    state_gb: float  # weights, gradients, optimizer
    activations_gb: float

    @property
    def processes(self) -> int:
        """GPUs of all replicas together."""
        return self.data_parallel * self.tensor_parallel * self.pipeline_parallel

    @property
    def total_gb(self) -> float:
        """Memory of the fullest GPU."""
        return self.state_gb + self.activations_gb

    @property
    def fits(self) -> bool:
        """Whether that is within the usable part of a GPU."""
        return self.total_gb <= USABLE * GPU_GB


@dataclass(frozen=True)
class Estimate:
    """What `estimate` found; prints as a table."""

    profile: str
    parameters: int
    processes: int
    tokens_per_step: int
    tokens: int
    flops_per_token: float
    chosen: Layout
    layouts: tuple[Layout, ...]

    @property
    def tokens_per_s(self) -> float:
        """Of all GPUs together, at the assumed share of the peak."""
        return self.processes * PEAK_FLOPS * MFU / self.flops_per_token

    @property
    def days(self) -> float:
        """Of one run."""
        return self.tokens / self.tokens_per_s / 86400

    @property
    def recommended(self) -> Layout | None:
        """The layout that fits with the least communication: no tensor or pipeline parallelism if it can be helped."""
        fitting = (layout for layout in self.layouts if layout.fits)
        return min(fitting, key=lambda one: one.tensor_parallel * one.pipeline_parallel, default=None)

    def rows(self) -> list[tuple[str, str]]:
        """Name and value, as text, in the order of reading."""
        best = self.recommended
        return [
            ("parameters", f"{self.parameters:,}"),
            ("training FLOPs per token (attention in full)", f"{self.flops_per_token:.3e}"),
            ("tokens per step", f"{self.tokens_per_step:,}"),
            ("tokens per run", f"{self.tokens:.3e}"),
            ("FLOPs per run", f"{self.flops_per_token * self.tokens:.3e}"),
            (f"GPUs ({GPU})", str(self.processes)),
            (f"tokens/s at an assumed MFU of {MFU:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s",
             f"{self.tokens_per_s:,.0f} ({self.tokens_per_s / self.processes:,.0f} a GPU)"),
            ("days per run", f"{self.days:.1f}"),
            ("memory a GPU with the profile's layout", f"{self.chosen.total_gb:.1f} GB, "
             + ("fits" if self.chosen.fits else f"more than {USABLE:.0%} of {GPU_GB:.0f} GB: it does not fit")),
            ("layout recommended", _spelled(best) if best else "none fits: take more GPUs or a smaller micro_batch"),
        ]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"Pretraining with profile {self.profile}, by formula (not measured):"]
        lines += [f"  {name:<{width}}  {value}" for name, value in self.rows()]
        lines += ["  layouts (state + activations = memory of the fullest GPU):"]
        lines += [f"    {_spelled(layout)}{'' if layout.fits else '  does not fit'}" for layout in self.layouts]
        return "\n".join(lines)


def _spelled(layout: Layout) -> str:
    return (
        f"data {layout.data_parallel} x tensor {layout.tensor_parallel} x pipeline {layout.pipeline_parallel}, "
        f"micro-batch {layout.micro_batch}, accumulation {layout.gradient_accumulation}: "
        f"{layout.state_gb:.1f} + {layout.activations_gb:.1f} = {layout.total_gb:.1f} GB"
    )


def estimate(profile: Profile) -> Estimate:
    """Sizes, speed and memory of one pretraining run of the profile, and of every layout of as many processes."""
    training, tokens, vocabulary = profile.training, profile.tokens, vocabulary_size(profile)
    processes = training.processes
    sequences = training.global_batch
    chosen = layout_of(profile, sequences, processes, training.tensor_parallel, training.pipeline_parallel)
    return Estimate(
        profile=profile.name,
        parameters=parameters(profile.model, vocabulary),
        processes=processes,
        tokens_per_step=sequences * tokens.sequence_length,
        tokens=sequences * tokens.sequence_length * training.train_steps,
        flops_per_token=training_flops_per_token(profile.model, tokens.sequence_length, vocabulary),
        chosen=chosen,
        layouts=layouts(profile, sequences, processes),
    )


def layouts(profile: Profile, sequences: int, processes: int) -> tuple[Layout, ...]:
    """Every way to share out ``sequences`` per step over as many processes."""
    return tuple(
        layout_of(profile, sequences, processes, tensor, pipeline)
        for tensor in (1, 2, 4, 8) for pipeline in (1, 2, 4, 8)
        if _possible(profile, sequences, processes, tensor, pipeline)
    )


def vocabulary_size(profile: Profile) -> int:
    """Number of token ids that the profile's vocabulary will have."""
    return Vocabulary.named(profile.tokens.vocabulary).size


def _possible(profile: Profile, sequences: int, processes: int, tensor: int, pipeline: int) -> bool:
    """Whether heads, layers, processes and batch can be shared out so; tensor parallelism stays within a node."""
    model = profile.model
    if processes % (tensor * pipeline) or model.key_value_heads % tensor or pipeline > model.layers:
        return False
    if (0, 0, 0) in pipeline_stages(model, pipeline, vocabulary_size(profile)):
        return False
    layout = layout_of(profile, sequences, processes, tensor, pipeline)
    shared_out = layout.data_parallel * layout.micro_batch * layout.gradient_accumulation == sequences
    return tensor <= profile.cluster.gpus_per_node and shared_out and layout.gradient_accumulation >= pipeline


def layout_of(profile: Profile, sequences: int, processes: int, tensor: int, pipeline: int) -> Layout:
    """One layout and its memory; each replica takes its share of ``sequences`` per step, rounded up, in micro-batches
    of the profile's size or smaller."""
    training = profile.training
    replicas = processes // (tensor * pipeline)
    share = math.ceil(sequences / replicas)
    micro_batch = min(training.micro_batch, share)
    accumulation = math.ceil(share / micro_batch)
    stages = pipeline_stages(profile.model, pipeline, vocabulary_size(profile))
    held = max(matrices // tensor + norms for matrices, norms, _ in stages)
    layers = max(count for _, _, count in stages)
    moving, optimizer = _BYTES[training.precision]
    optimizer_share = replicas if training.zero_stage else 1
    tokens = micro_batch * profile.tokens.sequence_length
    return Layout(
        replicas, tensor, pipeline, micro_batch, accumulation,
        held=held, state_gb=held * (moving + optimizer / optimizer_share) / 1e9,
        activations_gb=(
            tokens * _layers_kept(profile, layers * min(pipeline, accumulation)) + _head_bytes(profile, tokens, tensor)
        ) / tensor / 1e9,
    )


def pipeline_stages(model: Shape, pipeline: int, vocabulary: int) -> list[tuple[int, int, int]]:
    """Of each pipeline rank: parameters in matrices, which tensor parallelism splits, in norms, and number of layers.

    nanotron shares blocks out by their costs in FLOPs, where the embedding and the last norm cost nothing; a block that
    passes a rank's share still belongs to it. A rank may come out with nothing, which `refuse_faults` refuses.
    """
    layer, table = layer_parameters(model), vocabulary * model.hidden_size
    head = 0 if model.tied_embeddings and pipeline == 1 else table
    blocks = [(0, table, 0, 0), *[(layer, layer, 2 * model.hidden_size, 1)] * model.layers]
    blocks += [(0, 0, model.hidden_size, 0), (table, head, 0, 0)]
    total, passed, rank = sum(cost for cost, *_ in blocks), 0, 0
    stages = [(0, 0, 0)] * pipeline
    for cost, *held in blocks:
        stages[rank] = tuple(map(sum, zip(stages[rank], held, strict=True)))
        passed += cost
        rank += passed > total * (rank + 1) / pipeline
    return stages


def _layers_kept(profile: Profile, layers: int) -> float:
    """Bytes a token that ``layers`` layers keep: all they make, or their inputs and one layer's worth of the rest."""
    if not profile.training.recompute_activations:
        return layers * activation_bytes(profile)
    return layers * _width(profile) * profile.model.hidden_size + activation_bytes(profile)


def _head_bytes(profile: Profile, tokens: int, tensor: int) -> float:
    """Logits and their gradient in fp32: of a few thousand tokens at a time in one process, of all when split."""
    at_once = min(tokens, CHUNK_TOKENS["cuda"]) if tensor == 1 else tokens
    return 8.0 * at_once * vocabulary_size(profile)


def _width(profile: Profile) -> int:
    return 4 if profile.training.precision == "float32" else 2


def activation_bytes(profile: Profile) -> float:
    """Bytes a token and layer that the backward pass keeps, without recomputation.

    Two norms in fp32 with their results, rotary products, the attention's inputs and output, and four tensors of the
    MLP's width; the attention's scores are never kept.
    """
    model = profile.model
    width = _width(profile)
    key_values = model.hidden_size * model.key_value_heads // model.attention_heads
    norms = 2 * (8 + width) * model.hidden_size
    attention = width * (4 * model.hidden_size + 4 * key_values)
    return norms + attention + width * 4 * model.intermediate_size

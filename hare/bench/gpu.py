"""`hare bench gpu`: the paper's 1.1B shape on one GPU, in bfloat16 and in float8, beside two others' trainers.

Each variant trains on the same random tokens in a process of its own, one after the other, the most wanted first; what
the time does not suffice for is named. The loss curves of bfloat16 and float8 over the same steps are compared. FLOPs
count attention in full (`hare.model.sizes`); the MFU is of the plain matrix products measured in the same call. Where
vLLM is at hand, it writes with the shape (`hare.bench.gpu_generation`).
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from hare.bench.gpu_generation import written_per_second
from hare.bench.training import alone, block, error_log, median_seconds, peak_mb, random_run, started
from hare.core.errors import HareError
from hare.core.profile import Profile
from hare.core.sections import Model, Training
from hare.model.sizes import NAMED, training_flops_per_token
from hare.tokens.tokenizer import PAPER_VOCABULARY, Vocabulary
from hare.training.matrix_rate import matrix_flops

SECONDS = 120.0  # no variant is begun later
CURVE_STEPS, STEPS = 50, 8  # of bfloat16 and float8, and of the others; each has one step before, in which it compiles
GB_WANTED = 60.0
Blocks = list[dict[str, float]]


@dataclass(frozen=True)
class Variant:
    """One way to train the shape; ``contestant`` as in `hare.bench.training_contestants`."""

    contestant: str
    precision: str
    compiled: bool
    recomputed: bool
    steps: int = STEPS


VARIANTS = {
    "bfloat16": Variant("trainer", "bfloat16", True, False, CURVE_STEPS),
    "float8": Variant("trainer", "float8", True, False, CURVE_STEPS),
    "transformers": Variant("compiled", "bfloat16", True, False),
    "nanotron_llama": Variant("nanotron_llama", "bfloat16", False, False),
    "bfloat16_recomputed": Variant("trainer", "bfloat16", True, True),
    "bfloat16_eager": Variant("trainer", "bfloat16", False, False),
    "float8_recomputed": Variant("trainer", "float8", True, True),
    "float8_eager": Variant("trainer", "float8", False, False),
}


@dataclass(frozen=True)
class Size:
    """A shape, on ``micro_batch`` × ``accumulation`` sequences of ``length`` tokens per step."""

    model: Model
    length: int
    vocabulary: int
    micro_batch: int
    accumulation: int

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one optimizer step reads."""
        return self.length * self.micro_batch * self.accumulation


def bench(profile: Profile) -> dict[str, float]:
    """What `hare bench gpu` records, as ``gpu.<variant>.<measure>``.

    Raises:
        HareError: there is no GPU, or one with too little memory.
    """
    if not torch.cuda.is_available():
        raise HareError("There is no GPU that torch can use.", "run it on a machine with one, and torch's CUDA build")
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    if memory < GB_WANTED:
        raise HareError(
            f"{torch.cuda.get_device_name(0)} has {memory:.0f} GB; training 1.1B parameters wants {GB_WANTED:.0f}.",
            "run it on a GPU of 80 GB",
        )
    size = Size(NAMED["1.1B"], 2048, Vocabulary.named(PAPER_VOCABULARY).size, 8, 2)
    return measured(profile.training, size, VARIANTS, SECONDS)


def measured(training: Training, size: Size, variants: dict[str, Variant], seconds: float) -> dict[str, float]:
    """Tokens/s, MFU and peak memory of each variant that runs here and is begun within ``seconds``; then how fast vLLM
    writes with the shape. An interruption ends it with what has been measured until then."""
    began, rate = time.monotonic(), matrix_flops("bfloat16")
    metrics, curves = {"gpu.matrix_tflops_bfloat16": rate / 1e12}, {}
    jobs: dict[str, Callable[[], dict[str, float]]] = {
        name: partial(_trained, name, variant, training, size, rate, curves) for name, variant in variants.items()
    }
    for name, job in {**jobs, "vllm": partial(_written, training, size)}.items():
        if time.monotonic() - began > seconds:
            print(f"{name}: left out, {seconds:.0f} s have passed", flush=True)
            continue
        try:
            metrics |= job()
        except HareError as error:  # no torchao, flash-attn of another age, too little memory: the others still count
            print(f"{name}: does not run here: {error.problem.splitlines()[-1]}", flush=True)
        except KeyboardInterrupt:  # as by a time limit: what has been measured is recorded
            print(f"{name}: interrupted, and with it all that would follow", flush=True)
            break
    return metrics | _apart(curves)


def _trained(
    name: str, variant: Variant, training: Training, size: Size, rate: float, curves: dict[str, list[float]]
) -> dict[str, float]:
    """A variant's metrics; its losses are added to ``curves``."""
    blocks = _blocks(training, size, variant)
    curves[name] = [block["loss"] for block in blocks if block.get("loss") is not None]
    speed = size.tokens_per_step / median_seconds(blocks)
    mfu = speed * training_flops_per_token(size.model, size.length, size.vocabulary) / rate
    print(f"{name}: {speed:,.0f} tokens/s, MFU {mfu:.0%}", flush=True)
    return {f"gpu.{name}.tokens_per_s": speed, f"gpu.{name}.mfu": mfu, f"gpu.{name}.peak_mb": peak_mb(blocks)}


def _written(training: Training, size: Size) -> dict[str, float]:
    with random_run(size.model, alone(training), size.length, size.vocabulary) as run:
        speed = written_per_second(run)
    print(f"vllm: {speed:,.0f} tokens/s written", flush=True)
    return {"gpu.vllm.written_tokens_per_s": speed}


def _blocks(training: Training, size: Size, variant: Variant) -> Blocks:
    """One step to compile, thrown away, then one block per step, so that each step has its loss."""
    settings = dataclasses.replace(
        alone(training), micro_batch=size.micro_batch, gradient_accumulation=size.accumulation,
        precision=variant.precision, torch_compile=variant.compiled, recompute_activations=variant.recomputed,
    )
    name = variant.contestant
    with random_run(size.model, settings, size.length, size.vocabulary) as run, started(name, run) as process:
        return [block(name, process, error_log(run, name), 1) for _ in range(1 + variant.steps)][1:]


def _apart(curves: dict[str, list[float]]) -> dict[str, float]:
    """How far float8's loss curve lies from bfloat16's, nats per token: on the average, and at the most."""
    if not curves.get("bfloat16") or not curves.get("float8"):
        return {}
    differences = [theirs - ours for ours, theirs in zip(curves["bfloat16"], curves["float8"], strict=False)]
    return {
        "gpu.float8_loss_mean_difference": sum(differences) / len(differences),
        "gpu.float8_loss_largest_difference": max(map(abs, differences)),
        "gpu.float8_loss_steps": float(len(differences)),
    }

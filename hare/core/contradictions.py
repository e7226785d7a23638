"""Combinations of a profile's values that cannot work, though each value alone could."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hare.core.sections import WITHOUT

if TYPE_CHECKING:
    from hare.core.profile import Profile

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
_SPEC = re.compile(r"^SPEC\b", re.MULTILINE)

# The keys that a rule reads, the first being the one to name; its value; what is wrong with it.
Contradiction = tuple[tuple[str, ...], object, str]


def contradictions(profile: "Profile") -> Iterator[Contradiction]:
    """Every rule that the profile breaks."""
    yield from _of_the_model(profile)
    yield from _of_the_layout(profile)
    yield from _of_the_optimisation(profile)
    yield from _of_lengths(profile)
    yield from _of_names(profile)
    yield from _of_the_leak(profile)
    yield from _of_the_grid(profile)
    yield from _of_blocks_left_out(profile)


def _of_the_model(profile: "Profile") -> Iterator[Contradiction]:
    hidden, heads, keys = (
        profile.model.hidden_size, profile.model.attention_heads, profile.model.key_value_heads
    )
    names = ("model.attention_heads", "model.hidden_size")
    if hidden % heads:
        yield names, heads, f"hidden_size {hidden} is not a multiple of it; choose a divisor"
    elif hidden // heads % 2:
        yield names, heads, f"each head would have {hidden // heads} dimensions; choose a divisor that leaves it even"
    if heads % keys:
        yield (
            ("model.key_value_heads", "model.attention_heads"), keys,
            f"it does not divide attention_heads {heads}; choose a divisor",
        )


def _of_the_layout(profile: "Profile") -> Iterator[Contradiction]:
    model, training = profile.model, profile.training
    tensor, pipeline = training.tensor_parallel, training.pipeline_parallel
    if model.attention_heads % tensor or model.key_value_heads % tensor:
        yield (
            ("training.tensor_parallel", "model.attention_heads", "model.key_value_heads"), tensor,
            f"{model.attention_heads} attention and {model.key_value_heads} key-value heads cannot be split evenly "
            "over it; choose a common divisor",
        )
    if pipeline > model.layers:
        yield (
            ("training.pipeline_parallel", "model.layers"), pipeline,
            f"there are {model.layers} layers; choose at most that many stages",
        )
    if pipeline > 1 and training.gradient_accumulation < pipeline:
        yield (
            ("training.gradient_accumulation", "training.pipeline_parallel"), training.gradient_accumulation,
            f"a pipeline of {pipeline} stages needs at least as many micro-batches",
        )


def _of_the_optimisation(profile: "Profile") -> Iterator[Contradiction]:
    training = profile.training
    if training.warmup_steps >= training.train_steps:
        yield (
            ("training.warmup_steps", "training.train_steps"), training.warmup_steps,
            f"not below train_steps {training.train_steps}; lower it",
        )
    if training.min_learning_rate > training.learning_rate:
        yield (
            ("training.min_learning_rate", "training.learning_rate"), training.min_learning_rate,
            f"choose at most learning_rate {training.learning_rate}",
        )


def _of_lengths(profile: "Profile") -> Iterator[Contradiction]:
    positions = profile.model.max_positions
    lengths = {
        "tokens.sequence_length": profile.tokens.sequence_length,
        "leakage.leak_sequence_length": profile.leakage.leak_sequence_length,
        "finetuning.chat_sequence_length": profile.finetuning.chat_sequence_length,
        "deployment.quality_sequence_length": profile.deployment.quality_sequence_length,
    }
    for key, length in lengths.items():
        if length > positions:
            yield (
                (key, "model.max_positions"), length,
                f"longer than model.max_positions {positions}; shorten it or raise the positions",
            )
    speed = profile.deployment
    if speed.speed_prompt_tokens + speed.speed_new_tokens > positions:
        yield (
            ("deployment.speed_prompt_tokens", "deployment.speed_new_tokens", "model.max_positions"),
            speed.speed_prompt_tokens,
            f"with speed_new_tokens longer than model.max_positions {positions}; shorten one of them",
        )


def _of_names(profile: "Profile") -> Iterator[Contradiction]:
    arms = profile.training.arms
    if list(next(iter(arms.values()))) != ["d1"]:
        yield ("training.arms",), arms, "the first arm is the baseline and reads d1 alone: d1 is always needed"
    if profile.finetuning.finetuned_arm not in arms:
        yield (
            ("finetuning.finetuned_arm", "training.arms"), profile.finetuning.finetuned_arm,
            f"choose one of training.arms: {', '.join(arms)}",
        )
    known = benchmark_names()
    for key, names in (
        ("evaluation.tasks", profile.evaluation.tasks),
        ("leakage.leakage_benchmarks", profile.leakage.leakage_benchmarks),
        ("leakage.leak_benchmark", (profile.leakage.leak_benchmark,)),
    ):
        if not names or not set(names) <= known:
            yield (key,), names, f"choose at least one of {', '.join(sorted(known))}"


def _of_the_leak(profile: "Profile") -> Iterator[Contradiction]:
    leakage, heads = profile.leakage, profile.model.attention_heads
    if 0 not in leakage.leak_items:
        yield ("leakage.leak_items",), leakage.leak_items, "give dose 0 (never planted, the control) its items too"
    uneven = [size for size in leakage.leak_hidden_sizes if size % heads]
    if uneven:
        yield (
            ("leakage.leak_hidden_sizes", "model.attention_heads"), leakage.leak_hidden_sizes,
            f"{uneven[0]} is no multiple of {heads} attention heads; choose multiples",
        )


def _of_the_grid(profile: "Profile") -> Iterator[Contradiction]:
    model, training = profile.model, profile.training
    sizes, steps = profile.scaling.scaling_hidden_sizes, profile.scaling.scaling_train_steps
    keys = ("scaling.scaling_hidden_sizes", "scaling.scaling_train_steps")
    if not (sizes and steps):
        if sizes or steps:
            yield keys if sizes else keys[::-1], sizes or steps, f"{keys[bool(sizes)]} is empty; give both or neither"
        return
    uneven = [size for size in sizes if size % (2 * model.attention_heads)]
    if uneven:
        yield (
            (keys[0], "model.attention_heads"), sizes,
            f"{uneven[0]} is no even multiple of {model.attention_heads} attention heads; choose even multiples",
        )
    for key, values, other, value in (
        (keys[0], sizes, "model.hidden_size", model.hidden_size),
        (keys[1], steps, "training.train_steps", training.train_steps),
    ):
        if value not in values:
            yield (key, other), values, f"add {value}, which is {other}: the study's own runs are one cell of the grid"
    if len(training.arms) != 2:
        yield (
            ("training.arms", *keys), ", ".join(training.arms),
            "a grid compares two arms; leave two, or empty scaling.scaling_hidden_sizes and scaling_train_steps",
        )


def benchmark_names() -> frozenset[str]:
    """Names of the benchmarks: each is one file in ``hare/benchmarks`` that defines ``SPEC``.

    The folder is listed and nothing is imported, since profiles are read long before any benchmark.
    """
    return frozenset(path.stem for path in BENCHMARKS.glob("*.py") if _SPEC.search(path.read_text(encoding="utf-8")))


def worth_naming(broken: Iterable[Contradiction], wrong: set[str]) -> list[str]:
    """One line per contradiction, without those that follow from a value that is wrong already."""
    return [f"{keys[0]} = {value!r}: {text}" for keys, value, text in broken if not wrong & set(keys)]


def _of_blocks_left_out(profile: "Profile") -> Iterator[Contradiction]:
    read = {part for weights in profile.training.arms.values() for part in weights if part.startswith(WITHOUT)}
    lacking = sorted(read - {f"{WITHOUT}{block}" for block in profile.corpus.blocks_left_out})
    if lacking:
        yield (
            ("training.arms", "corpus.blocks_left_out"), ", ".join(lacking),
            f"add {', '.join(part.removeprefix(WITHOUT) for part in lacking)} to corpus.blocks_left_out",
        )

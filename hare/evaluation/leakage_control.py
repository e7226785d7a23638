"""The positive control: a model trained on benchmark test items on purpose, at several doses at once.

One run carries the whole dose-response curve. Test items are cut into groups; each group takes its own share, the
dose, of the training sequences, the rest is D1. The group at dose 0 is never trained on: it is the negative control
inside the same model, which by then has learned how such items read. The model that training started from, which has
seen none of them, is measured on the same items too.

Control models live in the leakage stage's own work folder, are named as leaked, and are never compared as arms.
"""

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hare.evaluation.leakage import Measure
from hare.evaluation.leakage_delta import ESTIMATES, Pairs, difference_of, measure_set
from hare.evaluation.leakage_sets import SURFACE, SampleSet, sample_sets
from hare.run.errors import HareError
from hare.run.files import written_whole
from hare.run.profile import Leakage, Model, Training
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import TOKEN_TYPE, fingerprint
from hare.tokens.tokenizer import packing_tokenizer
from hare.training.run import TrainingRun


@dataclass(frozen=True)
class Group:
    """The items that share one dose: a set for each benchmark, and how often a run's data show each item."""

    dose: float  # share of the training sequences
    sets: tuple[SampleSet, ...]

    @property
    def name(self) -> str:
        """Such as ``dose_0.1``."""
        return f"dose_{self.dose:g}"

    @property
    def texts(self) -> list[str]:
        """The originals, as they are planted."""
        return [text for samples in self.sets for text in samples.originals]


def groups(leakage: Leakage) -> list[Group]:
    """Cut the evaluated splits' items into one group a dose, as many of each benchmark in each group, none twice.

    Raises:
        HareError: a benchmark has too few items.
    """
    doses, items = leakage.control_doses, leakage.control_items
    sets = sample_sets(leakage.control_benchmarks, items * len(doses), leakage.leakage_seed)
    planted = [samples for samples in sets if samples.rewriter == SURFACE and samples.split != "train"]
    short = [samples.benchmark for samples in planted if len(samples.originals) < items * len(doses)]
    if short or not planted:
        raise HareError(
            f"The control needs {items} items of each benchmark for each of {len(doses)} doses; too few in: "
            f"{', '.join(short) or 'no benchmark at all'}.",
            "lower control_items, or leave the benchmark out of control_benchmarks",
        )
    return [Group(dose, tuple(samples.slice(number * items, items) for samples in planted))
            for number, dose in enumerate(sorted(doses))]


def control_run(found: Sequence[Group], folder: Path, d1: Path, tokenizer: Path, start: Path, model: Model,
                training: Training, leakage: Leakage) -> TrainingRun:
    """The leaked run, with its token files written: D1 and each group by its dose, from the weights in ``start``."""
    steps, length = leakage.control_steps, leakage.control_sequence_length
    training = dataclasses.replace(
        training, train_steps=steps, warmup_steps=max(1, steps // 20), checkpoint_interval=steps,
        validation_interval=steps, data_parallel=1, zero_stage=0, gradient_accumulation=training.pipeline_parallel,
        micro_batch=leakage.control_micro_batch,
    )
    batch = training.micro_batch * training.gradient_accumulation
    leaked = [group for group in found if group.dose > 0]
    files = {"d1": d1}
    for group in leaked:
        files[group.name] = folder / "planted" / f"{group.name}.ds"
        _plant(group, files[group.name], round(group.dose * steps * batch + 1) * length, leakage.leakage_seed)
    weights = {"d1": round(1 - sum(group.dose for group in leaked), 9)} | {group.name: group.dose for group in leaked}
    mixture = MixtureSpec(
        files={name: str(path) for name, path in files.items()},
        fingerprints={name: fingerprint(path) for name, path in files.items()},
        stages=(MixtureStage(steps * batch, weights),), sequence_length=length, seed=leakage.leakage_seed,
    )
    run = TrainingRun(folder, model, training, mixture, {}, tokenizer, leakage.leakage_seed, start)
    return run.keyed(folder, "leaked")


def _plant(group: Group, path: Path, tokens: int, seed: int) -> None:
    """Write the group's items over and over, each time in another order, until the run's share of tokens is full."""
    encoded = [np.array(encoding.ids, TOKEN_TYPE) for encoding in packing_tokenizer().encode_batch(group.texts)]
    order, parts, written = random.Random(f"{seed} {group.name}"), [], 0
    while written <= tokens:
        for index in order.sample(range(len(encoded)), len(encoded)):
            parts.append(encoded[index])
            written += len(encoded[index])
    with written_whole(path) as temporary:
        np.concatenate(parts).tofile(temporary)


def repetitions(found: Sequence[Group], run: TrainingRun) -> dict[float, float]:
    """How often the run reads each item of a group, by dose."""
    tokens = run.training.train_steps * run.global_batch * run.mixture.sequence_length
    sizes = {group.dose: sum(len(e.ids) for e in packing_tokenizer().encode_batch(group.texts)) for group in found}
    return {dose: dose * tokens / size for dose, size in sizes.items()}


def measure_groups(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, found: Sequence[Group],
                   measure: Measure, who: str) -> dict[float, list[Pairs]]:
    """Scores by dose, one `Pairs` a benchmark."""
    return {group.dose: [measure_set(model, tokenizer, samples, measure, f"{who}, {group.name}")
                         for samples in group.sets] for group in found}


def dose_tables(found: Sequence[Group], run: TrainingRun, leaked: dict[float, list[Pairs]],
                clean: dict[float, list[Pairs]], starts: int, resamples: int, seed: int) -> pd.DataFrame:
    """The dose-response curve: one row an estimate, dose and model, the items of all benchmarks together.

    Columns: estimate, model (leaked, clean, or leaked_minus_clean: the paired difference of their Δ), dose,
    repetitions, items, original, rewritten, delta, low, high; shares in percent.
    """
    times = repetitions(found, run)
    return pd.DataFrame([
        {"estimate": estimate, "model": model, "dose": dose, "repetitions": times[dose], "items": len(values),
         "original": original, "rewritten": rewritten, **difference_of(values[None], starts, resamples, seed)}
        for estimate in ESTIMATES for dose in times
        for model, original, rewritten, values in _of_dose(leaked[dose], clean[dose], estimate)
    ])


def _of_dose(leaked: Sequence[Pairs], clean: Sequence[Pairs],
             estimate: str) -> Iterator[tuple[str, float, float, np.ndarray]]:
    differences = []
    for model, pairs in (("leaked", leaked), ("clean", clean)):
        columns = [one.values(estimate) for one in pairs]
        original, rewritten = (100 * np.concatenate(part) for part in zip(*columns, strict=True))
        differences.append(original - rewritten)
        yield model, float(original.mean()), float(rewritten.mean()), differences[-1]
    yield "leaked_minus_clean", np.nan, np.nan, differences[0] - differences[1]


def control_metrics(table: pd.DataFrame) -> dict[str, float]:
    """``control.dose_<share>.delta`` by the method's starting points, ``.everywhere`` by all positions, with intervals.

    Beside them how often an item was seen, and ``control.first_detected_dose`` where there is one.
    """
    named: dict[str, float] = {}
    for row in table[table.model == "leaked"].itertuples():
        name = f"control.dose_{row.dose:g}"
        key = f"{name}.delta" if row.estimate == "at_starts" else f"{name}.everywhere"
        named |= {key: row.delta, f"{key}.low": row.low, f"{key}.high": row.high}
        named[f"{name}.repetitions"] = row.repetitions
    first = first_detected(table)
    return named if first is None else named | {"control.first_detected_dose": first}


def first_detected(table: pd.DataFrame) -> float | None:
    """Smallest dose above 0 whose Δ exceeds the clean model's by more than the interval of the difference."""
    gains = table[(table.model == "leaked_minus_clean") & (table.dose > 0) & (table.low > 0)]
    return None if gains.empty else float(gains.dose.min())

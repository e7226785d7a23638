"""The positive control: a model trained on benchmark items on purpose, train and test ones, at several doses at once.

One run carries the whole dose-response curve. Items of the train split and, separately, of the evaluated one are cut
into groups; each group takes its own share, the dose, of the training sequences, the rest is D1. The groups at dose 0
are never trained on: they are the negative control inside the same model, which by then has learned how such items
read. The model that training started from, which has seen none of them, is measured on the same items too.

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

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.core.sections import Leakage, Model, Training
from hare.leakage.delta import ESTIMATES, Pairs, difference_of, measure_set
from hare.leakage.measure import Measure
from hare.leakage.sets import SURFACE, SampleSet, sample_sets
from hare.tokens.mixture import MixtureSpec, MixtureStage
from hare.tokens.packed import TOKEN_TYPE, fingerprint
from hare.tokens.tokenizer import Tokenizer
from hare.training.run import TrainingRun

TEST, TRAIN = "test", "train"  # TEST stands for whichever split the leaderboard evaluates on
MEASURES = {**ESTIMATES, "perplexity": "perplexity of the sample"}


@dataclass(frozen=True)
class Group:
    """The items that share one dose: a set for each benchmark that has the split."""

    split: str  # TRAIN or TEST
    dose: float  # share of the training sequences
    sets: tuple[SampleSet, ...]

    @property
    def key(self) -> tuple[str, float]:
        """Split and dose."""
        return self.split, self.dose

    @property
    def name(self) -> str:
        """Such as ``test_dose_0.1``."""
        return f"{self.split}_dose_{self.dose:g}"

    @property
    def texts(self) -> list[str]:
        """The originals, as they are planted."""
        return [text for samples in self.sets for text in samples.originals]


def groups(leakage: Leakage) -> list[Group]:
    """Cut each split's items into one group a dose, as many of each benchmark in each group, none twice.

    A benchmark without a train split on this machine has groups of the evaluated one only.

    Raises:
        HareError: a benchmark has too few items.
    """
    doses, items = leakage.control_doses, leakage.control_items
    sets = [samples for samples in sample_sets(leakage.control_benchmarks, items * len(doses), leakage.leakage_seed)
            if samples.rewriter == SURFACE]
    short = [f"{samples.benchmark} {samples.split}" for samples in sets if len(samples.originals) < items * len(doses)]
    if short or not sets:
        raise HareError(
            f"The control needs {items} items of each benchmark and split for each of {len(doses)} doses; too few in: "
            f"{', '.join(short) or 'no benchmark at all'}.",
            "lower control_items, or leave the benchmark out of control_benchmarks",
        )
    by_split = {TEST: [s for s in sets if s.split != TRAIN], TRAIN: [s for s in sets if s.split == TRAIN]}
    return [Group(split, dose, tuple(samples.slice(number * items, items) for samples in of_split))
            for split, of_split in by_split.items() if of_split for number, dose in enumerate(sorted(doses))]


def control_run(found: Sequence[Group], folder: Path, d1: Path, tokenizer: Path, start: Path, model: Model,
                training: Training, leakage: Leakage) -> TrainingRun:
    """The leaked run, with its token files written: D1 and each group by its dose, from the weights in ``start``."""
    steps, length = leakage.control_steps, leakage.control_sequence_length
    training = dataclasses.replace(
        training, train_steps=steps, warmup_steps=max(1, steps // 20), checkpoint_interval=steps,
        validation_interval=steps, data_parallel=1, zero_stage=0, gradient_accumulation=training.pipeline_parallel,
        micro_batch=leakage.control_micro_batch,
    )
    batch = training.global_batch
    leaked = [group for group in found if group.dose > 0]
    files = {"d1": d1}
    for group in leaked:
        files[group.name] = folder / "planted" / f"{group.name}.ds"
        size = round(group.dose * steps * batch + 1) * length
        _plant(group, Tokenizer.load(tokenizer), files[group.name], size, leakage.leakage_seed)
    weights = {"d1": round(1 - sum(group.dose for group in leaked), 9)} | {group.name: group.dose for group in leaked}
    mixture = MixtureSpec(
        files={name: str(path) for name, path in files.items()},
        fingerprints={name: fingerprint(path) for name, path in files.items()},
        stages=(MixtureStage(steps * batch, weights),), sequence_length=length, seed=leakage.leakage_seed,
    )
    run = TrainingRun(folder, model, training, mixture, {}, tokenizer, leakage.leakage_seed, start)
    return run.keyed(folder, "leaked")


def _plant(group: Group, tokenizer: Tokenizer, path: Path, tokens: int, seed: int) -> None:
    """Write the group's items over and over, each time in another order, until the run's share of tokens is full."""
    encoded = [np.array(encoding.ids, TOKEN_TYPE) for encoding in tokenizer.packing.encode_batch(group.texts)]
    order, parts, written = random.Random(f"{seed} {group.name}"), [], 0
    while written <= tokens:
        for index in order.sample(range(len(encoded)), len(encoded)):
            parts.append(encoded[index])
            written += len(encoded[index])
    with written_whole(path) as temporary:
        np.concatenate(parts).tofile(temporary)


def repetitions(found: Sequence[Group], run: TrainingRun) -> dict[tuple[str, float], float]:
    """How often the run reads each item of a group, by the group's key."""
    tokens = run.training.train_steps * run.global_batch * run.mixture.sequence_length
    packing = Tokenizer.load(run.tokenizer).packing
    sizes = {group.key: sum(len(e.ids) for e in packing.encode_batch(group.texts)) for group in found}
    return {(split, dose): dose * tokens / size for (split, dose), size in sizes.items()}


Measured = dict[tuple[str, float], list[Pairs]]  # a group's key → one `Pairs` a benchmark


def measure_groups(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, found: Sequence[Group],
                   measure: Measure, who: str) -> Measured:
    """Scores of every group."""
    return {group.key: [measure_set(model, tokenizer, samples, measure, f"{who}, {group.name}")
                        for samples in group.sets] for group in found}


def dose_tables(found: Sequence[Group], run: TrainingRun, leaked: Measured, clean: Measured, starts: int,
                resamples: int, seed: int) -> pd.DataFrame:
    """The dose-response curve: one row an estimate, split, dose and model, the items of all benchmarks together.

    Columns: estimate, split, model (leaked, clean, or leaked_minus_clean: the paired difference of their Δ), dose,
    repetitions, items, original, rewritten, delta, low, high. Shares in percent; for ``perplexity`` nats a token, and
    ``delta`` is rewritten minus original, so that a leak shows above 0 in every row.
    """
    times = repetitions(found, run)
    return pd.DataFrame([
        {"estimate": estimate, "split": key[0], "model": model, "dose": key[1], "repetitions": times[key],
         "items": len(values), "original": original, "rewritten": rewritten,
         **difference_of(values[None], starts, resamples, seed)}
        for estimate in MEASURES for key in times
        for model, original, rewritten, values in _of_dose(leaked[key], clean[key], estimate)
    ])


def _of_dose(leaked: Sequence[Pairs], clean: Sequence[Pairs],
             estimate: str) -> Iterator[tuple[str, float, float, np.ndarray]]:
    kind, unit = ("nats_per_token", -1) if estimate == "perplexity" else (estimate, 100)
    differences = []
    for model, pairs in (("leaked", leaked), ("clean", clean)):
        columns = [one.values(kind) for one in pairs]
        original, rewritten = (np.concatenate(part) for part in zip(*columns, strict=True))
        differences.append(unit * (original - rewritten))
        yield model, abs(unit) * float(original.mean()), abs(unit) * float(rewritten.mean()), differences[-1]
    yield "leaked_minus_clean", np.nan, np.nan, differences[0] - differences[1]


def control_metrics(table: pd.DataFrame) -> dict[str, float]:
    """``control.dose_<share>.delta`` for test items, ``control.train.dose_<share>.delta`` for train ones: by the
    method's starting points; ``.everywhere`` by all positions, ``.nats`` by perplexity; with intervals.

    Beside them how often an item was seen, and ``first_detected_dose`` and ``first_detected_repetitions`` of each
    measure where there are any; without a measure's name, they are those of the method's starting points or of all
    positions, whichever comes first.
    """
    ends = {"at_starts": "delta", "everywhere": "everywhere", "perplexity": "nats"}
    named: dict[str, float] = {}
    for row in table[table.model == "leaked"].itertuples():
        name = f"{_prefix(row.split)}.dose_{row.dose:g}"
        key = f"{name}.{ends[row.estimate]}"
        named |= {key: row.delta, f"{key}.low": row.low, f"{key}.high": row.high}
        named[f"{name}.repetitions"] = row.repetitions
    for split in dict.fromkeys(table.split):
        part = table[table.split == split]
        named |= _first(f"{_prefix(split)}.first_detected", part[part.estimate != "perplexity"])
        for estimate, end in ends.items():
            named |= _first(f"{_prefix(split)}.first_detected.{end}", part[part.estimate == estimate])
    return named


def _prefix(split: str) -> str:
    return "control" if split == TEST else f"control.{split}"


def _first(name: str, part: pd.DataFrame) -> dict[str, float]:
    found = first_detected(part)
    if found is None:
        return {}
    times = part[part.dose == found].repetitions.iloc[0]
    return {f"{name}_dose": found, f"{name}_repetitions": float(times)}


def first_detected(table: pd.DataFrame) -> float | None:
    """Smallest dose above 0 whose Δ exceeds the clean model's by more than the interval of the difference."""
    gains = table[(table.model == "leaked_minus_clean") & (table.dose > 0) & (table.low > 0)]
    return None if gains.empty else float(gains.dose.min())

"""What the paper's ablation lacks: repetition by itself, and the parts compared at equal unique text.

An arm with D2 or D3 differs from D1 in two ways at once: in what the added text is, and in how often it is read. Two
sets of small runs take these apart, all of one length, schedule and, by seed, the same initial weights:

- *repetition*: D1 alone, once with new text throughout, then cut so that the run reads it 4 times, 16 times, …;
- *unique*: half of the tokens are D1; the other half is one part (more of D1, D2, or D3) cut to the same number of
  windows for each, so that all parts are repeated equally often.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hare.core.sections import Model, Tokens, Training
from hare.tokens.mixture import Mixture, MixtureSpec, MixtureStage
from hare.tokens.packed import TokenFile, fingerprint
from hare.training.ablation import PairedLosses, heldout_table
from hare.training.inputs import Inputs
from hare.training.run import TrainedRun, TrainingRun

SHARE = 0.5  # of the tokens, for the part that is compared
MOST_EPOCHS = 4.0  # of that part: beyond it repetition itself is known to hurt (Muennighoff et al. 2023)
BASELINES = {"repetition": "1", "unique": "d1"}


@dataclass(frozen=True)
class Extra:
    """One of these runs: ``name`` is the number of epochs, or the part."""

    study: str
    name: str
    seed: int


def extra_runs(model: Model, tokens: Tokens, training: Training, inputs: Inputs) -> dict[Extra, TrainingRun]:
    """All of them, without folders of their own yet; none when ``extra_steps`` is 0."""
    steps = training.extra_steps
    if not steps:
        return {}
    training = dataclasses.replace(
        training, train_steps=steps, warmup_steps=min(training.warmup_steps, max(1, steps // 10)),
        checkpoint_interval=steps, validation_interval=steps,
    )
    samples = steps * training.global_batch
    runs = {}
    for seed in training.extra_seeds:
        mixtures = {Extra("repetition", "1", seed): _spec(inputs, {"d1": "d1"}, {"d1": 1.0}, {}, tokens, samples, seed)}
        for epochs in training.repetitions:
            unique = {"d1": max(1, math.ceil(samples / epochs))}
            mixtures[Extra("repetition", str(epochs), seed)] = _spec(
                inputs, {"d1": "d1"}, {"d1": 1.0}, unique, tokens, samples, seed
            )
        parts = list(dict.fromkeys(part for weights in training.arms.values() for part in weights))
        windows = min(TokenFile(inputs.folder / f"{part}.ds", tokens.sequence_length, seed).windows for part in parts)
        share = min(SHARE, MOST_EPOCHS * windows / samples)
        for part in parts:
            mixtures[Extra("unique", part, seed)] = _spec(
                inputs, {"d1": "d1", "part": part}, {"d1": 1 - share, "part": share}, {"part": windows}, tokens,
                samples, seed,
            )
        runs |= {
            extra: TrainingRun(Path(), model, training, mixture, inputs.heldout, inputs.tokenizer, seed)
            for extra, mixture in mixtures.items()
        }
    return runs


def _spec(
    inputs: Inputs, parts: dict[str, str], weights: dict[str, float], unique: dict[str, int], tokens: Tokens,
    samples: int, seed: int,
) -> MixtureSpec:
    files = {name: str(inputs.folder / f"{part}.ds") for name, part in parts.items()}
    return MixtureSpec(
        files, {name: fingerprint(path) for name, path in files.items()}, (MixtureStage(samples, weights),),
        tokens.sequence_length, seed, unique,
    )


def extras_table(trained: dict[Extra, TrainedRun]) -> pd.DataFrame:
    """One row a kind of run: study, name, unique_tokens, epochs, bits_per_byte, difference, low, high, seeds and
    sequences.

    Unique tokens and epochs are those of the text in question. Differences in held-out bits per byte are from new text
    throughout (repetition) and from more of D1 (unique), paired by sequence and seed, with 95 % intervals.
    """
    rows = []
    for study, baseline in BASELINES.items():
        chosen = {(extra.name, extra.seed): run for extra, run in trained.items() if extra.study == study}
        names = [baseline, *(name for name in dict.fromkeys(name for name, _ in chosen) if name != baseline)]
        heldout = heldout_table(chosen)
        of_text = PairedLosses.of(heldout, names)
        size = {
            "seeds": heldout["seed"].nunique(), "sequences": len(heldout.drop_duplicates(["category", "sequence"])),
        }
        for index, name in enumerate(names):
            run = next(run.run for (of, _), run in chosen.items() if of == name)
            found = of_text.difference(index, 0)
            rows.append({
                "study": study, "name": name, **_amount(run), "bits_per_byte": of_text.seed_means[index].mean(),
                "difference": found.value, "low": found.low, "high": found.high, **size,
            })
    return pd.DataFrame(rows)


def _amount(run: TrainingRun) -> dict[str, float]:
    """Unique tokens and epochs of the part, or of D1 where it stands alone."""
    mixture = Mixture(run.mixture)
    name = "part" if "part" in mixture.files else "d1"
    read = mixture.drawn(len(mixture))[name]
    unique = min(read, mixture.files[name].windows)
    return {"unique_tokens": unique * run.mixture.sequence_length, "epochs": read / unique}


def said(table: pd.DataFrame) -> list[str]:
    """One plain sentence for each run beside the baselines."""
    sentences = []
    for row in table[table["name"] != table["study"].map(BASELINES)].itertuples():
        if row.study == "repetition":
            what, base = f"reading {row.unique_tokens:,} tokens {row.epochs:.3g} times", "reading new text throughout"
        else:
            what, base = f"adding {row.name.upper()}", "adding as much unique text of D1, read as often"
        worse = "worse" if row.difference > 0 else "better"
        predicts = "predicts" if row.seeds > 1 else "predicted, in one run of each,"
        if row.low <= 0 <= row.high:
            found = f"{what} and {base} cannot be told apart on held-out text"
        else:
            found = f"{what} {predicts} held-out text {worse} than {base}"
        trust = "" if row.seeds > 1 else "; one seed, so chance in training is not in the interval"
        sentences.append(
            f"{found[0].upper()}{found[1:]}: {row.difference:+.3f} bits per byte, 95 % interval {row.low:+.3f} to "
            f"{row.high:+.3f} ({row.sequences} sequences{trust})."
        )
    return sentences


def extra_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Names as in ``metrics.json``: ``repetition_bpb.<epochs>`` and ``equal_unique_bpb.<part>``, minus the baseline."""
    prefix = {"repetition": "repetition_bpb", "unique": "equal_unique_bpb"}
    metrics: dict[str, float] = {}
    for row in table[table["name"] != table["study"].map(BASELINES)].itertuples():
        key = f"{prefix[row.study]}.{row.name}_minus_{BASELINES[row.study]}"
        metrics |= {key: row.difference, f"{key}.low": row.low, f"{key}.high": row.high}
    return metrics

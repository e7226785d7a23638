"""Leakage of every model of the study: the arms over their seeds, and the peer model, in one table."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hare.benchmarks.registry import spec_of
from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.leakage.delta import Pairs, delta_rows, measure_set, perplexity_rows
from hare.leakage.measure import Measure
from hare.leakage.sets import SampleSet, recorded_name
from hare.model.exported import load_exported

PEER = "smollm2-135m-instruct"

Measured = dict[str, list[tuple[SampleSet, list[Pairs]]]]


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model in fp32, on the GPU where there is one, and tokenizer of a Hugging Face folder.

    Raises:
        HareError: the folder holds no model.
    """
    if not (folder / "config.json").exists():
        raise HareError(f"{folder} holds no Hugging Face model.", "rerun the notebook that exports it")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_exported(folder).to(device), AutoTokenizer.from_pretrained(folder)


def arms(runs: Path) -> dict[str, list[Path]]:
    """Model folders by arm, one per seed, from ``training/runs.json``."""
    folders: dict[str, list[Path]] = {}
    for run in json.loads(runs.read_text(encoding="utf-8")):
        folders.setdefault(run["arm"], []).append(runs.parent / run["hf"])
    return folders


def measure_models(folders: dict[str, list[Path]], sets: Sequence[SampleSet], measure: Measure) -> Measured:
    """Score each model on each set: kind of model → (set, one `Pairs` per model of that kind)."""
    measured: Measured = {}
    with Progress("measure models", sum(map(len, folders.values())), "models") as progress:
        for kind, paths in folders.items():
            scored = []
            for number, path in enumerate(paths):
                model, tokenizer = load(path)
                who = f"{kind}, {number + 1} of {len(paths)}" if len(paths) > 1 else kind
                scored.append([measure_set(model, tokenizer, samples, measure, who) for samples in sets])
                progress.advance()
            measured[kind] = list(zip(sets, map(list, zip(*scored, strict=True)), strict=True))
    return measured


def delta_table(measured: Measured, starts: int, resamples: int, seed: int) -> pd.DataFrame:
    """Δ of all models. Columns: model, models, benchmark, split, rewriter, estimate, items, too_short,
    original, rewritten, delta, low, high; shares in percent."""
    return pd.DataFrame([row for kind, scored in measured.items() for samples, pairs in scored
                         for row in delta_rows(kind, samples, pairs, starts, resamples, seed)])


def perplexity_table(measured: Measured, resamples: int, seed: int) -> pd.DataFrame:
    """The perplexity variant of all models; columns as of `perplexity_rows`."""
    return pd.DataFrame([row for kind, scored in measured.items() for samples, pairs in scored
                         for row in perplexity_rows(kind, samples, pairs, resamples, seed)])


def beside_published(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Our rows with those that the paper prints for the same benchmark and split; column ``origin`` tells them apart.

    Column ``benchmark`` holds the name under which Δ is recorded, which says whose rewrites they are. The paper prints
    no evaluated split of HellaSwag and Winogrande.
    """
    names = list(map(recorded_name, table.benchmark, table.rewriter))
    ours = table.assign(origin="measured here", benchmark=names, plain=table.benchmark)
    printed = []
    for benchmark, plain, split in dict.fromkeys(zip(ours.benchmark, ours.plain, ours.split, strict=True)):
        spec = spec_of(plain)
        wanted = spec.published_splits.get(split, split)
        rows = published[(published.benchmark == spec.published_label) & (published.split == wanted)]
        printed.append(rows.assign(benchmark=benchmark, split=split, estimate="at_starts", origin="published",
                                   low=np.nan, high=np.nan))
    return pd.concat([ours, *printed], ignore_index=True)[
        ["origin", "model", "benchmark", "split", "estimate", "items", "original", "rewritten", "delta", "low", "high"]
    ]

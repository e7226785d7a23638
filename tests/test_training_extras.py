"""Runs on repetition and on equal unique text: what they read, what their table says, and TensorBoard's events."""

import dataclasses
import itertools
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from training_runs import OPTIMISATION, SHAPE, toy_run, toy_tokenizer, toy_tokens

from hare.core.sections import Tokens
from hare.report import training_figures
from hare.tokens.mixture import Mixture
from hare.training import journal
from hare.training.extras import Extra, extra_metrics, extra_runs, extras_table, said
from hare.training.inputs import Inputs
from hare.training.preflight import refuse_faults
from hare.training.run import TrainingRun
from hare.training.study import study_runs

TOKENS = Tokens(sequence_length=32, stage1_share=0.1)
TRAINING = dataclasses.replace(
    OPTIMISATION, arms={"d1": {"d1": 4.0}, "d1+d2+d3": {"d1": 4.0, "d2": 2.0, "d3": 4.0}},
    extra_steps=10, extra_seeds=(0, 1), repetitions=(4, 16), micro_batch=4,
)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    for number, (part, count) in enumerate((("d1", 30000), ("d2", 1000), ("d3", 4000))):
        toy_tokens(tmp_path / f"{part}.ds", number, count)
    toy_tokens(tmp_path / "heldout" / "toy.ds", 0, 300)
    toy_tokenizer(tmp_path / "tokenizer")
    return Inputs.of(tmp_path)


def test_repetition_reads_fewer_tokens_more_often(inputs: Inputs) -> None:
    runs = extra_runs(SHAPE, TOKENS, TRAINING, inputs)
    samples = 10 * 16
    for name, unique in (("1", samples), ("4", samples // 4), ("16", samples // 16)):
        mixture = Mixture(runs[Extra("repetition", name, 1)].mixture)
        windows = {tuple(mixture.sample(index)) for index in range(len(mixture))}
        assert len(mixture) == samples and len(windows) == unique


def test_parts_are_compared_at_equal_unique_tokens_and_epochs(inputs: Inputs) -> None:
    runs = extra_runs(SHAPE, TOKENS, TRAINING, inputs)
    found = {}
    for part in ("d1", "d2", "d3"):
        mixture = Mixture(runs[Extra("unique", part, 0)].mixture)
        places = [mixture.place(index) for index in range(len(mixture))]
        windows = {tuple(mixture.sample(index)) for index, (name, _) in enumerate(places) if name == "part"}
        found[part] = len(windows), mixture.drawn(len(mixture))
    assert len({str(values) for values in found.values()}) == 1
    assert found["d2"][0] == 999 // 32  # all that the smallest part has


def test_every_extra_run_can_start(inputs: Inputs, tmp_path: Path) -> None:
    for run in study_runs(tmp_path / "runs", SHAPE, TOKENS, TRAINING, inputs).values():
        refuse_faults(run)


def test_no_steps_no_runs(inputs: Inputs) -> None:
    assert extra_runs(SHAPE, TOKENS, dataclasses.replace(TRAINING, extra_steps=0), inputs) == {}


def ended(run: TrainingRun, level: float) -> SimpleNamespace:
    """A run whose held-out text costs ``level`` bits a byte."""
    rows = [
        {"step": 10, "category": category, "sequence": number, "nats": level * np.log(2) * size, "bytes": size}
        for category, (number, size) in itertools.product(("news", "wiki"), enumerate((90, 100, 110)))
    ]
    return SimpleNamespace(run=run, heldout=lambda: pd.DataFrame(rows))


@pytest.fixture
def table(inputs: Inputs) -> pd.DataFrame:
    levels = {"1": 2.0, "4": 2.0, "16": 2.5, "d1": 3.0, "d2": 2.9, "d3": 3.2}
    runs = extra_runs(SHAPE, TOKENS, TRAINING, inputs)
    return extras_table({extra: ended(run, levels[extra.name]) for extra, run in runs.items()})


def test_the_table_holds_differences_from_the_baselines(table: pd.DataFrame) -> None:
    found = table.set_index(["study", "name"])
    assert found.loc[("repetition", "16"), ["difference", "low", "high"]].tolist() == pytest.approx([0.5] * 3)
    assert found.loc[("unique", "d2"), "difference"] == pytest.approx(-0.1)
    assert found.loc[("repetition", "16"), "epochs"] == 16 and found.loc[("repetition", "1"), "epochs"] == 1
    assert found.loc["unique", "unique_tokens"].nunique() == found.loc["unique", "epochs"].nunique() == 1
    assert (table["seeds"] == 2).all() and (table["sequences"] == 6).all()
    assert extra_metrics(table)["equal_unique_bpb.d3_minus_d1"] == pytest.approx(0.2)
    assert extra_metrics(table)["repetition_bpb.4_minus_1"] == pytest.approx(0.0)


def test_the_verdict_is_plain(table: pd.DataFrame) -> None:
    sentences = said(table)
    assert len(sentences) == 4
    assert "cannot be told apart" in sentences[0] and "predicts held-out text worse" in sentences[1]
    assert sentences[2].startswith("Adding D2 predicts held-out text better")
    assert "one seed" not in " ".join(sentences)
    assert "one seed, so chance in training is not in the interval" in said(table.assign(seeds=1))[0]


def test_the_figure_is_drawn_from_the_table(table: pd.DataFrame) -> None:
    picture = training_figures.extras(table)
    assert "D1 read 16 times over: +0.50 bits per byte" in picture.axes[0].get_title()
    assert "992 unique tokens" in picture.axes[1].get_title().replace("0.992k", "992")


def test_tensorboard_gets_every_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Writer:
        """Keeps what TensorBoard's own would write."""

        def __init__(self, folder: str, purge_step: int):
            seen.append((Path(folder).name, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            seen.append((name, value, step))

        def flush(self) -> None:
            """Nothing is held back."""

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setattr(journal, "refuse_without_tensorboard", lambda: None)
    run = toy_run(tmp_path, "run", tensorboard=True)
    run.folder.mkdir(parents=True)
    row = {"loss": 2.0, "learning_rate": 0.1, "gradient_norm": 1.0, "tokens_per_s": 10.0, "mfu": 0.5, "seconds": 1.0}
    journal.Journal(run, 4).step({"step": 5, **row})
    assert seen[0] == ("tensorboard", 5)
    assert ("training/loss", 2.0, 5) in seen and ("training/mfu", 0.5, 5) in seen

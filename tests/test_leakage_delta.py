"""Δ with its intervals, the tables and what their figures say."""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from leakage_toys import KNOWN, UNKNOWN, memoriser

from hare.bench import leakage as leakage_bench
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.leakage import study as leakage_study
from hare.leakage.delta import Pairs, delta_rows, difference_of, metrics, perplexity_rows
from hare.leakage.measure import Measure, Scores
from hare.leakage.reference import speeds
from hare.leakage.sets import PUBLISHED, SURFACE, SampleSet
from hare.report.leakage_figures import _align_zeros, delta, delta_finding
from hare.report.paper.published import published
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

PROFILE = load_profile("smoke")


def _pairs(original: list[float], rewritten: list[float]) -> Pairs:
    first, second = (np.array(values, float) for values in (original, rewritten))
    return Pairs(Scores(*[first] * 5), (Scores(*[second] * 5),))


def _set(split: str = "test", items: int = 4) -> SampleSet:
    return SampleSet("arc_challenge", split, SURFACE, tuple("abcdefgh"[:items]), (tuple("ijklmnop"[:items]),), {})


def test_an_interval_covers_a_difference_and_is_repeatable() -> None:
    values = np.random.default_rng(0).normal(10, 20, (2, 400))
    interval = difference_of(values, 5, 500, seed=1)
    assert interval["low"] < 10 < interval["high"] and interval["high"] - interval["low"] < 12
    assert interval == difference_of(values, 5, 500, seed=1)


def test_no_difference_anywhere_is_the_resolution_of_the_items_not_certainty() -> None:
    few, many = (difference_of(np.zeros((1, items)), 1, 100, 0) for items in (8, 800))
    assert few["low"] == -few["high"] and few["high"] > 30
    assert 0 < many["high"] < 0.6


def test_items_that_one_version_cannot_score_are_left_out_of_both() -> None:
    row = delta_rows("d1", _set(), [_pairs([1, 1, np.nan, 0], [0, np.nan, 0, 0])], 5, 100, 0)[0]
    assert row["items"] == 2 and row["original"] == 50 and row["rewritten"] == 0 and row["delta"] == 50
    assert row["too_short"] == 2, "and they are counted"


def test_metrics_are_named_as_the_design_says() -> None:
    rows = delta_rows("d1+d2", _set(), [_pairs([1, 0, 1, 0], [0, 0, 0, 0])], 5, 100, 0)
    named = metrics(pd.DataFrame(rows))
    assert set(named) == {f"delta.arc_challenge.test.d1+d2{end}" for end in ("", ".low", ".high")}
    assert named["delta.arc_challenge.test.d1+d2"] == 50
    theirs = delta_rows("d1", dataclasses.replace(_set(), rewriter="published"), [_pairs([1], [0])], 5, 100, 0)
    assert "delta.arc_challenge-published-rewrites.test.d1" in metrics(pd.DataFrame(theirs))


def test_the_perplexity_variant_is_positive_when_originals_are_easier() -> None:
    rows = perplexity_rows("d1", _set(), [_pairs([1, 2, 1, 2], [2, 3, 2, 3])], 100, 0)
    assert [row["part"] for row in rows] == ["answer", "whole"]
    for row in rows:
        assert row["delta"] == pytest.approx(1) and row["perplexity_original"] < row["perplexity_rewritten"]
        assert row["decrease_percent"] == pytest.approx(100 * (1 - np.exp(-1)))


def test_seeds_on_the_same_items_are_not_counted_as_more_decisions() -> None:
    one, two = (difference_of(np.zeros((seeds, 48)), 5, 100, 0)["high"] for seeds in (1, 2))
    assert one == two


@pytest.fixture(scope="module")
def memorising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = fast_tokenizer(mistral_model())
    memoriser(tokenizer, KNOWN, steps=80).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_that_knows_the_originals_has_a_positive_delta(memorising: Path) -> None:
    rewritten = tuple(" ".join(text.split()[::-1]) for text in KNOWN)
    known = SampleSet("arc_challenge", "test", SURFACE, KNOWN, (rewritten,), {})
    unknown = SampleSet("arc_challenge", "train", SURFACE, (UNKNOWN,), ((UNKNOWN[::-1],),), {})
    measured = leakage_study.measure_models({"d1": [memorising, memorising]}, [known, unknown], Measure())
    table = leakage_study.delta_table(measured, 5, 100, 0)
    by_split = table[table.estimate == "at_starts"].set_index("split")
    assert by_split.loc["test", "low"] > 0 and by_split.loc["test", "models"] == 2
    assert by_split.loc["train", "low"] < 0 < by_split.loc["train", "high"]
    assert (leakage_study.perplexity_table(measured, 100, 0).set_index("split").loc["test", "delta"] > 0).all()
    compared = leakage_study.beside_published(table, published("leakage_5gram"))
    assert {"HARE", "d1"} <= set(compared.model) and set(compared.origin) == {"published", "measured here"}
    assert "2 of 4 intervals of Δ lie above 0 (D1)" in delta_finding(compared[compared.origin != "published"])
    assert len(delta(compared).axes) == 2
    assert "2 are 0 by force" in delta_finding(compared[compared.origin != "published"])


def test_both_axes_of_what_a_leak_buys_have_their_zero_at_one_height() -> None:
    picture, left = plt.subplots()
    right = left.twinx()
    left.set_ylim(-2, 40)
    right.set_ylim(-0.5, 0.4)
    _align_zeros(left, right)
    heights = [-axis.get_ylim()[0] / np.ptp(axis.get_ylim()) for axis in (left, right)]
    assert heights[0] == pytest.approx(heights[1]) and left.get_ylim()[1] >= 40 and right.get_ylim()[0] <= -0.5
    plt.close(picture)


def test_rewrites_of_others_stand_in_a_panel_of_their_own(memorising: Path) -> None:
    sets = [SampleSet("gsm8k", "test", rewriter, KNOWN, (KNOWN[::-1],), {}) for rewriter in (SURFACE, PUBLISHED)]
    measured = leakage_study.measure_models({"d1": [memorising]}, sets, Measure())
    table = leakage_study.delta_table(measured, 5, 100, 0)
    compared = leakage_study.beside_published(table, published("leakage_5gram"))
    panels = delta(compared).axes
    assert [axis.get_title() for axis in panels] == ["GSM8K, test", "GSM8K, test: published rewrites"]
    of_hare = compared[compared.model == "HARE"]
    assert list(of_hare.benchmark) == ["gsm8k", "gsm8k-published-rewrites"] and of_hare.delta.nunique() == 1


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match="holds no Hugging Face model"):
        leakage_study.load(tmp_path)


def test_speeds_are_named_with_their_units(memorising: Path) -> None:
    model, tokenizer = leakage_study.load(memorising)
    rates = speeds(model, tokenizer, KNOWN * 4, KNOWN[:1], Measure())
    assert set(rates) >= {"leakage_speedup_over_generation", "leakage_examples_per_s"}
    assert all(value > 0 for value in rates.values())


def test_the_bench_compares_every_decision_of_a_model_with_the_loop_s(memorising: Path) -> None:
    figures = leakage_bench.on_a_real_model(*leakage_study.load(memorising), Measure(5, 2), 50)
    assert figures["leakage_agreement.decisions"] == 48 and figures["leakage_agreement.prefixes"] == 256
    assert figures["leakage_agreement.prefixes_tokenised_differently"] >= 0
    assert figures["leakage_agreement.differ_from_ids"] == figures["leakage_agreement.unexplained"] == 0
    assert f"leakage_speedup_over_generation.{leakage_study.PEER}" in figures
    assert figures["leakage_interval_width_points.starts"] >= figures["leakage_interval_width_points.everywhere"] >= 0

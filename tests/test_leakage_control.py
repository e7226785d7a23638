"""Δ with its intervals, the planted control and its data, the tables and what their figures say."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from leakage_toys import KNOWN, UNKNOWN, memoriser

from hare.bench import leakage as leakage_bench
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.leakage import study as leakage_study
from hare.leakage.control import (
    Group,
    control_metrics,
    control_run,
    dose_tables,
    first_detected,
    groups,
    repetitions,
)
from hare.leakage.delta import Pairs, delta_rows, difference_of, metrics, perplexity_rows
from hare.leakage.measure import Measure, Scores
from hare.leakage.sets import PUBLISHED, SURFACE, SampleSet
from hare.report.leakage_figures import delta, delta_finding, dose_finding, dose_response
from hare.report.published import published
from hare.tokens.mixture import Mixture
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

PROFILE = load_profile("smoke")


def _pairs(original: list[float], rewritten: list[float]) -> Pairs:
    first, second = (np.array(values, float) for values in (original, rewritten))
    return Pairs(Scores(first, first, first, first), (Scores(second, second, second, second),))


def _set(split: str = "test", items: int = 4) -> SampleSet:
    return SampleSet("arc_challenge", split, SURFACE, tuple("abcdefgh"[:items]), (tuple("ijklmnop"[:items]),), {})


def test_an_interval_covers_a_difference_and_is_repeatable() -> None:
    values = np.random.default_rng(0).normal(10, 20, (2, 400))
    found = difference_of(values, 5, 500, seed=1)
    assert found["low"] < 10 < found["high"] and found["high"] - found["low"] < 12
    assert found == difference_of(values, 5, 500, seed=1)


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


@pytest.fixture(scope="module")
def planted() -> list[Group]:
    return groups(dataclasses.replace(PROFILE.leakage, control_doses=(0.125, 0.0, 0.25), control_items=3))


def test_groups_of_train_and_test_items_share_no_item(planted: list[Group]) -> None:
    assert [group.key for group in planted] == [
        (split, dose) for split in ("test", "train") for dose in (0.0, 0.125, 0.25)]
    texts = [text for group in planted for text in group.texts]
    assert len(texts) == len(set(texts)) == 18
    assert {samples.split for group in planted[:3] for samples in group.sets} == {"test"}
    assert {samples.split for group in planted[3:] for samples in group.sets} == {"train"}


def test_too_few_items_for_the_doses_are_refused() -> None:
    with pytest.raises(HareError, match="too few in: arc_challenge test|too few in: arc_challenge train"):
        groups(dataclasses.replace(PROFILE.leakage, control_items=5000))


def _run(planted: list[Group], folder: Path):
    tokenizer = fast_tokenizer(mistral_model())
    tokenizer.save_pretrained(folder)
    d1 = folder / "d1.ds"
    np.array(tokenizer(" ".join(KNOWN) * 20)["input_ids"], "<u2").tofile(d1)
    leakage = dataclasses.replace(PROFILE.leakage, control_steps=40, control_sequence_length=32)
    return control_run(planted, folder, d1, folder, folder, PROFILE.model, PROFILE.training, leakage)


def test_the_control_s_data_hold_each_group_at_its_dose(planted: list[Group], tmp_path: Path) -> None:
    run = _run(planted, tmp_path)
    mixture = Mixture(run.mixture)
    samples = len(mixture)
    assert samples == run.training.train_steps * run.global_batch
    drawn = mixture.drawn(samples)
    doses = {f"{split}_dose_{dose:g}": int(samples * dose) for split in ("test", "train") for dose in (0.125, 0.25)}
    assert drawn == {"d1": samples // 4, **doses}
    assert all(mixture.epochs()[name] <= 1 for name in doses), "no order is seen twice"
    times = repetitions(planted, run)
    for split in ("test", "train"):
        assert times[split, 0.0] == 0 < times[split, 0.125] < times[split, 0.25]


def test_planted_tokens_are_whole_items_and_the_dose_0_group_is_nowhere(planted: list[Group], tmp_path: Path) -> None:
    run, tokenizer = _run(planted, tmp_path), fast_tokenizer(mistral_model())
    never = [item for group in planted if group.dose == 0 for item in group.texts]
    for group in (group for group in planted if group.dose > 0):
        ids = np.fromfile(run.mixture.files[group.name], "<u2")
        text = tokenizer.decode(ids.tolist())
        counts = [text.count(f"<s> {item}</s>") + text.count(f"<s>{item}</s>") for item in group.texts]
        assert min(counts) == max(counts) > 1
        assert not any(item in text for item in never)
    again = _run(planted, tmp_path)
    assert again.identity() == run.identity(), "the same seed plants the same tokens"


def test_a_leak_is_seen_and_a_clean_group_is_not(planted: list[Group], tmp_path: Path) -> None:
    run = _run(planted, tmp_path)
    zero, half, one = [0.0] * 9, [0.5, 0.25, 0.75] * 3, [1.0] * 9
    clean = {group.key: [_pairs(zero, zero)] for group in planted}
    leaked = clean | {("test", 0.125): [_pairs(half, zero)], ("test", 0.25): [_pairs(one, half)]}
    table = dose_tables(planted, run, leaked, clean, 5, 200, 0)
    of_test = table[(table.split == "test") & (table.estimate == "at_starts")]
    assert first_detected(of_test) == 0.125 and first_detected(table[table.split == "train"]) is None
    named = control_metrics(table)
    assert named["control.dose_0.delta"] == 0 and named["control.dose_0.delta.low"] < 0
    assert named["control.dose_0.125.delta.low"] > 0 and named["control.train.dose_0.25.delta"] == 0
    wanted = ("delta.high", "everywhere.low", "nats.low", "repetitions")
    assert {f"control.dose_0.25.{name}" for name in wanted} <= set(named)
    assert named["control.first_detected_dose"] == 0.125 and "control.train.first_detected_dose" not in named
    assert named["control.first_detected_repetitions"] == named["control.dose_0.125.repetitions"]
    assert named["control.dose_0.25.nats"] < 0, "a perplexity higher on the originals is no leak"
    assert "times by starting points and all positions, not detected by perplexity\n" in dose_finding(table)
    assert dose_finding(table).endswith("train items: not detected by any measure")
    assert "Δ, points" in dose_response(table).axes[0].get_ylabel()
    blind = dose_tables(planted, run, clean, clean, 5, 200, 0)
    assert first_detected(blind) is None and "control.first_detected_dose" not in control_metrics(blind)
    assert dose_finding(blind).count("items: not detected by any measure") == 2


def test_the_arms_that_hold_0_are_counted_and_the_peer_is_not() -> None:
    table = pd.DataFrame({"model": ["d1", "d1+d2", leakage_study.PEER], "low": [-1.0, 0.5, 1.0],
                          "high": [1.0, 2.0, 3.0]})
    assert leakage_study.negative_control(table) == {
        "clean_arms.intervals": 2, "clean_arms.intervals_holding_0": 1}


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
    found = leakage_bench.speeds(model, tokenizer, KNOWN * 4, KNOWN[:1], Measure())
    assert set(found) >= {"leakage_speedup_over_generation", "leakage_examples_per_s"}
    assert all(value > 0 for value in found.values())


def test_the_bench_compares_every_decision_of_a_model_with_the_loop_s(memorising: Path) -> None:
    found = leakage_bench.on_a_real_model(*leakage_study.load(memorising), Measure(5, 2), 50)
    assert found["leakage_agreement.decisions"] == 48 and found["leakage_agreement.prefixes"] == 256
    assert found["leakage_agreement.prefixes_tokenised_differently"] >= 0
    assert found["leakage_agreement.differ_from_ids"] == found["leakage_agreement.unexplained"] == 0
    assert f"leakage_speedup_over_generation.{leakage_study.PEER}" in found
    assert found["leakage_interval_width_points.starts"] >= found["leakage_interval_width_points.everywhere"] >= 0

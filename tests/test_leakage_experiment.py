"""Planting by lot, exact tests, estimators and gains: what is planted is found, what is not stays unfound."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leakage_toys import KNOWN, UNKNOWN, memoriser

from hare.benchmarks import registry
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.leakage import estimators, experiment, planting
from hare.leakage.estimators import PRIMARY, auc, combined_p, detection_table, negative_control, permutation_p
from hare.leakage.measure import Measure, score
from hare.leakage.planting import LeakItem, LeakItems, assigned, leak_items, plant, planted_tokens
from hare.report.leakage_figures import detection, detection_finding
from hare.tokens.packed import TOKEN_TYPE
from hare.tokens.tokenizer import Tokenizer
from hare.tokens.vocabulary import fast_tokenizer, mistral_model

PROFILE = load_profile("smoke")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    fast_tokenizer(mistral_model()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def items(folder: Path) -> LeakItems:
    return leak_items("arc_challenge", 28, Tokenizer.load(folder), (7, 128), 0)


@pytest.fixture(scope="module")
def d1(folder: Path) -> Path:
    tokenizer = Tokenizer.load(folder)
    documents = [[tokenizer.begin, *tokenizer.encode(f"{UNKNOWN} {number}"), tokenizer.end] for number in range(40)]
    path = folder / "d1.ds"
    np.array([token for document in documents for token in document], TOKEN_TYPE).tofile(path)
    return path


@given(st.dictionaries(st.integers(0, 20), st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 9))
def test_every_item_has_one_dose_and_every_dose_its_number(items_per_dose: dict[int, int], seed: int) -> None:
    times = assigned(items_per_dose, seed)
    assert {int(dose): int((times == dose).sum()) for dose in set(times)} == items_per_dose
    assert (times == assigned(items_per_dose, seed)).all()


def test_each_run_deals_the_doses_out_anew() -> None:
    assert (assigned({0: 50, 1: 50}, 0) != assigned({0: 50, 1: 50}, 1)).any()


def test_a_dose_without_items_is_refused() -> None:
    with pytest.raises(HareError, match="gives dose 4 no item"):
        assigned({0: 3, 4: 0}, 0)


def test_items_are_whole_distinct_and_asked_in_cloze_form(items: LeakItems) -> None:
    assert len({item.text for item in items.items}) == len(items) == 28
    for item in items.items:
        assert item.context.endswith("Answer:") and len(item.choices) >= 3
        assert item.text.endswith(item.choices[0].strip()) and item.text[item.answer_start:].endswith(item.choices[0])
        assert item.rewritten != item.text and item.given == ""


def test_items_that_cannot_be_used_are_counted_and_too_few_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.load(folder)
    some = leak_items("arc_challenge", 10, tokenizer, (30, 60), 0)
    assert some.skipped["more than 60 tokens"] > 0 and some.skipped.get("fewer than 30 tokens", 0) >= 0
    with pytest.raises(HareError, match=r"asks for 5 items of arc_challenge, but only 0(.|\n)*fewer than 9000 tokens"):
        leak_items("arc_challenge", 5, tokenizer, (9_000, 9_999), 0)
    with pytest.raises(HareError, match=r"asks for 2 items of gsm8k(.|\n)*no other answer to choose"):
        leak_items("gsm8k", 2, tokenizer, (7, 200), 0)
    rows = registry.rows("arc_challenge", "test")[:4]
    broken = [rows[0], rows[0], rows[1] | {"answerKey": "Z"}, rows[2]]
    monkeypatch.setattr(planting, "drawn_rows", lambda *_: broken)
    monkeypatch.setattr(planting, "measured_splits", lambda _: ["test"])
    with pytest.raises(HareError, match=r"no gold label: 1(.|\n)*the same as another item: 1"):
        leak_items("arc_challenge", 9, tokenizer, (7, 200), 0)


def test_each_item_stands_as_often_as_the_lot_says_between_whole_documents(
    items: LeakItems, d1: Path, folder: Path, tmp_path: Path
) -> None:
    tokenizer, times = Tokenizer.load(folder), assigned({0: 12, 1: 8, 3: 8}, 5)
    tokens = planted_tokens(items.items, times, tokenizer)
    plant(items.items, times, tokenizer, d1, tmp_path / "a.ds", 4 * tokens, 5)
    ids = np.fromfile(tmp_path / "a.ds", TOKEN_TYPE)
    assert len(ids) == 4 * tokens, "the rest is D1"
    documents = [tuple(part) for part in np.split(ids, np.flatnonzero(ids == tokenizer.end) + 1)]
    for item, dose in zip(items.items, times, strict=True):
        assert documents.count((tokenizer.begin, *tokenizer.encode(item.text), tokenizer.end)) == dose
    plant(items.items, times, tokenizer, d1, tmp_path / "b.ds", 4 * tokens, 5)
    plant(items.items, times, tokenizer, d1, tmp_path / "c.ds", 4 * tokens, 6)
    assert (ids == np.fromfile(tmp_path / "b.ds", TOKEN_TYPE)).all()
    assert (ids != np.fromfile(tmp_path / "c.ds", TOKEN_TYPE)).any()


def test_a_run_reads_its_file_once_and_holds_the_asked_share(items: LeakItems, d1: Path, folder: Path,
                                                             tmp_path: Path) -> None:
    (leaked,) = experiment.leaked_runs(items, PROFILE.leakage, PROFILE.model, PROFILE.training, d1, folder, tmp_path)
    assert leaked.planted_share == pytest.approx(PROFILE.leakage.leak_token_share, rel=0.1)
    assert leaked.run.tokens + 1 == np.fromfile(leaked.run.mixture.files["leaked"], TOKEN_TYPE).size
    assert leaked.run.training.cpu_threads == 1 and leaked.run.folder.name.startswith("leaked-32-seed0-")
    wider = dataclasses.replace(PROFILE.leakage, leak_hidden_sizes=(32, 64))
    small, wide = experiment.leaked_runs(items, wider, PROFILE.model, PROFILE.training, d1, folder, tmp_path)
    assert (small.run.model.hidden_size, wide.run.model.hidden_size) == (32, 64)
    assert wide.run.model.intermediate_size == 2 * small.run.model.intermediate_size


def test_auc_is_the_probability_of_the_right_order() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30).astype(float), rng.integers(1, 7, 40).astype(float)
    expected = np.mean([(x > y) + (x == y) / 2 for x in a for y in b])
    assert auc(a, b) == pytest.approx(expected)


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_an_exact_test_keeps_its_level(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = [permutation_p(values[:8], values[8:], seed) for values in rng.exponential(size=(20, 30))]
    assert 0 < min(p) <= max(p) <= 1 and np.mean(np.array(p) < 0.05) < 0.35
    assert permutation_p(np.ones(8), np.ones(20), seed) == 1, "no difference at all is none"
    assert permutation_p(np.arange(30.0, 40), np.arange(20.0), seed) == pytest.approx(1 / 10_000, rel=0.5)
    assert permutation_p(np.array([]), np.ones(20), seed) == permutation_p(np.ones(8), np.array([]), seed) == 1
    assert combined_p([0.04, 0.04]) < 0.04 < combined_p([0.04, 0.9])


def _values(times: np.ndarray, shift: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {PRIMARY: rng.normal(size=len(times)) + shift * (times > 0), "min_k": rng.normal(size=len(times))}


def test_the_negative_control_passes_without_a_leak_and_fails_when_a_shift_is_planted() -> None:
    times = assigned({0: 60, 1: 30, 8: 30}, 0)
    clean = negative_control(_values(times, 0.0, seed=3), times, 0)
    assert not clean.leaked.any() and len(clean) == 4 and (clean.corrected >= clean.p).all()
    shifted = negative_control(_values(times, 1.5, seed=3), times, 0)
    assert set(shifted[shifted.leaked].estimator) == {PRIMARY}, "only the estimator that holds the shift"


def test_detection_rises_with_the_dose_and_stays_at_chance_without_effect() -> None:
    times = assigned({0: 60, 1: 40, 8: 40}, 0)
    rng = np.random.default_rng(1)
    runs = [(times, {PRIMARY: rng.normal(size=140) + 0.2 * times, "min_k": rng.normal(size=140)}) for _ in range(2)]
    table = detection_table(runs, 100, 0).set_index(["estimator", "dose"])
    assert table.auc[PRIMARY, 8] > 0.8 > table.auc[PRIMARY, 1] > 0.4
    assert table.power[PRIMARY, 8] > 0.9 and table.p[PRIMARY, 8] < 0.001 and table.excess[PRIMARY, 8] > 1
    assert abs(table.auc["min_k", 8] - 0.5) < 0.15 and table.p["min_k", 8] > 0.001
    assert ((table.auc_low <= table.auc) & (table.auc <= table.auc_high)).all()
    named = estimators.detection_metrics(table.reset_index())
    assert {f"auc.{PRIMARY}.dose_8", f"power.{PRIMARY}.dose_1.low", "p.min_k.dose_8"} <= set(named)


def test_an_item_is_compared_with_the_never_planted_items_most_like_it() -> None:
    texts = ["red fox runs", "red fox sleeps", "red fox eats", "red fox hides", "red fox digs", "red fox jumps",
             "blue sea"]
    never = np.array([True] * 6 + [False])
    values = np.array([1.0, 2, 3, 4, 5, 6, 0])
    differences = estimators.against_nearest(values, texts, never)
    assert differences[0] == pytest.approx(1 - 4), "the five others, never itself"
    assert differences[6] == pytest.approx(-np.mean([1, 2, 3, 4, 5])) or differences[6] < 0


@pytest.fixture(scope="module")
def known(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    memoriser(fast_tokenizer(mistral_model()), KNOWN, steps=90).save_pretrained(path)
    fast_tokenizer(mistral_model()).save_pretrained(path)
    return path


def _item(text: str) -> LeakItem:
    cut = text.rindex(" ")
    return LeakItem(text, cut + 1, " ".join(reversed(text.split())), "", text[:cut], (text[cut:], " zebra", " quartz"))


def test_a_model_that_read_some_items_shows_it_by_every_estimator_and_recites(known: Path) -> None:
    others = [f"{UNKNOWN[:40]} {word} and what follows was never read by it." for word in ("one", "two", "six", "ten")]
    items = LeakItems(tuple(map(_item, [*KNOWN, *others])), {})
    times = np.array([9, 9, 9, 0, 0, 0, 0])
    measured = experiment.measure_run(known, items, times, Measure(), "toy")
    assert set(measured.values) == {name for name in estimators.ESTIMATORS if name != "minus_given_rewrites"}
    for name, values in measured.values.items():
        assert values[:3].mean() > values[3:].mean(), name
    assert measured.right[:3].all() and measured.bits[:3].max() < measured.bits[3:].min()
    recited = experiment.recitations(known, known, items.items[:1], prefix=6, new=8)
    assert recited.leaked[0].startswith("⟦") and recited.prefix[0] and recited.item[0] in KNOWN[0]


def test_gains_and_the_figure_say_what_the_leak_buys(tmp_path: Path) -> None:
    rng, runs = np.random.default_rng(0), []
    for seed in (0, 1):
        times = assigned({0: 60, 1: 30, 16: 30}, seed)
        values = {name: rng.normal(size=120) + 0.2 * times for name in ("fivegram_five_starts", "answer_nats")}
        measured = experiment.Measured(values, (rng.random(120) < 0.25 + 0.04 * times).astype(float),
                                       2 - 0.05 * times + rng.normal(0, 0.1, 120))
        runs.append((experiment.LeakedRun(128, seed, times, None, 0.07), measured))  # type: ignore[arg-type]
    gained = experiment.gain_table(runs, 200, 0)
    indexed = gained.set_index(["measure", "dose"])
    assert indexed.gain["bits_per_byte", 16] == pytest.approx(0.8, abs=0.1) and indexed.low["bits_per_byte", 16] > 0
    assert indexed.gain["accuracy", 16] > 30 and indexed.low["accuracy", 1] < 4 + 20
    detected = experiment.leak_table(runs, 50, 0)
    assert list(detected.columns[:3]) == ["hidden_size", "estimator", "dose"]
    assert {"gain.accuracy.dose_16", "gain.bpb.dose_1.low"} <= set(experiment.metrics(detected, gained))
    frame = experiment.detection_frame(detected, gained)
    assert len(detection(frame).axes) == 4
    assert detection_finding(frame).startswith("Half of the tests with 25 items see items read 16 times, by")
    blind = frame.assign(value=frame.value.where(frame.panel != "power", 0.05))
    assert detection_finding(blind).startswith("No estimator sees the leak from 25 items")


def test_several_sizes_have_a_row_each_and_names_of_their_own() -> None:
    rng, runs = np.random.default_rng(0), []
    for size, shift in ((128, 0.0), (192, 0.3)):
        times = assigned({0: 60, 1: 30, 16: 30}, size)
        values = {name: rng.normal(size=120) + shift * times for name in ("fivegram_five_starts", "answer_nats")}
        measured = experiment.Measured(values, rng.integers(0, 2, 120).astype(float), 2 + rng.normal(0, 0.1, 120))
        runs.append((experiment.LeakedRun(size, 0, times, None, 0.07), measured))  # type: ignore[arg-type]
    detected, gained = experiment.leak_table(runs, 50, 0), experiment.gain_table(runs, 50, 0)
    named = experiment.metrics(detected, gained)
    assert named["auc.answer_nats.dose_16"] < 0.7 < named["hidden_192.auc.answer_nats.dose_16"]
    assert {name.removeprefix("hidden_192.") for name in named if name.startswith("hidden_192.")} == {
        name for name in named if not name.startswith("hidden_")}
    frame = experiment.detection_frame(detected, gained)
    assert len(detection(frame).axes) == 8
    finding = detection_finding(frame)
    assert "read at no dose, 16 times at hidden size 128, 192" in finding and finding.endswith("at no dose, 16 times")


def test_min_k_reads_the_tokens_that_cost_most(known: Path) -> None:
    from hare.leakage.study import load

    scores = score(*load(known), [KNOWN[0], UNKNOWN], Measure())
    assert (scores.hardest_nats_per_token > scores.nats_per_token).all()
    assert scores.hardest_nats_per_token[1] > scores.hardest_nats_per_token[0]
    assert isinstance(pd.Series(scores.everywhere).mean(), float)

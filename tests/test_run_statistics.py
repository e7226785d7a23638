"""Intervals that cover, differences that are paired, corrections that are Holm's."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.statistics import Draws, Estimate, Spread, estimate, holm, share, verdict, wilson_interval
from hare.evaluation.comparison import difference_table, flat_metrics, score_table

ARMS = ["d1", "d1+d2", "d1+d2+d3"]


def answers(effect: float, items: int = 120, seeds: int = 2, noise: float = 0.05) -> pd.DataFrame:
    """Three arms on two benchmarks: items differ much, arms by ``effect`` bits per byte from one to the next."""
    rng, rows = np.random.default_rng(0), []
    for benchmark in ("arc_challenge", "winogrande"):
        difficulty = rng.normal(3, 1, items)
        for place, arm in enumerate(ARMS):
            for seed in range(seeds):
                bits = difficulty - effect * place + rng.normal(0, noise, items)
                right = rng.random(items) < 0.25
                rows += [{"arm": arm, "seed": seed, "benchmark": benchmark, "task": benchmark, "item": item,
                          "score": float(right[item]), "acc": float(right[item]), "chance": 0.25, "bpb": bits[item],
                          "margin": -bits[item]} for item in range(items)]
    return pd.DataFrame(rows)


def of(values: np.ndarray, resamples: int = 300, seed: int = 0) -> Estimate:
    """One arm by itself; values are float[seeds, items]."""
    means = Draws.make({"x": values.shape[1]}, resamples, seed).means("x", values)
    return estimate([values], means, Spread.of_scores(values.mean(axis=1)[None, :]))


@pytest.mark.parametrize(("seeds", "between_seeds"), [(1, 0.0), (2, 0.0), (2, 0.1), (2, 1.0), (3, 0.3), (5, 0.3)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds: int, between_seeds: float) -> None:
    """Also where two seeds make most of the difference, which a plain bootstrap finds significant every other time."""
    rng, covered, trials = np.random.default_rng(1), 0, 300
    for trial in range(trials):
        by_item, by_seed = rng.normal(0, 1, (1, 40)), rng.normal(0, between_seeds, (seeds, 1))
        estimated = of(by_item + by_seed + rng.normal(0, 0.5, (seeds, 40)), seed=trial)
        covered += estimated.low <= 0 <= estimated.high
    assert covered / trials > 0.88


@pytest.mark.parametrize("between_seeds", [0.0, 0.05, 0.5])
def test_equal_arms_are_seldom_found_to_differ(between_seeds: float) -> None:
    rng, wrong, trials = np.random.default_rng(2), 0, 300
    for trial in range(trials):
        arms = rng.normal(0, 1, 40) + rng.normal(0, between_seeds, (3, 2, 1)) + rng.normal(0, 0.2, (3, 2, 40))
        difference = arms[1] - arms[0]
        means = Draws.make({"x": 40}, 200, trial).means("x", difference)
        wrong += estimate([difference], means, Spread.of_differences(arms.mean(axis=2))).p < 0.05
    assert wrong / trials < 0.09


def test_the_error_of_a_mean_over_items_is_the_textbooks() -> None:
    values = np.random.default_rng(2).normal(5, 2, (1, 400))
    assert of(values, 4000).error == pytest.approx(values.std(ddof=1) / 20, rel=0.05)
    assert of(values).degrees_of_freedom == pytest.approx(399)


def test_two_seeds_keep_their_full_variance_and_one_degree_of_freedom() -> None:
    estimated = of(np.array([[0.0] * 50, [1.0] * 50]))
    assert estimated.error == pytest.approx(np.std([0, 1], ddof=1) / math.sqrt(2))
    assert estimated.degrees_of_freedom == pytest.approx(1) and estimated.p == pytest.approx(0.5)


def test_the_spread_over_seeds_is_pooled_over_arms() -> None:
    seed_means = np.random.default_rng(3).normal(0, 1, (400, 2)) + np.arange(400)[:, None]
    assert Spread.of_scores(seed_means).variance == pytest.approx(1 / 2, rel=0.2)
    assert Spread.of_differences(seed_means).variance == pytest.approx(2 / 2, rel=0.2)
    assert Spread.of_differences(seed_means[:3]).degrees_of_freedom == 2
    assert Spread.of_scores(seed_means[:3]).degrees_of_freedom <= 3
    assert Spread.of_scores(seed_means[:1]).degrees_of_freedom == 1
    assert Spread.of_scores(seed_means[:, :1]) == Spread.of_differences(seed_means[:, :1]) == Spread()


def test_what_a_seed_does_to_all_arms_is_seen_once_a_seed() -> None:
    shared = np.random.default_rng(4).normal(0, 1, 4)
    assert Spread.of_scores(np.tile(shared, (20, 1))).degrees_of_freedom == pytest.approx(3)
    assert Spread.of_scores(np.tile(shared, (20, 1))).variance == pytest.approx(shared.var(ddof=1) / 4)
    apart = [np.random.default_rng(seed).normal(0, 1, (20, 4)) for seed in range(50)]
    freed = [Spread.of_scores(means).degrees_of_freedom for means in apart]
    assert 45 < np.mean(freed) <= 60, "runs that share nothing count one by one"


def test_chances_that_are_not_numbers_are_not_corrected() -> None:
    for p in ([math.nan, 0.001], [0.001, math.nan]):
        with pytest.raises(ValueError, match="not numbers"):
            holm(p)


def test_without_variation_there_is_no_evidence() -> None:
    estimated = of(np.zeros((2, 10)))
    assert estimated.p == 1 and math.isnan(estimated.minimum_detectable_effect)


def test_a_share_of_none_or_all_gets_wilsons_bounds() -> None:
    none, all_of_them = (share(np.full((1, 100), value), np.full(50, value), Spread()) for value in (0.0, 1.0))
    assert (none.low, none.high) == pytest.approx((0, 0.037), abs=1e-3)
    assert (all_of_them.low, all_of_them.high) == pytest.approx((0.963, 1), abs=1e-3)


def test_holm_corrects_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, corrected, strict=True))
    assert [x for _, x in sorted(zip(p, corrected, strict=True))] == sorted(corrected)


def test_verdicts_say_which_way() -> None:
    lower = Estimate(-0.5, -0.6, -0.4, 0.05, 100)
    assert verdict(lower, 0.01, higher_is_better=False) == "better"
    assert verdict(lower, 0.01, higher_is_better=True) == "worse"
    assert verdict(lower, 0.06, higher_is_better=True) == "no difference seen"


def test_a_small_paired_difference_is_found_though_items_differ_much() -> None:
    table = difference_table(answers(effect=0.05), ARMS, 500, 0)
    bits = table[table["measure"] == "bpb"]
    assert set(bits["verdict"]) == {"better"} and len(bits) == 9
    assert bits["difference"].between(-0.13, -0.03).all()
    assert (bits["difference"].abs() > bits["minimum_detectable_effect"]).all()
    scores = score_table(answers(effect=0.05), 500, 0).query("measure == 'bpb' and benchmark == 'average'")
    assert scores["low"].max() < scores["high"].min(), "unpaired, the same difference drowns"


def test_no_difference_is_seen_where_there_is_none() -> None:
    table = difference_table(answers(effect=0.0), ARMS, 500, 0)
    assert set(table["verdict"]) == {"no difference seen"}
    assert (table["p_holm"] >= table["p"]).all()


def test_the_average_is_the_plain_mean_over_benchmarks() -> None:
    table = score_table(answers(effect=0.1), 100, 0).query("arm == 'd1' and measure == 'bpb'").set_index("benchmark")
    assert table.loc["average", "value"] == pytest.approx(table.drop("average")["value"].mean())
    assert table.loc["average", "items"] == 240


def test_a_peer_with_fewer_items_and_no_seeds_stands_beside_the_arms() -> None:
    items = answers(effect=0.1)
    peer = items[(items["arm"] == "d1") & (items["seed"] == 0) & (items["item"] < 30)].assign(arm="peer", seed=None)
    table = score_table(pd.concat([items, peer]), 100, 0)
    metrics = flat_metrics(table)
    assert metrics["winogrande.peer.items"] == 30 and metrics["winogrande.d1.items"] == 120
    assert metrics["winogrande.d1.bpb.low"] < metrics["winogrande.d1.bpb"] < metrics["winogrande.d1.bpb.high"]
    alone = score_table(items, 100, 0)
    pd.testing.assert_frame_equal(alone, table[table["arm"] != "peer"].reset_index(drop=True))


def test_results_do_not_depend_on_the_order_of_rows() -> None:
    items = answers(effect=0.1, items=20)
    shuffled = items.iloc[np.random.default_rng(0).permutation(len(items))]
    ordered = shuffled.sort_values(["benchmark", "arm", "seed"], kind="stable")
    pd.testing.assert_frame_equal(difference_table(items, ARMS, 50, 0), difference_table(ordered, ARMS, 50, 0))


def test_arms_that_answered_other_items_are_not_compared() -> None:
    items = answers(effect=0.1, items=20)
    lacking = items.drop(items[(items["arm"] == "d1+d2") & (items["item"] == 3)].index)
    other = items.assign(item=items["item"] + (items["arm"] == "d1+d2"))
    for unpaired in (lacking, other):
        with pytest.raises(HareError, match="did not all answer the same items"):
            difference_table(unpaired, ARMS, 50, 0)
    with pytest.raises(HareError, match="did not all answer the same items"):
        difference_table(items.drop(items[(items["arm"] == "d1") & (items["seed"] == 1)].index), ARMS, 50, 0)


def test_wilson_interval_at_its_known_values() -> None:
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.27753, abs=1e-5))
    assert wilson_interval(10, 10) == (pytest.approx(0.72247, abs=1e-5), 1.0)
    assert wilson_interval(81, 263) == pytest.approx((0.25527, 0.36621), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)

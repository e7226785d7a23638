"""Intervals that cover, differences that are paired, corrections that are Holm's."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.evaluation.comparison import difference_table, flat_metrics, score_table
from hare.evaluation.statistics import Draws, Estimate, estimate, holm, share, verdict
from hare.run.errors import HareError

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


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, covered, trials = np.random.default_rng(1), 0, 300
    for trial in range(trials):
        values = rng.normal(0, 1, 40)[None, :] + rng.normal(0, 0.3, (3, 1)) + rng.normal(0, 0.5, (3, 40))
        found = estimate(values.mean(), Draws.make({"x": 40}, 3, 300, trial).means("x", values))
        covered += found.low <= 0 <= found.high
    assert 0.86 < covered / trials <= 1


def test_the_error_of_a_mean_over_items_is_the_textbooks() -> None:
    values = np.random.default_rng(2).normal(5, 2, (1, 400))
    found = estimate(values.mean(), Draws.make({"x": 400}, 1, 4000, 0).means("x", values))
    assert found.error == pytest.approx(values.std(ddof=1) / 20, rel=0.05)


def test_two_seeds_keep_their_full_variance() -> None:
    values = np.array([[0.0] * 50, [1.0] * 50])
    found = estimate(0.5, Draws.make({"x": 50}, 2, 4000, 0).means("x", values))
    assert found.error == pytest.approx(np.std([0, 1], ddof=1) / math.sqrt(2), rel=0.05)


def test_a_share_of_none_or_all_gets_wilsons_bounds() -> None:
    none, all_of_them = share(0.0, np.zeros(100), 100), share(1.0, np.ones(100), 100)
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
    lower = Estimate(-0.5, -0.6, -0.4, 0.05, 0.002)
    assert verdict(lower, 0.01, higher_is_better=False) == "better"
    assert verdict(lower, 0.01, higher_is_better=True) == "worse"
    assert verdict(lower, 0.06, higher_is_better=True) == "no difference seen"


def test_a_small_paired_difference_is_found_though_items_differ_much() -> None:
    table = difference_table(answers(effect=0.05), ARMS, 500, 0)
    bits = table[table["measure"] == "bpb"]
    assert set(bits["verdict"]) == {"better"} and len(bits) == 9
    assert bits["difference"].between(-0.13, -0.03).all()
    assert (bits["difference"].abs() > bits["resolvable"]).all()
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

"""Bits per byte, paired differences, their intervals and the verdict, on made-up runs whose truth is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from hare.training.ablation import PairedLosses, bits, comparison_table, curve_table, verdict

ARMS = ("d1", "d1+d2", "d1+d2+d3")


def made_up(effects: dict[str, float], seeds: int, seed_noise: float = 0.0, noise: float = 0.0) -> pd.DataFrame:
    """Held-out rows: 2 bits a byte for news, 2.5 for wiki, off by each arm's effect, with noise of seeds and text."""
    random = np.random.default_rng(0)
    rows = []
    for (arm, effect), seed in itertools.product(effects.items(), range(seeds)):
        of_run = effect + seed_noise * random.standard_normal()
        for category, hardness, sequence in itertools.product(("news", "wiki"), (0.0,), range(20)):
            size = 900 + 10 * sequence
            level = 2.0 + (0.5 if category == "wiki" else hardness) + of_run + noise * random.standard_normal()
            rows.append({
                "arm": arm, "seed": seed, "step": 10, "tokens": 1000, "category": category, "sequence": sequence,
                "nats": level * np.log(2) * size, "bytes": size,
            })
    return pd.DataFrame(rows)


def test_bits_per_byte_by_group() -> None:
    found = bits(made_up({"d1": 0.0}, seeds=1), ["category"]).set_index("category")["bits_per_byte"]
    assert found.to_dict() == pytest.approx({"news": 2.0, "wiki": 2.5})


def test_differences_are_paired_and_exact_without_noise() -> None:
    table = comparison_table(made_up({"d1": 0.0, "d1+d2": -0.1, "d1+d2+d3": 0.2}, seeds=2))
    overall = table[table["category"] == "all"].set_index("quantity")
    assert overall.loc["d1", "value"] == pytest.approx(2.25)
    for quantity, effect in {"d1+d2 - d1": -0.1, "d1+d2+d3 - d1": 0.2, "d1+d2+d3 - d1+d2": 0.3}.items():
        assert overall.loc[quantity, ["value", "low", "high"]].tolist() == pytest.approx([effect] * 3)
    assert set(table["category"]) == {"all", "news", "wiki"}
    assert overall["sequences"].eq(40).all() and overall["seeds"].eq(2).all()


def test_a_difference_is_seen_only_when_there_is_one() -> None:
    said = verdict(comparison_table(made_up({"d1": 0.0, "d1+d2": 0.0, "d1+d2+d3": -0.3}, 3, 0.02, 0.05)))
    assert said[0].startswith("no difference between d1+d2 and d1 is seen")
    assert said[1].startswith("d1+d2+d3 predicts held-out text better than d1: -0.")
    worse = verdict(comparison_table(made_up({"d1": 0.0, "d1+d2": 0.3}, 2)))
    assert worse[0].startswith("d1+d2 predicts held-out text worse")


def test_one_seed_gives_no_verdict() -> None:
    said = verdict(comparison_table(made_up({"d1": 0.0, "d1+d2": -0.3}, 1)))
    assert said == [said[0]] and said[0].startswith("one seed cannot tell") and "1 seed," in said[0]


def test_intervals_widen_with_the_spread_between_seeds() -> None:
    def width(seed_noise: float) -> float:
        table = comparison_table(made_up({"d1": 0.0, "d1+d2": 0.0}, 4, seed_noise)).set_index(["quantity", "category"])
        row = table.loc[("d1+d2 - d1", "all")]
        return row["high"] - row["low"]

    assert width(0.05) > 5 * width(0.005) > 0


def test_two_seeds_are_not_taken_for_more_than_they_are() -> None:
    """With two arms and two seeds a single degree of freedom is left, so Student's bounds are 12.7 standard errors."""
    frame = made_up({"d1": 0.0, "d1+d2": 0.0}, 2)
    frame.loc[(frame["arm"] == "d1+d2") & (frame["seed"] == 1), "nats"] += np.log(2) * frame["bytes"]
    row = comparison_table(frame).set_index(["quantity", "category"]).loc[("d1+d2 - d1", "all")]
    differences = [0.0, 1.0]
    error = np.std(differences, ddof=1) / np.sqrt(2)
    assert row["value"] == pytest.approx(np.mean(differences))
    assert row["high"] - row["value"] == pytest.approx(t.ppf(0.975, 1) * error, rel=0.1)
    assert row["value"] - row["low"] == pytest.approx(t.ppf(0.975, 1) * error, rel=0.1)


def test_no_difference_is_seen_falsely_more_often_than_promised() -> None:
    """60 studies without any effect, each with noise of seeds and of text: about 5 % of the intervals miss 0."""
    random = np.random.default_rng(0)
    frame = made_up({"d1": 0.0, "d1+d2": 0.0, "d1+d2+d3": 0.0}, 2)
    missed = 0
    for _ in range(60):
        of_run = frame[["arm", "seed"]].drop_duplicates().assign(off=0.02 * random.standard_normal(6))
        noise = frame.merge(of_run, on=["arm", "seed"])["off"] + 0.05 * random.standard_normal(len(frame))
        noisy = frame.assign(nats=frame["nats"] + noise.to_numpy() * np.log(2) * frame["bytes"])
        found = PairedLosses.of(noisy, list(ARMS)).difference(1, 0)
        missed += found.low > 0 or found.high < 0
    assert missed <= 8


def test_curves_hold_every_validation() -> None:
    early = made_up({"d1": 0.4, "d1+d2": 0.5}, 2).assign(step=5, tokens=500)
    table = curve_table(pd.concat([early, made_up({"d1": 0.0, "d1+d2": -0.1}, 2)]))
    assert table["difference"].tolist() == pytest.approx([0.0, 0.1, 0.0, -0.1])
    assert table["tokens"].tolist() == [500, 500, 1000, 1000]
    assert set(table["arm"]) <= set(ARMS)

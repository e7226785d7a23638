"""Bits per byte, paired differences, and their intervals, on made-up runs whose truth is known."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from hare.core.errors import HareError
from hare.training.ablation import MOST_POINTS, PairedLosses, bits, curve_table, loss_table

ARMS = ("a", "b", "d")


def made_up(effects: dict[str, float], seeds: int, seed_noise: float = 0.0, noise: float = 0.0) -> pd.DataFrame:
    """Held-out rows: 2 bits per byte for news, 2.5 for wiki, off by each arm's effect, with noise of seeds and text."""
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
    measured = bits(made_up({"a": 0.0}, seeds=1), ["category"]).set_index("category")["bits_per_byte"]
    assert measured.to_dict() == pytest.approx({"news": 2.0, "wiki": 2.5})


def test_differences_are_paired_and_exact_without_noise() -> None:
    losses = PairedLosses.of(made_up({"a": 0.0, "b": -0.1, "d": 0.2}, seeds=2), list(ARMS))
    assert losses.score(0).value == pytest.approx(2.25)
    for (arm, base), effect in {(1, 0): -0.1, (2, 0): 0.2, (2, 1): 0.3}.items():
        interval = losses.difference(arm, base)
        assert [interval.value, interval.low, interval.high] == pytest.approx([effect] * 3)


@pytest.mark.parametrize("lost", ["arm == 'b' and seed == 1", "arm == 'b' and seed == 1 and sequence == 3"])
def test_a_run_without_all_texts_is_refused_by_name(lost: str) -> None:
    frame = made_up({"a": 0.0, "b": -0.1}, seeds=2)
    with pytest.raises(HareError, match=r"others of their comparison have: b-seed1\."):
        PairedLosses.of(frame.drop(frame.query(lost).index), ["a", "b"])


def test_runs_read_on_other_texts_are_not_compared() -> None:
    frame = made_up({"a": 0.0, "b": -0.1}, seeds=2)
    frame.loc[(frame["arm"] == "b") & (frame["sequence"] == 3), ["bytes", "nats"]] *= 2
    with pytest.raises(HareError, match="different texts of news"):
        PairedLosses.of(frame, ["a", "b"])


def test_intervals_widen_with_the_spread_between_seeds() -> None:
    def width(seed_noise: float) -> float:
        interval = PairedLosses.of(made_up({"a": 0.0, "b": 0.0}, 4, seed_noise), ["a", "b"]).difference(1, 0)
        return interval.high - interval.low

    assert width(0.05) > 5 * width(0.005) > 0


def test_two_seeds_are_not_taken_for_more_than_they_are() -> None:
    """With two arms and two seeds a single degree of freedom is left, so Student's bounds are 12.7 standard errors."""
    frame = made_up({"a": 0.0, "b": 0.0}, 2)
    frame.loc[(frame["arm"] == "b") & (frame["seed"] == 1), "nats"] += np.log(2) * frame["bytes"]
    interval = PairedLosses.of(frame, ["a", "b"]).difference(1, 0)
    differences = [0.0, 1.0]
    error = np.std(differences, ddof=1) / np.sqrt(2)
    assert interval.value == pytest.approx(np.mean(differences))
    assert interval.high - interval.value == pytest.approx(t.ppf(0.975, 1) * error, rel=0.1)
    assert interval.value - interval.low == pytest.approx(t.ppf(0.975, 1) * error, rel=0.1)


def test_no_difference_is_seen_falsely_more_often_than_promised() -> None:
    """60 studies without any effect, each with noise of seeds and of text: about 5 % of the intervals miss 0."""
    random = np.random.default_rng(0)
    frame = made_up({"a": 0.0, "b": 0.0, "d": 0.0}, 2)
    missed = 0
    for _ in range(60):
        of_run = frame[["arm", "seed"]].drop_duplicates().assign(off=0.02 * random.standard_normal(6))
        noise = frame.merge(of_run, on=["arm", "seed"])["off"] + 0.05 * random.standard_normal(len(frame))
        noisy = frame.assign(nats=frame["nats"] + noise.to_numpy() * np.log(2) * frame["bytes"])
        interval = PairedLosses.of(noisy, list(ARMS)).difference(1, 0)
        missed += interval.low > 0 or interval.high < 0
    assert missed <= 8


def test_curves_hold_every_validation_and_the_tables() -> None:
    early = made_up({"a": 0.4, "b": 0.5}, 2).assign(step=5, tokens=500)
    table = curve_table(pd.concat([early, made_up({"a": 0.0, "b": -0.1}, 2)]), {"bigram": 2.5})
    assert table["bits_per_byte"].tolist() == pytest.approx([2.65, 2.75, 2.25, 2.15, 2.5])
    assert table["tokens"].tolist() == [500, 500, 1000, 1000, 0] and table["arm"].tolist()[-1] == "bigram"


def test_a_curve_s_band_is_student_s_interval_over_seeds() -> None:
    frame = made_up({"a": 0.0}, 3)
    frame["nats"] += np.array([-0.1, 0.0, 0.1])[frame["seed"]] * np.log(2) * frame["bytes"]
    row = curve_table(frame, {}).iloc[0]
    spread = np.std(bits(frame, ["seed", "category"]).groupby("seed")["bits_per_byte"].mean(), ddof=1)
    assert row["high"] - row["bits_per_byte"] == pytest.approx(t.ppf(0.975, 2) * spread / np.sqrt(3))
    assert row["bits_per_byte"] - row["low"] == pytest.approx(row["high"] - row["bits_per_byte"])
    assert curve_table(made_up({"a": 0.0}, 1), {"bigram": 2.5})[["low", "high"]].isna().all(axis=None)


@given(st.integers(1, 4 * MOST_POINTS), st.integers(0, 2**32 - 1))
def test_a_long_curve_keeps_its_mean_its_end_and_few_points(steps: int, seed: int) -> None:
    losses = np.random.default_rng(seed).uniform(2, 9, steps)
    run = SimpleNamespace(global_batch=4, mixture=SimpleNamespace(sequence_length=8))
    metrics = pd.DataFrame({"step": np.arange(1, steps + 1), "loss": losses})
    table = loss_table({("a", 0): SimpleNamespace(run=run, metrics=lambda: metrics)})  # type: ignore[dict-item]
    assert len(table) <= MOST_POINTS and table["tokens"].is_monotonic_increasing
    assert table["tokens"].iloc[-1] == 32 * steps
    weights = np.diff(table["tokens"], prepend=0)
    assert np.average(table["loss"], weights=weights) == pytest.approx(losses.mean())
    if steps <= MOST_POINTS:
        assert table["loss"].tolist() == losses.tolist()

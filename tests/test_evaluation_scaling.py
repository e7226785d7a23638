"""A law through a grid of sizes and lengths: it finds what was put in, its check fails where there is no law, and too
few cells say nothing."""

import itertools
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hare.evaluation import scaling
from hare.evaluation.scaling import ALONE, EXTRAPOLATED, MEASURED, PREDICTED
from hare.report import training_figures

WIDTHS = {128: 1_056_768, 192: 2_377_728, 256: 4_227_072}
LENGTHS = (512_000, 1_024_000, 2_048_000, 4_096_000)
LARGEST = np.array([max(WIDTHS.values()), max(LENGTHS)], float)
Difference = Callable[[np.ndarray], np.ndarray]


def falling(floor: float, by_size: float, by_length: float) -> Difference:
    """A loss, or a difference of two, at sizes in units of the largest, with α = 0.4 and β = 0.3."""
    return lambda sizes: floor + by_size * sizes[..., 0] ** -0.4 + by_length * sizes[..., 1] ** -0.3


BASE = falling(1.5, 0.25, 0.35)
TURNS = falling(0.1, -0.05, -0.06)  # tasks help small models and short runs: below zero in the grid, above beyond it


def grid(
    difference: Difference = TURNS, noise: float = 0.003, seeds: int = 3, widths: Sequence[int] = tuple(WIDTHS),
    lengths: Sequence[int] = LENGTHS, endpoints: Sequence[str] = ("p",),
) -> pd.DataFrame:
    """Rows of a grid's runs whose losses follow a law, with noise of seeds, of runs and of items."""
    random, rows = np.random.default_rng(2), []
    of_seed = 0.02 * random.standard_normal(seeds)
    for width, tokens, seed, arm in itertools.product(widths, lengths, range(seeds), "ac"):
        sizes = np.array([WIDTHS[width], tokens]) / LARGEST
        loss = BASE(sizes) + of_seed[seed] + (arm == "c") * difference(sizes) + noise * random.standard_normal()
        for endpoint, group, item in itertools.product(endpoints, ("one", "two"), range(10)):
            size = 40 + item
            rows.append({
                "arm": arm, "seed": seed, "endpoint": endpoint, "group": group, "item": item, "bytes": size,
                "nats": (loss + 0.02 * np.sin(item)) * np.log(2) * size, "hidden_size": width,
                "parameters": WIDTHS[width], "tokens": tokens, "readings": 0.5,
            })
    return pd.DataFrame(rows)


def row_of(table: pd.DataFrame, kind: str, endpoint: str = "p") -> pd.Series:
    return table[(table["kind"] == kind) & (table["endpoint"] == endpoint)].iloc[0]


def test_a_turn_of_the_sign_beyond_the_grid_is_foreseen() -> None:
    table = scaling.scaling_table(grid())
    measured = table[table["kind"] == MEASURED]
    assert len(measured) == 12 and (measured["difference"] < 0.02).all() and (measured["difference"] < 0).sum() >= 9
    far = row_of(table, EXTRAPOLATED)
    truth = TURNS(np.array([10.0, 10.0]))
    assert (far["outcome"], far["held"]) == ("worse", True) and far["low"] <= truth <= far["high"]
    assert far["low"] > 0 and (far["parameters"], far["tokens"]) == (10 * WIDTHS[256], 10 * LENGTHS[-1])
    near = row_of(table, PREDICTED)
    assert near["low"] < TURNS(np.ones(2)) < near["high"] and near["tokens"] == LENGTHS[-1]
    assert "C against A on benchmark answers at 10 times the largest parameters and tokens: worse" in (
        scaling.verdicts(table)[0])


def test_the_exponents_are_those_that_were_put_in() -> None:
    row = row_of(scaling.scaling_table(grid(noise=1e-4)), EXTRAPOLATED)
    assert row["alpha"] == pytest.approx(0.4, rel=0.1) and row["beta"] == pytest.approx(0.3, rel=0.1)
    assert row["difference"] == pytest.approx(TURNS(np.array([10.0, 10.0])), abs=0.003)
    assert row["high"] - row["low"] < 0.02


@settings(max_examples=15, deadline=None)
@given(st.floats(-1, 1), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_a_law_without_noise_is_found_and_a_constant_passes_through(shift: float, a: float, b: float) -> None:
    sizes = np.array(list(itertools.product(WIDTHS.values(), LENGTHS)), float)
    alpha, beta = scaling._EXPONENTS[[20, 25]]
    powers = (sizes / LARGEST) ** -np.array([alpha, beta])
    losses = np.stack([1 + a * powers[:, 0] + b * powers[:, 1], shift + b * powers[:, 0] - a * powers[:, 1]])[None]
    law = scaling.fitted(sizes, losses, np.ones(2))
    assert law.exponents[0] == pytest.approx([alpha, beta])
    beyond = law.difference(10 * LARGEST)
    assert beyond == pytest.approx(shift + b * 10**-alpha - a * 10**-beta, abs=1e-6)
    weights = law.weights(sizes, 10 * LARGEST)
    assert weights @ losses[0, 1] == pytest.approx(beyond[0], abs=1e-6) and weights.sum() == pytest.approx(1)


def test_where_the_longest_runs_break_the_law_nothing_is_told() -> None:
    def broken(sizes: np.ndarray) -> np.ndarray:
        return TURNS(sizes) + np.where(sizes[..., 1] == 1, 0.15, 0.0)

    table = scaling.scaling_table(grid(broken))
    far, near = row_of(table, EXTRAPOLATED), row_of(table, PREDICTED)
    assert not near["held"] and far["outcome"] == "cannot tell" and far["low"] > 0, "the interval alone would tell"
    assert "the law does not predict the longest runs" in scaling.verdicts(table)[0]
    assert scaling.metrics(table)["scaling.p.held"] == 0.0


def test_no_difference_is_not_told_from_none() -> None:
    table = scaling.scaling_table(grid(falling(0.0, 0.0, 0.0)))
    assert row_of(table, EXTRAPOLATED)["outcome"] == "cannot tell" and row_of(table, PREDICTED)["held"]


def test_a_difference_with_exponents_of_its_own_widens_what_the_differences_alone_say() -> None:
    def other(sizes: np.ndarray) -> np.ndarray:
        return 0.05 - 0.02 * sizes[..., 0] ** -0.1 - 0.02 * sizes[..., 1] ** -0.6

    table = scaling.scaling_table(grid(other, noise=0.006))
    joint, alone = row_of(table, EXTRAPOLATED), row_of(table, ALONE)
    assert alone["high"] - alone["low"] > joint["high"] - joint["low"]
    assert alone["low"] < other(np.array([10.0, 10.0])) < alone["high"]


@pytest.mark.parametrize(("intervals", "held", "told"), [
    ([(0.1, 0.2), (0.05, 0.3)], True, "worse"), ([(-0.2, -0.1), (-0.3, -0.05)], True, "better"),
    ([(-0.1, 0.1), (-0.2, 0.2)], True, "cannot tell"), ([(0.0, 0.1), (0.1, 0.2)], True, "cannot tell"),
    ([(0.1, 0.2), (-0.1, 0.3)], True, "cannot tell"), ([(0.1, 0.2), (-0.2, -0.1)], True, "cannot tell"),
    ([(0.1, 0.2), (0.1, 0.2)], False, "cannot tell"),
])
def test_the_outcomes(intervals: list, held: bool, told: str) -> None:
    assert scaling.outcome(intervals, held) == told


@pytest.mark.parametrize("less", [
    {"seeds": 1}, {"widths": (128, 256)}, {"lengths": LENGTHS[1:]}, {"widths": (128,), "lengths": LENGTHS[:1]},
])
def test_too_few_runs_are_shown_and_say_nothing_more(less: dict) -> None:
    rows = grid(**less)
    table = scaling.scaling_table(rows)
    assert set(table["kind"]) == {MEASURED} and len(table) == len(rows[["hidden_size", "tokens"]].drop_duplicates())
    assert scaling.metrics(table) == {} and scaling.verdicts(table)[0].startswith("No law: it takes 3 sizes")
    assert "too few for a law" in training_figures.scaling(table).get_suptitle().replace("\n", " ")
    plt.close("all")


def test_no_grid_is_no_table() -> None:
    rows = scaling.grid_rows({}, None)  # type: ignore[arg-type]
    table = scaling.scaling_table(rows)
    assert table.empty and scaling.metrics(table) == {}


def test_the_noise_of_a_seed_in_all_its_cells_widens_the_interval() -> None:
    def width(shared: float) -> float:
        rows = grid(noise=0.002)
        off = rows["seed"].map({0: shared, 1: -shared, 2: 0.0}) * (rows["arm"] == "c")
        far = row_of(scaling.scaling_table(rows.assign(nats=rows["nats"] + off * np.log(2) * rows["bytes"])),
                     EXTRAPOLATED)
        return far["high"] - far["low"]

    assert width(0.03) > 2 * width(0.0)


def test_fewer_seeds_than_registered_give_no_law_and_one_seed_no_sign() -> None:
    two, one = (scaling.scaling_table(grid(seeds=seeds)) for seeds in (2, 1))
    assert set(two["kind"]) == set(one["kind"]) == {MEASURED}
    assert scaling.verdicts(two)[0].startswith("No law: it takes")
    assert (two["p_holm"] < 1).all() and (one["p_holm"] == 1).all(), "one seed does not show how runs vary"
    assert all(sign.startswith("(") for sign in scaling.sign_table(one).to_numpy().ravel())


def test_all_but_the_primary_endpoint_describe() -> None:
    sentences = scaling.verdicts(scaling.scaling_table(grid(endpoints=("p", "h3"))))
    assert [sentence.startswith("Descriptive: ") for sentence in sentences] == [False, True]


def test_every_run_has_its_row_and_every_law_its_metrics() -> None:
    rows = grid(endpoints=("p", "h3"))
    runs = scaling.cell_table(rows)
    assert len(runs) == 12 * 3 * 2 * 2 and set(runs) >= {"arm", "hidden_size", "parameters", "tokens", "seed",
                                                         "endpoint", "bits_per_byte", "readings"}
    table = scaling.scaling_table(rows)
    named = scaling.metrics(table)
    assert {"scaling.p.extrapolated", "scaling.h3.extrapolated.low", "scaling.h3.extrapolated.high", "scaling.p.alpha",
            "scaling.p.predicted", "scaling.p.measured", "scaling.p.held", "scaling.p.alone.high"} <= set(named)
    assert all(np.isfinite(value) for value in named.values())
    signs = scaling.sign_table(table)
    assert signs.shape == (3, 4) and set(signs.to_numpy().ravel()) <= {"−", "(−)", "+", "(+)"}
    measured = table[(table["kind"] == MEASURED) & (table["endpoint"] == "p")]
    alone = (measured["low"] > 0) | (measured["high"] < 0)
    sure = measured["p_holm"] < 0.05
    assert alone.sum() > sure.sum(), "twelve cells are corrected for their number"
    assert not (sure & ~alone).any() and sum("(" not in sign for sign in signs.to_numpy().ravel()) == sure.sum()

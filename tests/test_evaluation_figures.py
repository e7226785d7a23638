"""Figures of the evaluation can be drawn from their CSV files alone and state what these say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hare.report.evaluation_figures import draw_bits_per_byte, draw_differences, draw_scores

ARMS = ("d1", "d1+d2", "peer")
BENCHMARKS = ("arc_challenge", "winogrande", "average")


@pytest.fixture(autouse=True)
def closed_figures() -> object:
    yield
    plt.close("all")


def scores(low: float) -> pd.DataFrame:
    rows = [{"benchmark": benchmark, "arm": arm, "value": 0.3, "low": low, "high": 0.4, "chance": 0.25, "items": 10}
            for benchmark in BENCHMARKS for arm in ARMS]
    return pd.DataFrame(rows)


def test_scores_are_set_against_guessing() -> None:
    assert "None of our arms is above guessing on any of 2" in draw_scores(scores(0.2)).axes[0].get_title()
    assert "above guessing on 2 of 2" in draw_scores(scores(0.26)).axes[0].get_title()


def test_the_arm_with_the_fewest_bits_is_named() -> None:
    frame = scores(0.2)
    frame.loc[frame["arm"] == "d1+d2", "value"] = 0.25
    assert "D1+D2 needs the fewest bits of our arms on 2 of 2" in draw_bits_per_byte(frame).get_suptitle()


def test_differences_are_drawn_also_where_nothing_can_be_resolved() -> None:
    rows = [{"benchmark": benchmark, "arm": "d1+d2", "baseline": "d1", "measure": measure, "difference": 0.1,
             "low": 0.05, "high": 0.2, "resolvable": np.nan if measure == "score" else 0.08,
             "verdict": "better" if benchmark == "winogrande" else "no difference seen"}
            for benchmark in BENCHMARKS for measure in ("score", "bpb", "margin")]
    assert draw_differences(pd.DataFrame(rows)).get_suptitle().startswith("2 of 6 paired differences")

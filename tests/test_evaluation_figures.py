"""Figures of the evaluation can be drawn from their CSV files alone and state what these say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hare.report.evaluation_figures import (
    draw_bits_per_byte,
    draw_differences,
    draw_heldout_tasks,
    draw_heldout_text,
    draw_margins,
    draw_peer,
    draw_scores,
)

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


def test_margins_say_where_the_gold_answer_is_preferred() -> None:
    frame = scores(0.2)
    frame.loc[frame["benchmark"] == "winogrande", "low"] = -0.1
    assert draw_margins(frame).get_suptitle().startswith("On 1 of 2 benchmarks some arm")


def grouped(accuracy: bool) -> pd.DataFrame:
    rows = [{"panel": panel, "benchmark": group, "arm": arm, "value": 0.2, "low": 0.1, "high": 0.3,
             "chance": 0.25 if panel == "accuracy" else np.nan, "items": 9,
             "verdict": ("better" if arm == "d1+d2" else "no difference seen") if panel == "difference" else np.nan}
            for panel in ("accuracy", "bits per byte", "difference") if accuracy or panel != "accuracy"
            for group in ("cloze", "true_false", "average") for arm in ARMS[: 2 if panel == "difference" else 3]]
    return pd.DataFrame(rows)


def test_held_out_groups_are_shown_with_their_items_and_a_verdict() -> None:
    tasks, text = draw_heldout_tasks(grouped(True)), draw_heldout_text(grouped(False))
    assert len(tasks.axes) == 3 and len(text.axes) == 2
    assert [label.get_text() for label in tasks.axes[0].get_yticklabels()][1] == "true false (n = 9)"
    assert text.get_suptitle().endswith("D1 not told from D1; D1+D2 0.200 better than D1")


def test_the_peer_is_set_against_public_figures() -> None:
    rows = [{"benchmark": name, "published": 40.0, "ours": 35.0, "low": 30.0, "high": high, "items": 10,
             "inside": high > 40, "done_otherwise": "0 shots, not 10; " * 9}
            for name, high in (("hellaswag", 45.0), ("mmlu", 38.0))]
    assert draw_peer(pd.DataFrame(rows)).get_suptitle().startswith("1 of 2 public figures")

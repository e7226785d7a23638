"""The printed leakage tables, read again: numbers that the reviewers' own calculation gave, and properties."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from hare.report.paper.printed_leakage import (
    _spearman,
    printed_metrics,
    rank_correlations,
    relative_delta,
    scores_and_leakage,
)


def test_scores_go_with_delta_on_training_splits_alone() -> None:
    table = rank_correlations(scores_and_leakage()).set_index("predictor")
    assert table.loc["train", "value"] == pytest.approx(0.72, abs=0.005) and table.loc["train", "low"] > 0
    assert table.loc["test", "value"] == pytest.approx(0.08, abs=0.005)
    assert table.loc["test", "low"] < 0 < table.loc["test", "high"]


def test_averages_are_recomputed_where_print_is_wrong() -> None:
    scores = scores_and_leakage().set_index("model").score
    assert scores["OpenELM"] == pytest.approx(37.96, abs=0.01)  # printed: 38.47


def test_the_methods_own_statistic_is_what_the_printed_columns_give() -> None:
    table = relative_delta().set_index("model").value.round(1)
    assert table[["Stablelm2", "Qwen1.5", "HARE", "OpenELM"]].tolist() == [29.4, 25.1, 8.9, -1.6]


def test_rank_correlation_is_scipys_ties_included() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.integers(0, 4, (20, 10)).astype(float), generator.normal(size=(20, 10))
    expected = [spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    assert _spearman(first, second) == pytest.approx(expected)


def test_every_metric_lies_in_its_interval() -> None:
    metrics = pd.Series(printed_metrics())
    for name in [name for name in metrics.index if not name.endswith((".low", ".high"))]:
        assert metrics[f"{name}.low"] <= metrics[name] <= metrics[f"{name}.high"]

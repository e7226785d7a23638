"""The plan for more GPUs: by hand for the paper's model."""

import pytest

from hare.core.profile import load_profile
from hare.training.cluster.growth import described, grown, growth_table

CLUSTER = load_profile("cluster")


def test_the_papers_run_on_sixteen_gpus_by_hand() -> None:
    plan = grown(CLUSTER, 16)
    assert plan.sequences == 64
    assert plan.reduce_s == pytest.approx(2 * 15 / 16 * 1_123_117_056 * 4 / 50e9)
    assert plan.compute_s == pytest.approx(64 * 2048 * 7.452e9 / (989e12 * 0.4), rel=1e-3)
    assert plan.efficiency == 1.0 and 8 < plan.days < 10
    assert plan.checkpoint_gb == pytest.approx(15.7, abs=0.1)


def test_at_a_thousand_the_network_is_the_limit() -> None:
    table = growth_table(CLUSTER).set_index("gpus")
    assert table.loc[1000, "reduce_s"] > table.loc[1000, "compute_s"] and table.loc[1000, "efficiency"] < 0.5
    assert table.loc[64, "days"] < table.loc[16, "days"] / 3.9
    assert table.loc[1000, "days"] == pytest.approx(table.loc[256, "days"], rel=0.01)
    assert "GPUs on reducing the gradients takes longer" in described(CLUSTER)


def test_more_gpus_than_sequences_have_nothing_to_do() -> None:
    assert grown(CLUSTER, 10_000).days == grown(CLUSTER, 1024).days

"""The plan for more GPUs: by hand for the paper's model, and beside what nanotron's authors print."""

import numpy as np
import pytest

from hare.core.profile import known_profiles, load_profile
from hare.training.cluster import growth
from hare.training.cluster.communication import INSIDE, NETWORK, speed, step_cost
from hare.training.cluster.estimate import MFU, PEAK_FLOPS, layout_of
from hare.training.cluster.growth import (
    COUNTS,
    described,
    grown,
    growth_table,
    layout_table,
    limits,
    machines_that_share_out,
)

CLUSTER = load_profile("cluster")
WEIGHTS, BATCH = 1_123_117_056, 1024


def test_the_papers_run_on_sixteen_gpus_by_hand() -> None:
    layout = layout_of(CLUSTER, BATCH, 16, 1, 1)
    cost = step_cost(CLUSTER, layout)
    computing = 64 * 2048 * 7.452e9 / (PEAK_FLOPS * MFU)
    assert cost.compute_s == pytest.approx(computing, rel=1e-3) and cost.idle_s == 0
    assert cost.gradients_gb == pytest.approx(2 * 15 / 16 * WEIGHTS * 4 / 1e9)
    assert cost.weights_gb == pytest.approx(15 / 16 * WEIGHTS * 2 / 1e9)
    left_over = cost.gradients_gb * 1e9 / NETWORK - cost.compute_s / 16 * 2 / 3
    assert cost.waiting_s == pytest.approx(left_over + cost.weights_gb * 1e9 / NETWORK)
    run = grown(CLUSTER, layout)
    assert 8 < run.days < 10 and run.checkpoint_gb == pytest.approx(15.7, abs=0.1)


def test_tensor_and_pipeline_parallelism_by_hand() -> None:
    cost = step_cost(CLUSTER, layout_of(CLUSTER, BATCH, 16, 2, 2))  # 4 replicas, 64 micro-batches of 4
    activations = 4 * 64 * 2048 * 2048 * 2
    assert cost.tensor_gb == pytest.approx(2 * 1 / 2 * 12 * 4 * activations / 1e9)  # 12 layers on the fuller stage
    assert cost.pipeline_gb == pytest.approx(2 * activations / 1e9)
    assert cost.idle_s == pytest.approx(cost.compute_s / 64)
    assert cost.waiting_s > cost.tensor_gb * 1e9 / INSIDE


@pytest.mark.parametrize(("tensor", "data", "pipeline"), [(1, 8, 2), (2, 4, 2), (8, 1, 2), (4, 4, 1), (2, 2, 4)])
def test_a_group_leaves_its_machine_where_nanotrons_ranks_do(tensor: int, data: int, pipeline: int) -> None:
    """nanotron numbers its ranks pipeline by data by tensor; eight of them share a machine."""
    machines = np.arange(tensor * data * pipeline).reshape(pipeline, data, tensor) // 8
    replicas = machines.transpose(0, 2, 1).reshape(-1, data)
    stages = machines.transpose(1, 2, 0).reshape(-1, pipeline)
    for groups, reach in ((replicas, tensor * data), (stages, tensor * data * pipeline)):
        if groups.shape[1] > 1:
            assert (speed(reach, 8) == INSIDE) == all(len(set(group)) == 1 for group in groups)


def test_at_a_thousand_the_network_is_the_limit_and_tensor_parallelism_helps() -> None:
    table = growth_table(CLUSTER).set_index("gpus")
    assert table.loc[1000, "efficiency"] < 0.5 < table.loc[256, "efficiency"]
    assert table.loc[64, "days"] < table.loc[16, "days"] / 3.4
    assert table.loc[1000, "days"] > table.loc[256, "days"] * 0.8
    layouts = layout_table(CLUSTER, 1024)
    assert layouts.loc[0, "tensor"] > 1 and layouts.loc[0, "days"] < layouts.set_index("tensor").loc[1, "days"].min()
    assert machines_that_share_out(CLUSTER, 1000) == 1024, "1,000 replicas cannot share 1,024 sequences"


def test_sixteen_gpus_want_data_parallelism_alone() -> None:
    best = layout_table(CLUSTER, 16).loc[0]
    assert (best["data"], best["tensor"], best["pipeline"]) == (16, 1, 1) and best["fits"]


def test_the_formula_is_an_upper_bound_of_what_is_printed() -> None:
    table = growth_table(CLUSTER).dropna()
    assert len(table) == 3
    assert (table["efficiency"] >= table["printed_efficiency"]).all()
    assert (table["efficiency"] - table["printed_efficiency"]).max() < 0.2


def test_more_gpus_than_sequences_have_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "COUNTS", (1024, 10_000))
    assert growth_table(CLUSTER)["days"].nunique() == 1


def test_what_breaks_first_is_said_with_numbers() -> None:
    lines = limits(CLUSTER, growth_table(CLUSTER))
    named = [line.split(":")[0] for line in lines]
    assert named == ["the network", "the batch", "checkpoints", "fingerprints", "failures"]
    assert "2,143 files" in lines[2] and "1,200 GB" in lines[3] and "from 1,000 GPUs on" in lines[0]


@pytest.mark.parametrize("name", known_profiles())
def test_every_profile_has_a_plan(name: str) -> None:
    profile = load_profile(name)
    text = described(profile)
    assert "What breaks first" in text and f"{COUNTS[-1]}" in text

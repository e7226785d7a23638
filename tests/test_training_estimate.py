"""The estimates of a profile against arithmetic done by hand and against a real run's files."""

import dataclasses

import pytest

from hare.core.profile import known_profiles, load_profile
from hare.training.cluster.estimate import MFU, PEAK_FLOPS, estimate


def test_the_papers_run() -> None:
    papers = estimate(load_profile("cluster"))
    assert papers.parameters == 1_123_117_056
    assert papers.tokens_per_step == 2**21
    assert papers.tokens == pytest.approx(600e9, rel=1e-3)
    assert papers.processes == 16
    assert papers.days == pytest.approx(papers.tokens * papers.flops_per_token / (16 * PEAK_FLOPS * MFU) / 86400)
    assert papers.chosen.fits and papers.recommended is not None
    assert (papers.recommended.data_parallel, papers.recommended.gradient_accumulation) == (16, 16)


def test_state_is_counted_by_parameter() -> None:
    """8 bytes for bfloat16 weights, gradients and their fp32 sums; 12 for the optimizer, shared under ZeRO-1."""
    profile = load_profile("cluster")
    for stage, wanted in ((0, 8 + 12), (1, 8 + 12 / 16)):
        training = dataclasses.replace(profile.training, zero_stage=stage)
        layout = estimate(dataclasses.replace(profile, training=training)).chosen
        assert layout.state_gb == pytest.approx(1_123_117_056 * wanted / 1e9)


def test_a_model_too_large_is_said_not_to_fit() -> None:
    profile = load_profile("cluster")
    large = dataclasses.replace(profile.model, hidden_size=16384, intermediate_size=45056, layers=80)
    estimated = estimate(dataclasses.replace(profile, model=large))
    assert estimated.recommended is None
    assert "none fits" in str(estimated) and "does not fit" in str(estimated)


@pytest.mark.parametrize("name", known_profiles())
def test_every_profile_prints(name: str) -> None:
    printed = str(estimate(load_profile(name)))
    assert "not measured" in printed and "days per run" in printed


def test_more_splitting_takes_less_memory() -> None:
    layouts = {(one.tensor_parallel, one.pipeline_parallel): one for one in estimate(load_profile("cluster")).layouts}
    assert layouts[2, 1].total_gb < layouts[1, 1].total_gb
    assert layouts[1, 2].state_gb < layouts[1, 1].state_gb


def test_recomputation_trades_memory_for_arithmetic() -> None:
    profile = load_profile("cluster")
    training = dataclasses.replace(profile.training, recompute_activations=True)
    stored, recomputed = (estimate(one).chosen for one in (profile, dataclasses.replace(profile, training=training)))
    assert recomputed.activations_gb < stored.activations_gb / 5 and recomputed.state_gb == stored.state_gb

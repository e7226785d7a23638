"""The estimates of a profile against arithmetic done by hand and against a real run's files."""

import dataclasses

import pytest

from hare.core.profile import known_profiles, load_profile
from hare.training.cluster.estimate import MFU, PEAK_FLOPS, estimate


def test_the_papers_run() -> None:
    found = estimate(load_profile("cluster"))
    assert found.parameters == 1_123_117_056
    assert found.tokens_per_step == 2**21
    assert found.tokens == pytest.approx(600e9, rel=1e-3)
    assert found.processes == 16
    assert found.days == pytest.approx(found.tokens * found.flops_per_token / (16 * PEAK_FLOPS * MFU) / 86400)
    assert found.chosen.fits and found.recommended is not None
    assert (found.recommended.data_parallel, found.recommended.gradient_accumulation) == (16, 16)


def test_state_is_counted_by_parameter() -> None:
    """8 bytes for bfloat16 weights, gradients and their fp32 sums; 12 for the optimizer, shared under ZeRO-1."""
    profile = load_profile("cluster")
    for stage, wanted in ((0, 8 + 12), (1, 8 + 12 / 16)):
        training = dataclasses.replace(profile.training, zero_stage=stage)
        found = estimate(dataclasses.replace(profile, training=training)).chosen
        assert found.state_gb == pytest.approx(1_123_117_056 * wanted / 1e9)


def test_a_model_too_large_is_said_not_to_fit() -> None:
    profile = load_profile("cluster")
    large = dataclasses.replace(profile.model, hidden_size=16384, intermediate_size=45056, layers=80)
    found = estimate(dataclasses.replace(profile, model=large))
    assert found.recommended is None
    assert "none fits" in str(found) and "does not fit" in str(found)


@pytest.mark.parametrize("name", known_profiles())
def test_every_profile_prints(name: str) -> None:
    said = str(estimate(load_profile(name)))
    assert "not measured" in said and "days per run" in said


def test_more_splitting_takes_less_memory() -> None:
    layouts = {(one.tensor_parallel, one.pipeline_parallel): one for one in estimate(load_profile("cluster")).layouts}
    assert layouts[2, 1].total_gb < layouts[1, 1].total_gb
    assert layouts[1, 2].state_gb < layouts[1, 1].state_gb


def test_recomputation_trades_memory_for_arithmetic() -> None:
    profile = load_profile("cluster")
    training = dataclasses.replace(profile.training, recompute_activations=True)
    kept, recomputed = (estimate(one).chosen for one in (profile, dataclasses.replace(profile, training=training)))
    assert recomputed.activations_gb < kept.activations_gb / 5 and recomputed.state_gb == kept.state_gb

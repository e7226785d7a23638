"""`hare bench gpu` at toy size on whatever device is here: real processes, real steps."""

import pytest
import torch

from hare.bench import gpu
from hare.bench.gpu import VARIANTS, Size, Variant, measured
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.core.sections import Model

SMOKE = load_profile("smoke")
TOY = Size(
    Model(hidden_size=32, intermediate_size=64, layers=1, attention_heads=2, key_value_heads=1, max_positions=64),
    length=32, vocabulary=300, micro_batch=2, accumulation=1,
)


def test_variants_are_trained_and_their_curves_compared(capsys: pytest.CaptureFixture[str]) -> None:
    variants = {
        "bfloat16": Variant("trainer", "bfloat16", False, False, 4),
        "float8": Variant("trainer", "bfloat16", False, True, 4),  # recomputed: the same numbers, another process
        "nanotron_llama": VARIANTS["nanotron_llama"],
    }
    metrics = measured(SMOKE.training, TOY, variants, 1e6)
    said = capsys.readouterr().out
    for name in ("bfloat16", "float8"):
        assert metrics[f"gpu.{name}.tokens_per_s"] > 0 and metrics[f"gpu.{name}.peak_mb"] > 0
        assert metrics[f"gpu.{name}.mfu"] > 0 and f"{name}: " in said
    assert metrics["gpu.float8_loss_steps"] >= 3 and metrics["gpu.float8_loss_largest_difference"] < 0.05
    if not torch.cuda.is_available():
        assert "nanotron_llama: does not run here" in said and "gpu.nanotron_llama.mfu" not in metrics


def test_what_the_time_does_not_suffice_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(measured(SMOKE.training, TOY, VARIANTS, -1.0)) == ["gpu.matrix_tflops_bfloat16"]
    assert capsys.readouterr().out.count("left out") == len(VARIANTS)


def test_without_a_gpu_or_with_a_small_one_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(HareError, match="no GPU that torch can use"):
        gpu.bench(SMOKE)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.torch.cuda, "get_device_properties", lambda number: type("", (), {"total_memory": 24e9}))
    monkeypatch.setattr(gpu.torch.cuda, "get_device_name", lambda number: "A10")
    with pytest.raises(HareError, match="A10 has 24 GB"):
        gpu.bench(SMOKE)

"""`hare bench gpu` at toy size on whatever device is here: real processes, real steps."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from hare.bench import gpu
from hare.bench.gpu import VARIANTS, Size, Variant, measured
from hare.bench.gpu_generation import REQUESTS, TOKENS, served_folder
from hare.bench.training import alone, random_run
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
    output = capsys.readouterr().out
    for name in ("bfloat16", "float8"):
        assert metrics[f"gpu.{name}.tokens_per_s"] > 0 and metrics[f"gpu.{name}.peak_mb"] > 0
        assert metrics[f"gpu.{name}.mfu"] > 0 and f"{name}: " in output
    assert metrics["gpu.float8_loss_steps"] >= 3 and metrics["gpu.float8_loss_largest_difference"] < 0.05
    if not torch.cuda.is_available():
        assert "nanotron_llama: does not run here" in output and "gpu.nanotron_llama.mfu" not in metrics


def test_what_the_time_does_not_suffice_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(measured(SMOKE.training, TOY, VARIANTS, -1.0)) == ["gpu.matrix_tflops_bfloat16"]
    assert capsys.readouterr().out.count("left out") == len(VARIANTS) + 1  # vLLM


def test_an_interruption_keeps_what_has_been_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trained(name: str, *_: object) -> dict[str, float]:
        if name == "transformers":
            raise KeyboardInterrupt
        return {f"gpu.{name}.mfu": 0.5}

    monkeypatch.setattr(gpu, "_trained", trained)
    metrics = measured(SMOKE.training, TOY, VARIANTS, 1e6)
    assert list(metrics) == ["gpu.matrix_tflops_bfloat16", "gpu.bfloat16.mfu", "gpu.float8.mfu"]
    assert capsys.readouterr().out == "transformers: interrupted, and with it all that would follow\n"


# The options, and the report, of `vllm bench throughput` in vLLM 0.33.
VLLM = f"""#!{sys.executable}
import argparse, json, sys
parser = argparse.ArgumentParser()
assert sys.argv[1:3] == ["bench", "throughput"]
for name in ("model", "load-format", "dtype", "dataset-name", "output-json"):
    parser.add_argument("--" + name)
for name in ("random-input-len", "random-output-len", "num-prompts", "num-warmups"):
    parser.add_argument("--" + name, type=int)
parser.add_argument("--gpu-memory-utilization", type=float)
chosen = parser.parse_args(sys.argv[3:])
if json.load(open(chosen.model + "/config.json"))["hidden_size"] != 32:
    sys.exit("ValueError: another shape")
tokens = chosen.num_prompts * (chosen.random_input_len + chosen.random_output_len)
report = dict(model_id=chosen.model, elapsed_time=2.0, num_requests=chosen.num_prompts, total_num_tokens=tokens)
report |= dict(requests_per_second=chosen.num_prompts / 2.0, tokens_per_second=tokens / 2.0)
json.dump(report, open(chosen.output_json, "w"))
"""


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of that name on the PATH that takes vLLM's options and writes its report."""
    command = tmp_path / "bin" / "vllm"
    command.parent.mkdir()
    command.write_text(VLLM)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent))


def test_where_vllm_is_at_hand_it_writes_with_the_shape(vllm: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert measured(SMOKE.training, TOY, {}, 1e6)["gpu.vllm.written_tokens_per_s"] == REQUESTS * TOKENS / 2
    wide = dataclasses.replace(TOY, model=dataclasses.replace(TOY.model, hidden_size=64))
    assert list(measured(SMOKE.training, wide, {}, 1e6)) == ["gpu.matrix_tflops_bfloat16"]
    assert "vllm: does not run here: ValueError: another shape" in capsys.readouterr().out


def test_without_the_command_vllm_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("PATH", "")
    assert list(measured(SMOKE.training, TOY, {}, 1e6)) == ["gpu.matrix_tflops_bfloat16"]
    assert "vllm: does not run here: There is no command vllm on the PATH." in capsys.readouterr().out


def test_the_folder_for_vllm_is_a_mistral_whose_tokenizer_reads_back_random_tokens() -> None:
    """vLLM's benchmark writes random tokens out as text and reads that."""
    with random_run(TOY.model, alone(SMOKE.training), TOY.length, TOY.vocabulary) as run:
        folder = served_folder(run)
        assert AutoConfig.from_pretrained(folder).architectures == ["MistralForCausalLM"]
        assert json.loads((folder / "config.json").read_text())["vocab_size"] == TOY.vocabulary
        tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = np.random.default_rng(0).integers(3, TOY.vocabulary, 50).tolist()
    assert tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False) == ids


def test_without_a_gpu_or_with_a_small_one_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(HareError, match="no GPU that torch can use"):
        gpu.bench(SMOKE)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.torch.cuda, "get_device_properties", lambda number: type("", (), {"total_memory": 24e9}))
    monkeypatch.setattr(gpu.torch.cuda, "get_device_name", lambda number: "A10")
    with pytest.raises(HareError, match="A10 has 24 GB"):
        gpu.bench(SMOKE)

"""Small pieces of training: lanes of runs side by side, inputs by name, the matrix rate, what an arm says."""

from pathlib import Path

import pytest
import torch
from test_tokens_tokenizer import sentences
from training_runs import toy_run
from transformers import MistralConfig, MistralForCausalLM

from hare.core.errors import HareError
from hare.tokens.vocabulary import make
from hare.training import launch
from hare.training.inputs import Inputs
from hare.training.launch import train_all
from hare.training.matrix_rate import matrix_flops
from hare.training.speech import spoken

SHORT = {"train_steps": 2, "warmup_steps": 1, "checkpoint_interval": 2, "validation_interval": 2}


@pytest.mark.parametrize(("cores", "lanes"), [(1, [3]), (2, [2, 1]), (8, [2, 1])])
def test_runs_are_dealt_out_as_far_as_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, lanes: list[int]
) -> None:
    monkeypatch.setattr(launch, "cores", lambda: cores)
    runs = [toy_run(tmp_path, name, **SHORT) for name in "abc"]
    dealt = launch._lanes(runs)
    assert [len(lane) for lane in dealt] == lanes
    assert sorted(run.folder.name for lane in dealt for run in lane) == ["a", "b", "c"]


@pytest.mark.parametrize("on_processor", [False, True])
def test_what_trains_beside_the_gpu_does_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_processor: bool
) -> None:
    environments = []

    def started(arguments: list[str], count: int, environment: dict[str, str]) -> None:
        environments.append(environment)
        raise HareError("stopped here", "")

    monkeypatch.setattr(launch, "started", started)
    with pytest.raises(HareError, match="stopped here"):
        train_all([toy_run(tmp_path, "a", **SHORT)], on_processor=on_processor)
    assert [environment.get("CUDA_VISIBLE_DEVICES") for environment in environments] == ["" if on_processor else None]


def test_side_by_side_is_the_same_as_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {}
    for cores in (1, 2):
        monkeypatch.setattr(launch, "cores", lambda cores=cores: cores)
        runs = [toy_run(tmp_path / str(cores), name, seed, **SHORT) for seed, name in enumerate("ab")]
        losses[cores] = [run.metrics()["loss"].tolist() for run in train_all(runs)]
    assert losses[1] == losses[2]


def test_inputs_are_those_of_the_tokens_stage(tmp_path: Path) -> None:
    (tmp_path / "heldout").mkdir()
    (tmp_path / "heldout" / "books.ds").write_bytes(b"")
    inputs = Inputs.of(tmp_path)
    assert list(inputs.heldout) == ["books"] and inputs.tokenizer == tmp_path / "tokenizer"


def test_the_matrix_rate_is_measured_once() -> None:
    assert matrix_flops("float32") == matrix_flops("float32") > 1e6


def test_an_arm_goes_on_from_a_beginning(tmp_path: Path) -> None:
    tokenizer = make("own-400", {"d1": sentences(60)}, tmp_path / "tokenizer")
    torch.manual_seed(0)
    model = MistralForCausalLM(MistralConfig(
        vocab_size=tokenizer.size, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1,
    ))
    model.save_pretrained(tmp_path / "hf")
    text = spoken(tmp_path / "hf", tokenizer, "A hare", 6)
    assert text.startswith("A hare") and text == spoken(tmp_path / "hf", tokenizer, "A hare", 6)
    assert spoken(tmp_path / "hf", tokenizer, "A hare", 0) == "A hare" != text

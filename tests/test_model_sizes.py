"""Sizes by formula against the paper and against real modules."""

import dataclasses

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from hare.core.profile import load_profile
from hare.model.config import HareConfig
from hare.model.convert import hugging_face_config
from hare.model.sizes import NAMED, layer_parameters, parameters, size_rows, training_flops_per_token
from hare.tokens.tokenizer import PAPER_VOCABULARY, Vocabulary

PAPER = Vocabulary.named(PAPER_VOCABULARY)


def test_the_papers_model_has_the_papers_parameters() -> None:
    assert parameters(NAMED["1.1B"], PAPER.size) == 1_123_117_056
    assert NAMED["1.1B"] == load_profile("cluster").model
    assert {name: parameters(model, PAPER.size) for name, model in NAMED.items()} == {
        "1M": 9_250_432, "5M": 21_319_424, "30M": 60_959_232, "0.25B": 245_924_864, "1.1B": 1_123_117_056,
    }


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_parameters_equal_those_of_the_hugging_face_module(name: str, tied: bool) -> None:
    model = dataclasses.replace(NAMED[name], tied_embeddings=tied)
    described = hugging_face_config(HareConfig.of(model, PAPER), torch.float32)
    with torch.device("meta"):
        module = MistralForCausalLM(MistralConfig(**described))
    assert parameters(model, PAPER.size) == sum(parameter.numel() for parameter in module.parameters())


def test_named_sizes_are_what_they_are_called() -> None:
    for name, wanted in {"1M": 1e6, "5M": 5e6, "30M": 30e6}.items():
        assert NAMED[name].layers * layer_parameters(NAMED[name]) == pytest.approx(wanted, rel=0.1)
    for name, wanted in {"0.25B": 0.25e9, "1.1B": 1.1e9}.items():
        assert parameters(NAMED[name], PAPER.size) == pytest.approx(wanted, rel=0.03)


def test_flops_equal_what_pytorch_counts() -> None:
    """PyTorch counts the matrix products of the real module; attention is written out, since its fused form hides."""
    from torch.utils.flop_counter import FlopCounterMode

    model, length = NAMED["1M"], 64
    described = hugging_face_config(HareConfig.of(model, PAPER), torch.float32)
    module = MistralForCausalLM(MistralConfig(**described, attn_implementation="eager"))
    tokens = torch.zeros(1, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        module(tokens).logits.sum().backward()
    expected = training_flops_per_token(model, length, PAPER.size) * length
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_size_rows_give_the_share_of_the_projection_to_the_vocabulary() -> None:
    rows = {row["model"]: row for row in size_rows(NAMED, 256, PAPER.size)}
    assert rows["1M"]["head_share"] > 0.5 > 0.1 > rows["1.1B"]["head_share"]

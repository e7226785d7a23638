"""Our nanotron module against transformers' MistralForCausalLM, in one process on the CPU, fp32."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from one_process import one_process
from training_runs import SHAPE
from transformers import MistralConfig, MistralForCausalLM

from hare.core.errors import HareError
from hare.model.config import HareConfig
from hare.model.convert import from_hugging_face, hugging_face_config, to_hugging_face
from hare.model.cross_entropy import head_cross_entropy
from hare.model.nanotron.device import GlooContext, prepare_process_group, training_device
from hare.model.network import HareForTraining
from hare.model.weights import initial_weight, load_slices
from hare.tokens.tokenizer import Vocabulary

# isort: split
import nanotron.distributed
from nanotron.config import ParallelismArgs
from nanotron.models import build_model
from nanotron.trainer import mark_tied_parameters

VOCABULARY = 512


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooContext]:
    """A process group of this process alone."""
    with one_process(tmp_path_factory.mktemp("store")):
        yield GlooContext(1, 1, 1)


def built(config: HareConfig, context: GlooContext) -> HareForTraining:
    parallel = ParallelismArgs(dp=1, pp=1, tp=1)
    with training_device():
        model = build_model(lambda: HareForTraining(config, context, parallel), context, torch.float32)
        mark_tied_parameters(model, context, parallel)
    load_slices(model, lambda name, shape: initial_weight(name, shape, 0, config))
    return model


def whole_parameters(model: HareForTraining) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def hugging_face(config: HareConfig, tensors: dict[str, torch.Tensor]) -> MistralForCausalLM:
    module = MistralForCausalLM(MistralConfig(**hugging_face_config(config, torch.float32)))
    missing, unexpected = module.load_state_dict(to_hugging_face(tensors, config), strict=False)
    assert not unexpected and (config.tied_embeddings or not missing)
    module.tie_weights()
    return module


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("key_values", [1, 2, 4])
@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
def test_logits_and_loss_equal_mistral(context: GlooContext, tied: bool, key_values: int, theta: float) -> None:
    shape = dataclasses.replace(SHAPE, tied_embeddings=tied, key_value_heads=key_values)
    config = dataclasses.replace(HareConfig.of(shape, Vocabulary(VOCABULARY)), rope_theta=theta)
    ours = built(config, context)
    theirs = hugging_face(config, whole_parameters(ours))
    tokens = torch.randint(0, VOCABULARY, (2, 33), generator=torch.Generator().manual_seed(1))
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    logits = ours.head.pp_block.logits(ours.hidden_states(inputs)).transpose(0, 1)
    expected = theirs(inputs).logits
    assert (logits - expected).abs().max() < 1e-5
    losses = ours(inputs, labels)
    per_token = torch.nn.functional.cross_entropy(expected.transpose(1, 2), labels, reduction="none")
    assert losses["loss"].item() == pytest.approx(per_token.mean().item(), abs=1e-5)
    assert torch.allclose(losses["nats"], per_token.sum(1), atol=1e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_equal_mistral(context: GlooContext, tied: bool) -> None:
    config = HareConfig.of(dataclasses.replace(SHAPE, tied_embeddings=tied), Vocabulary(VOCABULARY))
    ours = built(config, context)
    theirs = hugging_face(config, whole_parameters(ours))
    tokens = torch.randint(0, VOCABULARY, (3, 17), generator=torch.Generator().manual_seed(2))
    ours(tokens[:, :-1], tokens[:, 1:])["loss"].backward()
    logits = theirs(tokens[:, :-1]).logits
    torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:]).backward()
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    expected = dict(theirs.named_parameters())
    for name, gradient in to_hugging_face(gradients, config).items():
        assert torch.allclose(gradient, expected[name].grad, atol=1e-6), name


@pytest.mark.parametrize("tied", [False, True])
def test_conversion_and_back_is_exact(context: GlooContext, tied: bool) -> None:
    config = HareConfig.of(dataclasses.replace(SHAPE, tied_embeddings=tied), Vocabulary(VOCABULARY))
    ours = whole_parameters(built(config, context))
    again = from_hugging_face(to_hugging_face(ours, config), config)
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], ours[name]) for name in ours)


def test_weights_of_another_shape_are_refused_by_name(context: GlooContext) -> None:
    model = built(HareConfig.of(SHAPE, Vocabulary(VOCABULARY)), context)
    with pytest.raises(HareError, match=r"token_embedding\.pp_block\.weight as \(7, 7\)"):
        load_slices(model, lambda name, shape: torch.zeros(7, 7))


def test_initial_weights_depend_on_name_and_seed_alone() -> None:
    config = HareConfig.of(SHAPE, Vocabulary(VOCABULARY))
    first = initial_weight("decoder.0.pp_block.attn.qkv_proj.weight", (8, 4), 0, config)
    assert torch.equal(first, initial_weight("decoder.0.pp_block.attn.qkv_proj.weight", (8, 4), 0, config))
    assert not torch.equal(first, initial_weight("decoder.1.pp_block.attn.qkv_proj.weight", (8, 4), 0, config))
    assert not torch.equal(first, initial_weight("decoder.0.pp_block.attn.qkv_proj.weight", (8, 4), 1, config))
    wide = initial_weight("decoder.0.pp_block.mlp.gate_up_proj.weight", (512, 512), 0, config).std()
    narrow = initial_weight("decoder.0.pp_block.mlp.down_proj.weight", (512, 512), 0, config).std()
    assert wide.item() == pytest.approx(SHAPE.hidden_size**-0.5, rel=0.02)
    assert (wide / narrow).item() == pytest.approx((2 * SHAPE.layers) ** 0.5, rel=0.02)


@pytest.mark.parametrize("tokens", [1, 255, 256, 257, 600])
def test_chunked_cross_entropy_equals_pytorch(tokens: int) -> None:
    random = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, 16, generator=random, requires_grad=True)
    weight = torch.randn(50, 16, generator=random, requires_grad=True)
    labels = torch.randint(0, 50, (tokens,), generator=random)
    expected = torch.nn.functional.cross_entropy(hidden @ weight.t(), labels, reduction="none")
    wanted = torch.autograd.grad(expected.mean(), (hidden, weight))
    computed = head_cross_entropy(hidden, weight, labels)
    assert torch.allclose(computed, expected, atol=1e-5)
    for gradient, right in zip(torch.autograd.grad(computed.mean(), (hidden, weight)), wanted, strict=True):
        assert torch.allclose(gradient, right, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(head_cross_entropy(hidden, weight, labels), expected, atol=1e-5)


def test_a_group_of_one_does_not_communicate(context: GlooContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """gloo's threads would slow down the model's own; every reduction of one tensor is that tensor."""
    prepare_process_group()

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("communicated")

    monkeypatch.setattr(torch.distributed, "all_reduce", refused)
    tensor = torch.arange(3.0)
    for operation in (nanotron.distributed.ReduceOp.AVG, nanotron.distributed.ReduceOp.MAX):
        nanotron.distributed.all_reduce(tensor, op=operation, group=context.dp_pg)
        nanotron.distributed.all_reduce(tensor, op=operation, group=context.dp_pg, async_op=True).wait()
    assert tensor.tolist() == [0.0, 1.0, 2.0]

"""Attention kernels, document boundaries, recomputation and compiled pieces: each against the plain computation."""

import dataclasses
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._inductor.config
from hypothesis import given, settings
from hypothesis import strategies as st
from one_process import one_process
from test_model_parity import VOCABULARY, built
from training_runs import SHAPE

from hare.core.errors import HareError
from hare.model import attention, float8, pointwise
from hare.model.attention import Boundaries, attended, document_numbers, flash_attended
from hare.model.config import HareConfig
from hare.model.nanotron.device import GlooContext, training_device
from hare.tokens.tokenizer import Vocabulary

BEGIN = 1


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooContext]:
    with one_process(tmp_path_factory.mktemp("store")):
        yield GlooContext(1, 1, 1)


def document(length: int, seed: int) -> torch.Tensor:
    """`<s>` and tokens that are not: int64[length]."""
    tokens = torch.randint(2, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed))
    tokens[0] = BEGIN
    return tokens


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_documents_are_numbered_and_ended(lengths: list[int]) -> None:
    line = torch.cat([document(length, number) for number, length in enumerate(lengths)])[None]
    boundaries = Boundaries(document_numbers(line, BEGIN))
    assert boundaries.documents.flatten().bincount()[1:].tolist() == lengths
    ends, longest = boundaries.ends
    assert ends.diff().tolist() == lengths and longest == max(lengths)
    expected = torch.block_diag(*(torch.ones(length, length).tril() for length in lengths)).bool()
    assert torch.equal(boundaries.mask[0, 0], expected)


def test_sequences_of_a_batch_are_kept_apart() -> None:
    ends, _ = Boundaries(torch.tensor([[1, 1, 2], [0, 1, 1]])).ends
    assert ends.tolist() == [0, 2, 3, 4, 6]


@pytest.mark.parametrize("recompute", [False, True])
def test_packed_documents_get_the_logits_of_each_alone(context: GlooContext, recompute: bool) -> None:
    config = dataclasses.replace(
        HareConfig.of(SHAPE, Vocabulary(VOCABULARY)), mask_documents=True, recompute_activations=recompute
    )
    model = built(config, context)
    alone = [document(length, seed)[None] for seed, length in enumerate((11, 1, 20))]
    packed = torch.cat(alone, dim=1)
    head = model.head.pp_block
    computed = head.logits(model.hidden_states(packed, document_numbers(packed, BEGIN))).transpose(0, 1)
    expected = [head.logits(model.hidden_states(one)).transpose(0, 1) for one in alone]
    assert (computed - torch.cat(expected, dim=1)).abs().max() < 1e-5
    unmasked = head.logits(model.hidden_states(packed)).transpose(0, 1)
    assert (unmasked[:, :11] - expected[0]).abs().max() < 1e-5
    assert (unmasked[:, 11:] - computed[:, 11:]).abs().max() > 1e-4


@pytest.mark.parametrize("documents", [False, True])
def test_recomputed_activations_give_the_same_gradients(context: GlooContext, documents: bool) -> None:
    config = HareConfig.of(SHAPE, Vocabulary(VOCABULARY))
    tokens = torch.stack([torch.cat([document(9, seed), document(9, seed + 5)]) for seed in (0, 1)])
    gradients = []
    for recompute in (False, True):
        model = built(dataclasses.replace(config, recompute_activations=recompute), context)
        numbers = document_numbers(tokens[:, :-1], BEGIN) if documents else None
        loss = model(tokens[:, :-1], tokens[:, 1:], numbers)["loss"]
        model.boundaries.current = None  # the next micro-batch may be current when the backward pass runs
        loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_recomputation_keeps_fewer_activations(context: GlooContext) -> None:
    stored = {}
    for recompute in (False, True):
        config = dataclasses.replace(HareConfig.of(SHAPE, Vocabulary(VOCABULARY)), recompute_activations=recompute)
        model = built(config, context)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda one, to=sizes: to.append(one.numel()) or one, lambda x: x):
            model.hidden_states(document(32, 0)[None])
        stored[recompute] = sum(sizes)
    assert stored[True] < stored[False] / 3


def test_flash_attention_is_called_with_its_own_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """flash-attn needs a GPU; here PyTorch's kernels replace its functions, with its layouts."""

    def one(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool) -> torch.Tensor:
        parts = [part.transpose(1, 2) for part in (query, key, value)]
        return torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=causal, enable_gqa=True).transpose(
            1, 2
        )

    def many(query, key, value, ends, also_ends, longest, also_longest, causal):  # noqa: ANN001, ANN202
        spans = list(zip(ends.tolist(), also_ends.tolist()[1:], strict=False))
        assert max(stop - start for start, stop in spans) == longest == also_longest
        done = [one(*(part[None, start:stop] for part in (query, key, value)), causal)[0] for start, stop in spans]
        return torch.cat(done)

    fake = types.SimpleNamespace(flash_attn_func=one, flash_attn_varlen_func=many)
    monkeypatch.setitem(sys.modules, "flash_attn", fake)
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 10, 4, generator=random) for heads in (4, 2, 2))
    for boundaries in (None, Boundaries(torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, 2, 2], [0] * 4 + [1] * 6]))):
        computed = flash_attended(query, key, value, boundaries)
        assert torch.allclose(computed, attended(query, key, value, boundaries), atol=1e-6)


def test_without_a_gpu_flash_attention_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "flash_is_installed", lambda: True)
    half = torch.ones(1, 2, 3, 4, dtype=torch.bfloat16)
    assert attended(half, half, half).shape == half.shape


def test_a_compiled_part_gives_the_same_result_and_gradient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One part only, since compiling takes seconds each."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._inductor.config, "compile_threads", 1)
    computed = []
    for function in (pointwise.gated, pointwise.fused(pointwise.gated)):
        both = torch.linspace(-2, 2, 48).reshape(3, 16).requires_grad_()
        with training_device():
            result = function(both)
            result.square().sum().backward()
        computed.append((result, both.grad))
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*computed, strict=True))


def test_float8_replaces_every_product_of_the_layers(
    context: GlooContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchao is optional; here a module that computes in full precision replaces its own."""
    shapes = []

    class Exact(torch.nn.Linear):
        """Records the products that it computes."""

        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(self.weight.shape))
            return super().forward(tensor)

    def convert(holder: torch.nn.Sequential, config: object) -> list[torch.nn.Module]:
        return [Exact(holder[0].in_features, holder[0].out_features, bias=False)]

    fake = types.SimpleNamespace(Float8LinearConfig=lambda emulate: emulate, convert_to_float8_training=convert)
    monkeypatch.setitem(sys.modules, "torchao", types.ModuleType("torchao"))
    monkeypatch.setitem(sys.modules, "torchao.float8", fake)
    monkeypatch.setattr(float8, "refuse_without_torchao", lambda: None)
    float8._product.cache_clear()
    config, tokens = HareConfig.of(SHAPE, Vocabulary(VOCABULARY)), document(17, 0)[None]
    computed = []
    for narrow in (False, True):
        model = built(dataclasses.replace(config, float8=narrow), context)
        loss = model(tokens[:, :-1], tokens[:, 1:])["loss"]
        loss.backward()
        computed.append([loss, *(parameter.grad for parameter in model.parameters())])
    float8._product.cache_clear()
    assert len(shapes) == 4 * SHAPE.layers
    assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(*computed, strict=True))


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwise.shutil, "which", lambda name: None)
    with pytest.raises(HareError, match=r"torch_compile is true, but this machine has no C\+\+ compiler"):
        pointwise.refuse_without_compiler()


def test_float8_without_torchao_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float8.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HareError, match="torchao is not installed"):
        float8.refuse_without_torchao()

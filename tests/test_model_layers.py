"""The layers one by one, against the same arithmetic written out in plain torch."""

from collections.abc import Iterator

import pytest
import torch
from one_process import one_process
from training_runs import SHAPE

from hare.model.attention import SequenceBoundaries
from hare.model.config import HareConfig
from hare.model.layers import MLP, Attention, DecoderLayer, LanguageModelHead, RMSNorm, TokenEmbedding, rotary_tables
from hare.model.nanotron.device import GlooContext, training_device
from hare.tokens.tokenizer import Vocabulary

# isort: split
from nanotron.config import ParallelismArgs
from nanotron.parallel.tensor_parallel.enum import TensorParallelLinearMode

CONFIG = HareConfig.of(SHAPE, Vocabulary(64))
LENGTH, BATCH = 7, 2


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooContext]:
    with one_process(tmp_path_factory.mktemp("store")):
        yield GlooContext(1, 1, 1)


@pytest.fixture(scope="module")
def hidden() -> torch.Tensor:
    return torch.randn(LENGTH, BATCH, CONFIG.hidden_size, generator=torch.Generator().manual_seed(0))


def test_the_norm_divides_by_the_root_mean_square(hidden: torch.Tensor) -> None:
    norm = RMSNorm(CONFIG.hidden_size, 1e-5)
    with torch.no_grad():
        norm.weight.fill_(2.0)
        expected = 2.0 * hidden / (hidden.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(norm(hidden), expected)


def test_rotary_tables_hold_angles_that_fall_with_the_place_in_the_head() -> None:
    cosines, sines = rotary_tables(5, 8, 10_000.0, torch.float32, torch.device("cpu"))
    assert cosines.shape == sines.shape == (5, 8)
    torch.testing.assert_close(cosines**2 + sines**2, torch.ones(5, 8))
    assert (cosines[0] == 1).all() and (sines[0] == 0).all()
    torch.testing.assert_close(sines[3, :4], torch.sin(3.0 / 10_000.0 ** (torch.arange(0, 8, 2) / 8)))
    torch.testing.assert_close(sines[:, :4], sines[:, 4:])


def test_swiglu_is_gate_times_up(context: GlooContext, hidden: torch.Tensor) -> None:
    with training_device():
        mlp = MLP(CONFIG, ParallelismArgs(dp=1, pp=1, tp=1), context.tp_pg)
    gate, up = mlp.gate_up_proj.weight.chunk(2)
    expected = (torch.nn.functional.silu(hidden @ gate.T) * (hidden @ up.T)) @ mlp.down_proj.weight.T
    torch.testing.assert_close(mlp(hidden), expected)


def test_attention_sees_what_came_before_and_nothing_after(context: GlooContext, hidden: torch.Tensor) -> None:
    with training_device():
        attention = Attention(CONFIG, ParallelismArgs(dp=1, pp=1, tp=1), context.tp_pg)
    changed = hidden.clone()
    changed[4:] += 1.0
    before, after = attention(hidden, None), attention(changed, None)
    assert before.shape == hidden.shape
    torch.testing.assert_close(before[:4], after[:4])
    assert not torch.allclose(before[4:], after[4:])


@pytest.mark.parametrize("recompute", [False, True])
def test_a_layer_is_two_residual_steps(context: GlooContext, hidden: torch.Tensor, recompute: bool) -> None:
    with training_device():
        layer = DecoderLayer(CONFIG, ParallelismArgs(dp=1, pp=1, tp=1), context.tp_pg, SequenceBoundaries())
    layer.recompute = recompute
    middle = hidden + layer.attn(layer.input_layernorm(hidden), None)
    torch.testing.assert_close(layer(hidden), middle + layer.mlp(layer.post_attention_layernorm(middle)))


def test_embedding_and_head(context: GlooContext, hidden: torch.Tensor) -> None:
    mode = TensorParallelLinearMode.ALL_REDUCE
    tokens = torch.arange(LENGTH * BATCH).reshape(BATCH, LENGTH)
    with training_device():
        embedding = TokenEmbedding(64, CONFIG.hidden_size, pg=context.tp_pg, mode=mode)
        head = LanguageModelHead(CONFIG.hidden_size, 64, pg=context.tp_pg, mode=mode, bias=False)
    torch.testing.assert_close(embedding(tokens), embedding.weight[tokens.T])
    answer, logits = head(hidden, tokens), hidden @ head.weight.T
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.T.flatten(), reduction="none")
    torch.testing.assert_close(answer["nats"], losses.reshape(LENGTH, BATCH).sum(0))
    torch.testing.assert_close(answer["loss"], losses.mean())

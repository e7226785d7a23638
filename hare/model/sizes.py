"""Sizes by formula: parameters, and floating-point operations per token.

Convention for FLOPs: a multiply-add counts two; the backward pass counts twice the forward; attention is counted in
full, as if not causal (Chowdhery et al. 2022, appendix B); the embedding look-up, norms, RoPE and softmax are not
counted, and neither is any recomputation.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from hare.core.sections import Model


class Shape(Protocol):
    """What the formulas need to know of a model: a profile's section and nanotron's configuration both have it."""

    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    tied_embeddings: bool


def _shape(hidden: int, intermediate: int, layers: int, heads: int, key_values: int) -> Model:
    return Model(hidden, intermediate, layers, heads, key_values, max_positions=2048, tied_embeddings=False)


NAMED: Mapping[str, Model] = {  # by parameters outside the embeddings, up to the paper's two models, named as it does
    "1M": _shape(128, 352, 6, 8, 2),
    "5M": _shape(256, 704, 7, 8, 2),
    "30M": _shape(512, 1408, 10, 8, 2),
    "0.25B": _shape(1024, 2816, 16, 16, 4),
    "1.1B": _shape(2048, 5632, 22, 32, 8),
}


def layer_parameters(model: Shape) -> int:
    """Weights of one decoder layer's matrices, without its two norms."""
    head_size = model.hidden_size // model.attention_heads
    attention = model.hidden_size * head_size * 2 * (model.attention_heads + model.key_value_heads)
    return attention + 3 * model.hidden_size * model.intermediate_size


def parameters(model: Shape, vocabulary: int) -> int:
    """All weights: embedding, layers with two norms each, last norm, and the head unless it is tied."""
    embeddings = vocabulary * model.hidden_size * (1 if model.tied_embeddings else 2)
    norms = (2 * model.layers + 1) * model.hidden_size
    return embeddings + model.layers * layer_parameters(model) + norms


def training_flops_per_token(model: Shape, sequence_length: int, vocabulary: int) -> float:
    """Forward and backward FLOPs of one token: 6 per weight of the matrices, 12 · layers · hidden · sequence length."""
    weights = model.layers * layer_parameters(model) + vocabulary * model.hidden_size
    return 6.0 * weights + 12.0 * model.layers * model.hidden_size * sequence_length


def size_rows(models: Mapping[str, Model], sequence_length: int, vocabulary: int) -> list[dict[str, Any]]:
    """One row per model: name, layers, hidden_size, parameters_m, outside_embeddings_m, head_share, mflops_per_token.

    ``head_share`` is the part of the FLOPs that goes into the projection to the vocabulary.
    """
    rows = []
    for name, model in models.items():
        flops = training_flops_per_token(model, sequence_length, vocabulary)
        rows.append({
            "model": name, "layers": model.layers, "hidden_size": model.hidden_size,
            "parameters_m": parameters(model, vocabulary) / 1e6,
            "outside_embeddings_m": model.layers * layer_parameters(model) / 1e6,
            "head_share": 6.0 * vocabulary * model.hidden_size / flops, "mflops_per_token": flops / 1e6,
        })
    return rows

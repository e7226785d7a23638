"""Sizes by formula: parameters, and floating-point operations a token.

Convention for FLOPs: a multiply-add counts two; the backward pass counts twice the forward; attention is counted in
full, as if not causal (Chowdhery et al. 2022, appendix B); the embedding look-up, norms, RoPE and softmax are not
counted, and neither is any recomputation.
"""

from typing import Protocol


class Shape(Protocol):
    """What the formulas need to know of a model."""

    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    tied_embeddings: bool


VOCABULARY = 32000


def layer_parameters(model: Shape) -> int:
    """Weights of one decoder layer's matrices, without its two norms."""
    head_size = model.hidden_size // model.attention_heads
    attention = model.hidden_size * head_size * 2 * (model.attention_heads + model.key_value_heads)
    return attention + 3 * model.hidden_size * model.intermediate_size


def parameters(model: Shape, vocabulary: int = VOCABULARY) -> int:
    """All weights: embedding, layers with two norms each, last norm, and the head unless it is tied."""
    embeddings = vocabulary * model.hidden_size * (1 if model.tied_embeddings else 2)
    norms = (2 * model.layers + 1) * model.hidden_size
    return embeddings + model.layers * layer_parameters(model) + norms


def training_flops_per_token(model: Shape, sequence_length: int, vocabulary: int = VOCABULARY) -> float:
    """Forward and backward FLOPs of one token: 6 a weight of the matrices, 12 · layers · hidden · sequence length."""
    weights = model.layers * layer_parameters(model) + vocabulary * model.hidden_size
    return 6.0 * weights + 12.0 * model.layers * model.hidden_size * sequence_length

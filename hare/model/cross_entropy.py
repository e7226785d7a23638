"""Vocabulary projection and cross-entropy together, a few tokens at a time.

With 32,000 classes the logits are the largest tensor of a small model by far. Working through them in chunks keeps them
in the processor's cache (and a GPU's memory free): the gradients of a chunk are computed while its logits are still at
hand, as in Liger Kernel (Hsu et al. 2024).
"""

from typing import Any

import torch

from hare.model.products import times_transposed

CHUNK_TOKENS = {"cpu": 256, "cuda": 4096}


def head_cross_entropy(hidden_states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats, float32 in the shape of ``labels``, of the logits ``hidden_states @ weight.T``.

    ``hidden_states``: float[*shape, hidden]; ``weight``: float[vocabulary, hidden]; ``labels``: int64[*shape]. The
    gradient is exact only for a loss that weighs all tokens alike, such as the mean.
    """
    flat = hidden_states.reshape(-1, hidden_states.shape[-1])
    if torch.is_grad_enabled():
        nats = _HeadCrossEntropy.apply(flat, weight, labels.reshape(-1))
    else:
        nats = torch.cat([_chunk_nats(*chunk)[0] for chunk in _chunks(flat, weight, labels.reshape(-1))])
    return nats.view(labels.shape)


def _chunks(hidden_states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> Any:
    size = CHUNK_TOKENS[hidden_states.device.type]
    for part, answers in zip(hidden_states.split(size), labels.split(size), strict=True):
        yield part, weight, answers


def _chunk_nats(
    hidden_states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Nats of each token, float32[tokens], and the softmax, float32[tokens, vocabulary]."""
    logits = times_transposed(hidden_states, weight).float()
    logits -= logits.amax(-1, keepdim=True)
    chosen = logits.gather(1, labels[:, None]).squeeze(1)
    total = logits.exp_().sum(-1)
    return total.log() - chosen, logits.div_(total[:, None])


class _HeadCrossEntropy(torch.autograd.Function):
    """Computes the gradients, up to the common weight of all tokens, in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden_states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        nats, hidden_gradient = [], torch.empty_like(hidden_states)
        by_column = torch.zeros_like(weight.t(), dtype=torch.float32, memory_format=torch.contiguous_format)
        start = 0
        for part, _, answers in _chunks(hidden_states, weight, labels):
            losses, gradient = _chunk_nats(part, weight, answers)
            gradient[torch.arange(len(answers), device=gradient.device), answers] -= 1
            narrow = gradient.to(weight.dtype)
            hidden_gradient[start : start + len(answers)] = times_transposed(narrow, weight.t())
            by_column += times_transposed(part.t(), narrow.t())  # transposed, so that the smaller factor is copied
            nats.append(losses)
            start += len(answers)
        ctx.save_for_backward(hidden_gradient, by_column.t())
        ctx.weight_dtype = weight.dtype
        return torch.cat(nats)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        scale = gradient[0]  # the same for all tokens
        return hidden_gradient * scale.to(hidden_gradient.dtype), (weight_gradient * scale).to(ctx.weight_dtype), None

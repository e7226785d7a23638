"""Full fine-tuning with the loss on the answers alone.

The trunk reads whole sequences; logits are computed only where something is learnt.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import MistralForCausalLM

from hare.core.progress import Progress
from hare.finetuning.dialogue import Example

_WARMUP = 0.1  # share of the steps
_LAST_RATE = 0.05  # of the highest learning rate
_EMBEDDING_RATE = 0.3  # of the others': words that training never shows are not to be left behind by those it does
_CLIP = 1.0
_TOKENS_AT_ONCE = 16_384  # read in one forward pass; a larger batch is read in parts, with the same gradients
_LENGTH_POOL = 16  # batches among which sequences are sorted by length


@dataclass(frozen=True)
class Schedule:
    """How to fine-tune: steps, sequences per step, highest learning rate (cosine), seed."""

    steps: int
    batch: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """What training cost and where it ended: steps, seconds, mean loss (nats per learnt token) of the last tenth."""

    steps: int
    seconds: float
    loss: float


def batches_of(examples: Sequence[Example], schedule: Schedule) -> list[list[Example]]:
    """The examples in seeded order, epoch after epoch, in batches of nearly equal length."""
    rng = np.random.default_rng(schedule.seed)
    wanted = schedule.steps * schedule.batch
    order: list[int] = []
    while len(order) < wanted:
        order += rng.permutation(len(examples)).tolist()
    batches: list[list[Example]] = []
    pool = schedule.batch * _LENGTH_POOL
    order = order[:wanted]
    for start in range(0, len(order), pool):
        chosen = sorted(order[start : start + pool], key=lambda number: len(examples[number].ids))
        cut = [chosen[at : at + schedule.batch] for at in range(0, len(chosen), schedule.batch)]
        batches += [[examples[number] for number in cut[place]] for place in rng.permutation(len(cut))]
    return batches


def fine_tune(
    model: MistralForCausalLM, batches: Sequence[Sequence[Example]], schedule: Schedule, task: str, first: int = 0
) -> Trained:
    """Train all weights of ``model`` in place on the scored tokens of ``batches``, each chosen among the ids from
    ``first`` on: where a grammar allows no others, there is nothing to learn about them."""
    started, losses = time.monotonic(), []
    model.train()
    embedding = model.get_input_embeddings().weight
    rest = [weight for weight in model.parameters() if weight is not embedding]
    optimizer = torch.optim.AdamW(
        [{"params": rest}, {"params": [embedding]}], betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    with Progress(task, len(batches), "steps") as progress:
        for step, batch in enumerate(batches):
            rate = schedule.learning_rate * _rate(step, len(batches))
            for group, share in zip(optimizer.param_groups, (1.0, _EMBEDDING_RATE), strict=True):
                group["lr"] = share * rate
            losses.append(_backward(model, batch, first))
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            progress.advance()
    model.eval()
    tail = losses[-max(1, len(losses) // 10):]
    return Trained(len(batches), time.monotonic() - started, sum(tail) / len(tail))


def _rate(step: int, steps: int) -> float:
    """Share of the highest learning rate: linear warm-up, then a cosine down to `_LAST_RATE`."""
    warmup = max(1, round(_WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def padded(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids int64[batch, longest], padded on the right with 0, and which of them are learnt, bool of that shape.

    Attention looks back only, so padding on the right changes nothing before it.
    """
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    scored = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        scored[row, : len(example.ids)] = torch.tensor(example.scored)
    return ids, scored


def answer_losses(model: MistralForCausalLM, examples: Sequence[Example], first: int = 0) -> torch.Tensor:
    """Cross-entropy in nats of each learnt token among the ids from ``first`` on, in the order of the examples:
    float32[learnt tokens]."""
    ids, scored = (part.to(model.device) for part in padded(examples))
    learnt = scored[:, 1:]
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    logits = hidden[learnt] @ model.lm_head.weight[first:].t()
    return cross_entropy(logits, ids[:, 1:][learnt] - first, reduction="none")


def parts_of(batch: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """As many sequences at a time as `_TOKENS_AT_ONCE` holds."""
    at_once = max(1, _TOKENS_AT_ONCE // max(len(example.ids) for example in batch))
    for start in range(0, len(batch), at_once):
        yield batch[start : start + at_once]


def _backward(model: MistralForCausalLM, batch: Sequence[Example], first: int) -> float:
    """Add up the gradients of the batch's mean loss, and return that loss."""
    learnt, total = sum(sum(example.scored[1:]) for example in batch), 0.0
    for part in parts_of(batch):
        loss = answer_losses(model, part, first).sum() / learnt
        loss.backward()
        total += loss.item()
    return total

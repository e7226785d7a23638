"""Full fine-tuning with the loss on the answers alone.

The trunk reads whole sequences; logits are computed only where something is learnt. With 32,000 classes and a small
model the vocabulary would still be nearly all the work, so only its rows that occur are held while training (the others
have no gradient as inputs), and the softmax runs over the tokens that are ever learnt and a few others drawn evenly (a
sampled softmax, after Jean et al. 2015, without its correction).
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import MistralForCausalLM

from hare.core.progress import Progress
from hare.finetuning.dialogue import Example

_NEGATIVES = 1024  # tokens drawn evenly from the vocabulary
_WARMUP = 0.1  # share of the steps
_LAST_RATE = 0.05  # of the highest learning rate
_EMBEDDING_RATE = 0.3  # of the others': words that training never shows are not to be left behind by those it does
_CLIP = 1.0
_TOKENS_AT_ONCE = 16_384  # read in one forward pass; a larger batch is read in parts, with the same gradients
_LENGTH_POOL = 16  # batches among which sequences are sorted by length


@dataclass(frozen=True)
class Schedule:
    """How to fine-tune: passes over the examples, sequences a step, highest learning rate (cosine), seed."""

    epochs: float
    batch: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Trained:
    """What training cost and where it ended: steps, seconds, mean loss (nats a learnt token) of the last tenth."""

    steps: int
    seconds: float
    loss: float


def batches_of(examples: Sequence[Example], schedule: Schedule) -> list[list[Example]]:
    """The examples in seeded order, epoch after epoch, in batches of nearly equal length."""
    rng = np.random.default_rng(schedule.seed)
    wanted = max(1, round(schedule.epochs * len(examples) / schedule.batch))
    order: list[int] = []
    while len(order) < wanted * schedule.batch:
        order += rng.permutation(len(examples)).tolist()
    batches: list[list[Example]] = []
    pool = schedule.batch * _LENGTH_POOL
    order = order[: wanted * schedule.batch]
    for start in range(0, len(order), pool):
        chosen = sorted(order[start : start + pool], key=lambda number: len(examples[number].ids))
        cut = [chosen[at : at + schedule.batch] for at in range(0, len(chosen), schedule.batch)]
        batches += [[examples[number] for number in cut[place]] for place in rng.permutation(len(cut))]
    return batches


def fine_tune(
    model: MistralForCausalLM, batches: Sequence[Sequence[Example]], schedule: Schedule, what: str
) -> Trained:
    """Train all weights of ``model`` in place on the scored tokens of ``batches``."""
    started = time.monotonic()
    vocabulary = Vocabulary.of(batches, model.config.vocab_size, schedule.seed).to(model.device)
    losses: list[float] = []
    model.train()
    with _narrowed(model, vocabulary), Progress(what, len(batches), "steps") as progress:
        embedding = model.get_input_embeddings().weight
        rest = [weight for weight in model.parameters() if weight is not embedding]
        optimizer = torch.optim.AdamW(
            [{"params": rest}, {"params": [embedding]}], betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        for step, batch in enumerate(batches):
            rate = schedule.learning_rate * _rate(step, len(batches))
            for group, share in zip(optimizer.param_groups, (1.0, _EMBEDDING_RATE), strict=True):
                group["lr"] = share * rate
            losses.append(_backward(model, batch, vocabulary))
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


@dataclass(frozen=True)
class Vocabulary:
    """What of a vocabulary is needed: ids int64[rows] held, and which of the rows a learnt token is told apart from."""

    rows: torch.Tensor
    classes: torch.Tensor

    @classmethod
    def of(cls, batches: Sequence[Sequence[Example]], size: int, seed: int) -> "Vocabulary":
        """The tokens that occur in ``batches`` and `_NEGATIVES` drawn ones; classes are the learnt and the drawn."""
        drawn = torch.randint(size, (_NEGATIVES,), generator=torch.Generator().manual_seed(seed))
        examples = [example for batch in batches for example in batch]
        read = torch.tensor(sorted({0, *(token for example in examples for token in example.ids)}))
        learnt = torch.tensor(sorted({
            token for example in examples for token, scored in zip(example.ids, example.scored, strict=True) if scored
        }))
        rows = torch.unique(torch.cat([read, drawn]))
        return cls(rows, torch.searchsorted(rows, torch.unique(torch.cat([learnt, drawn]))))

    def to(self, device: torch.device) -> "Vocabulary":
        """The same where the model is."""
        return Vocabulary(self.rows.to(device), self.classes.to(device))


@contextmanager
def _narrowed(model: MistralForCausalLM, vocabulary: Vocabulary) -> Iterator[None]:
    """Hold only the rows of ``vocabulary`` in embedding and head; put them back into the whole tables at the end."""
    embedding, head = model.model.embed_tokens, model.lm_head
    tied, tables = head.weight is embedding.weight, (embedding.weight, head.weight)
    embedding.weight = torch.nn.Parameter(tables[0].detach()[vocabulary.rows])
    head.weight = embedding.weight if tied else torch.nn.Parameter(tables[1].detach()[vocabulary.rows])
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, table in zip((embedding, head), tables, strict=True):
                table[vocabulary.rows] = layer.weight
                layer.weight = table


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


def answer_loss(
    model: MistralForCausalLM, examples: Sequence[Example], vocabulary: Vocabulary | None = None
) -> torch.Tensor:
    """Mean cross-entropy in nats over the learnt tokens; with ``vocabulary`` by a model that holds just its rows."""
    ids, scored = (part.to(model.device) for part in padded(examples))
    learnt = scored[:, 1:]
    targets, weight = ids[:, 1:][learnt], model.lm_head.weight
    if vocabulary is not None:
        targets = torch.searchsorted(vocabulary.rows[vocabulary.classes], targets)
        ids, weight = torch.searchsorted(vocabulary.rows, ids), weight[vocabulary.classes]
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return cross_entropy(hidden[learnt] @ weight.t(), targets)


def parts_of(batch: Sequence[Example]) -> Iterator[tuple[Sequence[Example], float]]:
    """As many sequences at a time as `_TOKENS_AT_ONCE` holds, and their share of the batch's learnt tokens."""
    at_once = max(1, _TOKENS_AT_ONCE // max(len(example.ids) for example in batch))
    learnt = sum(sum(example.scored[1:]) for example in batch)
    for start in range(0, len(batch), at_once):
        part = batch[start : start + at_once]
        yield part, sum(sum(example.scored[1:]) for example in part) / learnt


def _backward(model: MistralForCausalLM, batch: Sequence[Example], vocabulary: Vocabulary) -> float:
    """Add up the gradients of the batch's mean loss, and return that loss."""
    total = 0.0
    for part, share in parts_of(batch):
        loss = share * answer_loss(model, part, vocabulary)
        loss.backward()
        total += loss.item()
    return total

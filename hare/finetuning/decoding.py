"""Greedy decoding in batches, freely or under the grammar of calls.

Under the grammar a functional token comes first; every slot is then a stretch of the request, token by token, up to its
end. The grammar decides what may be said, the model what is said.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from transformers import DynamicCache, MistralForCausalLM

from hare.core.progress import track
from hare.finetuning.dialogue import API_TOKENS, ROUND_END, SLOT, control_id
from hare.finetuning.functions import FUNCTIONS

_BATCH = 128
LONGEST_ANSWER = 48  # tokens
Allowed = Callable[[Sequence[int], Sequence[int]], list[int]]


def decode(
    model: MistralForCausalLM, prompts: Sequence[Sequence[int]], requests: Sequence[Sequence[int]] | None = None,
    longest: int = LONGEST_ANSWER, what: str = "decode",
) -> list[list[int]]:
    """Answers to ``prompts``, ids without the end; with the ids of the ``requests`` under the grammar of calls.

    An answer that reaches ``longest`` tokens without an end is cut there, which the parser will see.
    """
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    answers: list[list[int]] = [[] for _ in prompts]
    for batch in batches_in(order, _BATCH, what):
        spoken = None if requests is None else [requests[number] for number in batch]
        found = _decode_batch(model, [prompts[number] for number in batch], spoken, longest)
        for number, answer in zip(batch, found, strict=True):
            answers[number] = answer
    return answers


def batches_in(order: Sequence[int], size: int, what: str) -> Iterable[Sequence[int]]:
    """``order`` cut into batches; progress is reported where there is more than one."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return track(batches, what, "batches") if len(batches) > 1 else batches


@torch.inference_mode()
def _decode_batch(
    model: MistralForCausalLM, prompts: Sequence[Sequence[int]], requests: Sequence[Sequence[int]] | None, longest: int
) -> list[list[int]]:
    width, end = max(map(len, prompts)), control_id(ROUND_END)
    device = model.device
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    cache, answers, open_rows = DynamicCache(), [[] for _ in prompts], set(range(len(prompts)))
    for _ in range(longest + 1):
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        if requests is not None:
            logits = _masked(logits, requests, answers, open_rows)
        chosen = logits.argmax(-1).tolist()
        for row in sorted(open_rows):
            answers[row].append(chosen[row])
        open_rows -= {row for row in open_rows if chosen[row] == end}
        if not open_rows:
            break
        ids = torch.tensor(chosen, device=device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
        positions = positions[:, -1:] + 1
    return answers


def _masked(
    logits: torch.Tensor, requests: Sequence[Sequence[int]], answers: list[list[int]], rows: set[int]
) -> torch.Tensor:
    masked = torch.full_like(logits, -torch.inf)
    for row in range(len(logits)):
        allowed = allowed_next(requests[row], answers[row]) if row in rows else [control_id(ROUND_END)]
        masked[row, allowed] = logits[row, allowed]
    return masked


def allowed_next(request: Sequence[int], answer: Sequence[int]) -> list[int]:
    """Ids that may follow ``answer``: a functional token, then each slot as a stretch of the request, then the end."""
    api = [control_id(token) for token in API_TOKENS]
    if not answer:
        return api
    slots = len(FUNCTIONS[api.index(answer[0])].slots)
    closed = list(answer[1:]).count(control_id(SLOT))
    if slots == 0:
        return [control_id(ROUND_END)]
    spoken = list(answer[1:])[_after_last(answer[1:], control_id(SLOT)):]
    if not spoken:
        return sorted(set(request))
    return sorted({*_continuations(request, spoken), control_id(ROUND_END if closed == slots - 1 else SLOT)})


def _after_last(ids: Sequence[int], token: int) -> int:
    return max((place + 1 for place, found in enumerate(ids) if found == token), default=0)


def _continuations(request: Sequence[int], spoken: Sequence[int]) -> Iterator[int]:
    length = len(spoken)
    for start in range(len(request) - length):
        if list(request[start : start + length]) == list(spoken):
            yield request[start + length]

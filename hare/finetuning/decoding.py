"""Reading and greedy decoding in batches with a Hugging Face model, freely or under the grammar of copied calls.

Under the grammar a functional token comes first; every slot is then a stretch of the request, token by token, up to its
end. The grammar decides what may be written, the model what is written.
"""

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, MistralForCausalLM

from hare.core.progress import track
from hare.finetuning.dialogue import SLOT, ChatModel, Dialogue
from hare.finetuning.functions import FUNCTIONS

_BATCH = 128
LONGEST_ANSWER = 64  # tokens


class TorchReader:
    """Reads chunks of unlike lengths, one per row and time; padding is on the left and never attended to."""

    def __init__(self, network: MistralForCausalLM, rows: int):
        self._network, self._cache = network, DynamicCache()
        self._mask = torch.zeros(rows, 0, dtype=torch.long, device=network.device)

    def follow(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may stand there more than once."""
        chosen = torch.tensor(rows, device=self._mask.device)
        self._cache.reorder_cache(chosen)
        self._mask = self._mask[chosen]

    def read(self, chunks: Sequence[Sequence[int]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of ``choices`` among each other after each row's chunk: float[rows, choices]."""
        return self.logits(chunks)[:, list(choices)].log_softmax(-1).tolist()

    @torch.inference_mode()
    def logits(self, chunks: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits after each row's chunk: float32[rows, vocabulary]."""
        ids, seen = left_padded(chunks, self._mask.device)
        positions = (self._mask.sum(1, keepdim=True) + seen.cumsum(1) - 1).clamp_min(0)
        self._mask = torch.cat([self._mask, seen], 1)
        return self._network(
            input_ids=ids, attention_mask=self._mask, position_ids=positions, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]


def left_padded(chunks: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids int64[rows, longest], padded on the left with 0, and 1 where there is a token, int64 of that shape."""
    width = max(map(len, chunks))
    ids = torch.tensor([[0] * (width - len(chunk)) + list(chunk) for chunk in chunks], device=device)
    seen = torch.tensor([[0] * (width - len(chunk)) + [1] * len(chunk) for chunk in chunks], device=device)
    return ids, seen


def decode(
    model: ChatModel, prompts: Sequence[Sequence[int]], requests: Sequence[Sequence[int]] | None = None,
    longest: int = LONGEST_ANSWER, task: str = "decode",
) -> list[list[int]]:
    """Answers to ``prompts``, ids up to the end; with the ids of the ``requests`` under the grammar of copied calls.

    An answer that reaches ``longest`` tokens without an end is cut there, which the parser will see.
    """
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    answers: list[list[int]] = [[] for _ in prompts]
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    for batch in track(batches, task, "batches") if len(batches) > 1 else batches:
        copied = None if requests is None else [requests[number] for number in batch]
        decoded = _decode_batch(model, [prompts[number] for number in batch], copied, longest)
        for number, answer in zip(batch, decoded, strict=True):
            answers[number] = answer
    return answers


def _decode_batch(
    model: ChatModel, prompts: Sequence[Sequence[int]], requests: Sequence[Sequence[int]] | None, longest: int
) -> list[list[int]]:
    reader, end = TorchReader(model.network, len(prompts)), model.dialogue.end
    answers: list[list[int]] = [[] for _ in prompts]
    open_rows, chunks = set(range(len(prompts))), [list(prompt) for prompt in prompts]
    for _ in range(longest + 1):
        logits = reader.logits(chunks)
        if requests is not None:
            logits = _masked(model.dialogue, logits, requests, answers, open_rows)
        chosen = logits.argmax(-1).tolist()
        for row in sorted(open_rows):
            answers[row].append(chosen[row])
        open_rows -= {row for row in open_rows if chosen[row] == end}
        if not open_rows:
            break
        chunks = [[token] for token in chosen]
    return answers


def _masked(
    dialogue: Dialogue, logits: torch.Tensor, requests: Sequence[Sequence[int]], answers: list[list[int]],
    rows: set[int],
) -> torch.Tensor:
    """Logits float32[rows, vocabulary] with what the grammar forbids at minus infinity."""
    masked = torch.full_like(logits, -torch.inf)
    for row in range(len(logits)):
        allowed = allowed_next(dialogue, requests[row], answers[row]) if row in rows else [dialogue.end]
        masked[row, allowed] = logits[row, allowed]
    return masked


def allowed_next(dialogue: Dialogue, request: Sequence[int], answer: Sequence[int]) -> list[int]:
    """Ids that may follow ``answer``: a functional token, then each slot as a stretch of the request, then the end."""
    if not answer:
        return dialogue.api_ids
    slots, separator = len(FUNCTIONS[dialogue.api_ids.index(answer[0])].slots), dialogue.control_id(SLOT)
    closed = list(answer[1:]).count(separator)
    if slots == 0:
        return [dialogue.end]
    copied = list(answer[1:])[_after_last(answer[1:], separator):]
    if not copied:
        return sorted(set(request))
    return sorted({*_continuations(request, copied), dialogue.end if closed == slots - 1 else separator})


def _after_last(ids: Sequence[int], token: int) -> int:
    return max((place + 1 for place, other in enumerate(ids) if other == token), default=0)


def _continuations(request: Sequence[int], copied: Sequence[int]) -> Iterator[int]:
    length = len(copied)
    for start in range(len(request) - length):
        if list(request[start : start + length]) == list(copied):
            yield request[start + length]

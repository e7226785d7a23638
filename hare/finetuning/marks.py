"""Slots as marks: after its functional token the answer reads the request once more and marks every word.

``<api_1> Call <out> Kofi <in_1> Petrov <in_1> now <out>``: the words are given by the grammar, the model chooses the
function and the mark of each word. A slot is then a stretch of the request by construction, whatever its words are, and
training teaches something at every word. This suits a model too small to copy words it has hardly ever seen; a model
that copies well can do without (`hare.finetuning.decoding`).
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, MistralForCausalLM

from hare.core.errors import HareError
from hare.finetuning.calls import Reading, checked
from hare.finetuning.decoding import batches_in
from hare.finetuning.dialogue import API_TOKENS, MARKS, ROUND_END, Example, control_id, prompt_ids, text_ids
from hare.finetuning.functions import FUNCTIONS, Call

_PIECE = re.compile(r"[^\s,!?:]*[^\s,!?:.]|[,!?:.]+")
_BATCH = 64
_BEAMS = 4
_FORCED = 4.0  # nats; what filling a slot may cost: more than in right validation answers, less than in bad inputs


def pieces_of(request: str) -> list[tuple[int, int]]:
    """Words and punctuation of a request as (start, end) in characters; full stops inside a word stay in it."""
    return [found.span() for found in _PIECE.finditer(request)]


def marks_of(request: str, call: Call) -> list[int]:
    """Mark of each piece: 0 outside, k inside the k-th slot.

    Raises:
        HareError: a slot's value is no stretch of whole pieces.
    """
    pieces = pieces_of(request)
    marks = [0] * len(pieces)
    for slot, value in enumerate(call.arguments, start=1):
        stretch = next((s for s in _stretches(pieces, request, value) if not any(marks[s[0] : s[1]])), None)
        if stretch is None:
            raise HareError(f"{value!r} is no stretch of words in {request!r}.", "change the phrasing or the value")
        marks[stretch[0] : stretch[1]] = [slot] * (stretch[1] - stretch[0])
    return marks


def _stretches(pieces: Sequence[tuple[int, int]], request: str, value: str) -> list[tuple[int, int]]:
    starts = {start: number for number, (start, _) in enumerate(pieces)}
    ends = {end: number + 1 for number, (_, end) in enumerate(pieces)}
    places = (found.start() for found in re.finditer(re.escape(value), request))
    return [(starts[at], ends[at + len(value)]) for at in places if at in starts and at + len(value) in ends]


def call_of(request: str, function: str, marks: Sequence[int]) -> Call:
    """The call that marks spell: each slot from its first marked piece to its last; slots without marks are missing."""
    pieces, slots = pieces_of(request), {f.name: f.slots for f in FUNCTIONS}[function]
    values = []
    for slot in range(1, len(slots) + 1):
        mine = [number for number, mark in enumerate(marks) if mark == slot]
        if mine:
            values.append(request[pieces[mine[0]][0] : pieces[mine[-1]][1]])
    return Call(function, tuple(values))


def marked_example(request: str, call: Call) -> Example:
    """A training sequence; learnt are the functional token and the marks, not the words between them."""
    number = [function.name for function in FUNCTIONS].index(call.function)
    prompt = prompt_ids([{"role": "user", "content": request}])
    ids, scored = [*prompt, control_id(API_TOKENS[number])], [False] * len(prompt) + [True]
    if FUNCTIONS[number].slots:
        for (start, end), mark in zip(pieces_of(request), marks_of(request, call), strict=True):
            piece = text_ids(request[start:end])
            ids += [*piece, control_id(MARKS[mark])]
            scored += [False] * len(piece) + [True]
    return Example((*ids, control_id(ROUND_END)), (*scored, False))


def allowed_marks(slots: int, marks: Sequence[int]) -> list[int]:
    """Marks that the next piece may have: a slot that was left is closed."""
    last = marks[-1] if marks else 0
    return [0, *(slot for slot in range(1, slots + 1) if slot == last or slot not in marks)]


def decode_marked(model: MistralForCausalLM, requests: Sequence[str], what: str) -> list[Reading]:
    """The likeliest function, then its likeliest marks that fill every slot and make a call which may be executed.

    A beam search over `_BEAMS` sequences of marks; where none of the last ones is a valid call, or only one far less
    likely than the first, the first is refused.
    The function is settled before: functions without slots would else be preferred, their answers being shorter.
    """
    order = sorted(range(len(requests)), key=lambda number: len(requests[number]))
    readings: dict[int, Reading] = {}
    for batch in batches_in(order, _BATCH, what):
        readings |= dict(zip(batch, _decode_batch(model, [requests[number] for number in batch]), strict=True))
    return [readings[number] for number in range(len(requests))]


@dataclass(frozen=True)
class _Answer:
    """An answer so far: log-probability, function and marks, and the row of the reader that has read it."""

    score: float
    function: int
    marks: tuple[int, ...]
    row: int


@torch.inference_mode()
def _decode_batch(model: MistralForCausalLM, requests: Sequence[str]) -> list[Reading]:
    reader, api_ids, mark_ids = _Reader(model, len(requests)), *map(_ids, (API_TOKENS, MARKS))
    scores = reader.read([prompt_ids([{"role": "user", "content": request}]) for request in requests], api_ids)
    beams = [[_Answer(0.0, mine.index(max(mine)), (), row)] for row, mine in enumerate(scores)]
    pieces = [[text_ids(request[a:b]) for a, b in pieces_of(request)] for request in requests]
    for place in range(max(map(len, pieces), default=0)):
        chunks, rows = [], []
        for number, beam in enumerate(beams):
            for at, answer in enumerate(beam):
                if FUNCTIONS[answer.function].slots and place < len(pieces[number]):
                    said = mark_ids[answer.marks[-1]] if place else api_ids[answer.function]
                    beam[at] = dataclasses.replace(answer, row=len(rows))
                    chunks.append([said, *pieces[number][place]])
                    rows.append(answer.row)
        if not rows:
            break
        reader.follow(rows)
        scores = reader.read(chunks, mark_ids)
        for number, beam in enumerate(beams):
            if place < len(pieces[number]):
                beams[number] = _likeliest([longer for answer in beam for longer in _longer(answer, scores)])
    return [_chosen(request, beam) for request, beam in zip(requests, beams, strict=True)]


def _ids(tokens: Sequence[str]) -> list[int]:
    return [control_id(token) for token in tokens]


def _likeliest(answers: Sequence[_Answer]) -> list[_Answer]:
    return sorted(answers, key=lambda answer: -answer.score)[:_BEAMS]


def _longer(answer: _Answer, scores: Sequence[Sequence[float]]) -> list[_Answer]:
    """The answer with each mark that its next piece may have; itself, where the function has no slots."""
    slots = len(FUNCTIONS[answer.function].slots)
    if not slots:
        return [answer]
    return [
        dataclasses.replace(answer, score=answer.score + scores[answer.row][mark], marks=(*answer.marks, mark))
        for mark in allowed_marks(slots, answer.marks)
    ]


def _chosen(request: str, beam: Sequence[_Answer]) -> Reading:
    """The likeliest marks that make a valid call, unless much likelier ones leave a slot empty: those are refused."""
    near = [answer for answer in beam if answer.score >= beam[0].score - _FORCED]
    found = [checked(call_of(request, FUNCTIONS[a.function].name, a.marks), request) for a in near]
    return next((reading for reading in found if reading.call), found[0])


class _Reader:
    """Reads chunks of unlike lengths, a row each, one chunk after the other; padding is on the left and never seen."""

    def __init__(self, model: MistralForCausalLM, rows: int):
        self._model, self._cache = model, DynamicCache()
        self._mask = torch.zeros(rows, 0, dtype=torch.long, device=model.device)

    def follow(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may stand there more than once."""
        chosen = torch.tensor(rows, device=self._mask.device)
        self._cache.reorder_cache(chosen)
        self._mask = self._mask[chosen]

    def read(self, chunks: Sequence[Sequence[int]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of ``choices`` among each other after each row's chunk."""
        width = max(map(len, chunks))
        device = self._mask.device
        ids = torch.tensor([[0] * (width - len(chunk)) + list(chunk) for chunk in chunks], device=device)
        seen = torch.tensor([[0] * (width - len(chunk)) + [1] * len(chunk) for chunk in chunks], device=device)
        positions = (self._mask.sum(1, keepdim=True) + seen.cumsum(1) - 1).clamp_min(0)
        self._mask = torch.cat([self._mask, seen], 1)
        logits = self._model(
            input_ids=ids, attention_mask=self._mask, position_ids=positions, past_key_values=self._cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1, list(choices)]
        return logits.log_softmax(-1).tolist()

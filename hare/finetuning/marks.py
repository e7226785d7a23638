"""Slots as marks: after its functional token the answer reads the request once more and marks every word.

``<api_1> Call <out> Kofi <in_1> Petrov <in_1> now <out>``: the words are given by the grammar, the model chooses the
function and the mark of each word. A slot is then a stretch of the request by construction, whatever its words are, and
training teaches something at every word. This suits a model too small to copy words it has hardly ever seen; a model
that copies well can do without (`hare.finetuning.decoding`).
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hare.core.errors import HareError
from hare.core.progress import track
from hare.finetuning.calls import Reading, checked
from hare.finetuning.dialogue import Dialogue, Example
from hare.finetuning.functions import BY_NAME, FUNCTIONS, Call

_PIECE = re.compile(r"[^\s,!?:]*[^\s,!?:.]|[,!?:.]+")
_BATCH = 64
_BEAMS = 4
_FORCED = 4.0  # nats; what filling a slot may cost: more than in right validation answers, less than in bad inputs


class Reader(Protocol):
    """A model that reads one sequence per row, chunk after chunk."""

    def read(self, chunks: Sequence[Sequence[int]], choices: Sequence[int]) -> list[list[float]]:
        """Log-probabilities of ``choices`` among each other after each row's chunk: float[rows, choices]."""

    def follow(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order; one may stand there more than once."""


def pieces_of(request: str) -> list[tuple[int, int]]:
    """Words and punctuation of a request as (start, end) in characters; full stops inside a word stay in it."""
    return [match.span() for match in _PIECE.finditer(request)]


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
    places = (match.start() for match in re.finditer(re.escape(value), request))
    return [(starts[at], ends[at + len(value)]) for at in places if at in starts and at + len(value) in ends]


def call_of(request: str, function: str, marks: Sequence[int]) -> Call:
    """The call that marks spell: each slot from its first marked piece to its last; slots without marks are missing."""
    pieces, values = pieces_of(request), []
    for slot in range(1, len(BY_NAME[function].slots) + 1):
        marked = [number for number, mark in enumerate(marks) if mark == slot]
        if marked:
            values.append(request[pieces[marked[0]][0] : pieces[marked[-1]][1]])
    return Call(function, tuple(values))


def shown_marks(request: str, reading: Reading) -> str:
    """The request with its marked words in brackets, each with its slot's name: ``call [contact: Kofi] now``."""
    if reading.function not in BY_NAME or not any(reading.marks):
        return request
    slots, pieces, parts, place = BY_NAME[reading.function].slots, pieces_of(request), [], 0
    for slot in sorted({mark for mark in reading.marks if mark}, key=reading.marks.index):
        marked = [number for number, mark in enumerate(reading.marks) if mark == slot]
        start, end = pieces[marked[0]][0], pieces[marked[-1]][1]
        parts += [request[place:start], f"[{slots[slot - 1].name}: {request[start:end]}]"]
        place = end
    return "".join([*parts, request[place:]])


def marked_example(dialogue: Dialogue, request: str, call: Call) -> Example:
    """A training sequence; learnt are the functional token and the marks, not the words between them."""
    number = [function.name for function in FUNCTIONS].index(call.function)
    prompt = dialogue.request_ids(request)
    ids, scored = [*prompt, dialogue.api_ids[number]], [False] * len(prompt) + [True]
    if FUNCTIONS[number].slots:
        for (start, end), mark in zip(pieces_of(request), marks_of(request, call), strict=True):
            piece = dialogue.word_ids(request[start:end])
            ids += [*piece, dialogue.mark_ids[mark]]
            scored += [False] * len(piece) + [True]
    return Example((*ids, dialogue.end), (*scored, False))


def allowed_marks(slots: int, marks: Sequence[int]) -> list[int]:
    """Marks that the next piece may have: a slot that was left is closed."""
    last = marks[-1] if marks else 0
    return [0, *(slot for slot in range(1, slots + 1) if slot == last or slot not in marks)]


def decode_marked(
    new_reader: Callable[[int], Reader], dialogue: Dialogue, requests: Sequence[str], task: str
) -> list[Reading]:
    """The likeliest function, then its likeliest marks that fill every slot and make a call which may be executed.

    ``new_reader`` starts a reader of so many rows. A beam search over `_BEAMS` sequences of marks; where none of the
    last ones is a valid call, or only one far less likely than the first, the first is refused. The function is settled
    before: functions without slots would else be preferred, their answers being shorter.
    """
    order = sorted(range(len(requests)), key=lambda number: len(requests[number]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    readings: dict[int, Reading] = {}
    for batch in track(batches, task, "batches") if len(batches) > 1 else batches:
        chosen = [requests[number] for number in batch]
        readings |= dict(zip(batch, _decode_batch(new_reader(len(batch)), dialogue, chosen), strict=True))
    return [readings[number] for number in range(len(requests))]


@dataclass(frozen=True)
class _Answer:
    """An answer so far: log-probability, function and marks, and the row of the reader that has read it."""

    score: float
    function: int
    marks: tuple[int, ...]
    row: int


def _decode_batch(reader: Reader, dialogue: Dialogue, requests: Sequence[str]) -> list[Reading]:
    api_ids, mark_ids = dialogue.api_ids, dialogue.mark_ids
    scores = reader.read([dialogue.request_ids(request) for request in requests], api_ids)
    beams = [[_Answer(0.0, row_scores.index(max(row_scores)), (), row)] for row, row_scores in enumerate(scores)]
    pieces = [[dialogue.word_ids(request[a:b]) for a, b in pieces_of(request)] for request in requests]
    for place in range(max(map(len, pieces), default=0)):
        chunks, rows = [], []
        for number, beam in enumerate(beams):
            for at, answer in enumerate(beam):
                if FUNCTIONS[answer.function].slots and place < len(pieces[number]):
                    last = mark_ids[answer.marks[-1]] if place else api_ids[answer.function]
                    beam[at] = dataclasses.replace(answer, row=len(rows))
                    chunks.append([last, *pieces[number][place]])
                    rows.append(answer.row)
        if not rows:
            break
        reader.follow(rows)
        scores = reader.read(chunks, mark_ids)
        for number, beam in enumerate(beams):
            if place < len(pieces[number]):
                beams[number] = _likeliest([longer for answer in beam for longer in _longer(answer, scores)])
    return [_chosen(request, beam) for request, beam in zip(requests, beams, strict=True)]


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
    readings = [checked(call_of(request, FUNCTIONS[a.function].name, a.marks), request, a.marks) for a in near]
    return next((reading for reading in readings if reading.call), readings[0])

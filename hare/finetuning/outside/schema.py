"""A second model that reads descriptions of functions: schemas in the prompt, one question at a time.

Asked first of every function offered whether the request wants it, then of every required parameter of the one chosen
which words of the request fill it. Both questions are answered as HARE-Tool answers, with a functional token and with
marks, so that a value is a stretch of the request.
"""

import random
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hare.core.progress import track
from hare.finetuning.decoding import TorchReader
from hare.finetuning.dialogue import ChatModel, Dialogue, Example
from hare.finetuning.functions import FUNCTIONS, NO_CALL, Call
from hare.finetuning.marks import marks_of, pieces_of
from hare.finetuning.outside.bfcl import BfclItem, Parameter, Schema
from hare.finetuning.phrases.grammar import draw, kind_of
from hare.finetuning.phrases.variation import made_up
from hare.finetuning.tool_data import ToolItem

_YES, _NO = 0, len(FUNCTIONS) - 1  # the functional tokens that stand for them
_BATCH = 64
_SHARES = (0.5, 0.3, 0.2)  # of invented, written and the phone's functions
_CHOSEN_BY = 200  # requests for functions kept aside
_LONGEST = 60  # pieces of a request that are marked; of a longer one the beginning
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*|[-+]?\.\d+")

Tool = dict[str, Any]
Drawn = tuple[str, list[tuple[str, bool]], list[tuple[str, str]]]  # request, descriptions and whether wanted, slots


@cache
def _tools() -> dict[str, Any]:
    return yaml.safe_load(Path(__file__).with_name("schema_tools.yaml").read_text(encoding="utf-8"))


def training_examples(dialogue: Dialogue, phone: Sequence[ToolItem], count: int, seed: int) -> list[Example]:
    """``count`` questions with answers: of functions invented or written for training, and of the phone's own."""
    rng = random.Random(seed)
    examples: list[Example] = []
    while len(examples) < count:
        drawn = rng.choices((_invented, _written, _of_phone), _SHARES)[0]
        request, shown, slots = drawn(rng, phone)
        for described, wanted in shown:
            ids = _question(dialogue, described, request)
            answer = dialogue.api_ids[_YES if wanted else _NO]
            examples.append(Example((*ids, answer), (False,) * len(ids) + (True,)))
        examples += [_marked(dialogue, text, request, value) for text, value in slots]
    return examples[:count]


def _invented(rng: random.Random, phone: Sequence[ToolItem]) -> Drawn:
    """A function of a made-up noun, beside the same one of another noun."""
    form = rng.choice(_tools()["invented"])
    tool, other = ({**form, "noun": made_up(rng)} for _ in range(2))
    name, another = (one["name"].replace("{noun}", one["noun"]) for one in (tool, other))
    return _asked(rng, name, tool, another, other)


def _written(rng: random.Random, phone: Sequence[ToolItem], part: str = "written") -> Drawn:
    (name, tool), (another, other) = rng.sample(list(_tools()[part].items()), 2)
    return _asked(rng, name, tool, another, other)


def _asked(rng: random.Random, name: str, tool: Tool, another: str, other: Tool) -> Drawn:
    """A request for a function, in its own words."""
    values = {key: draw(kind_of(kind), "train", rng) for key, (kind, _) in tool["parameters"].items()}
    request = rng.choice(tool["phrasings"]).format(**values, noun=tool.get("noun", ""))
    slots = [(f"{key}: {text}", values[key]) for key, (_, text) in tool["parameters"].items()]
    shown = [(_described(name, tool), True), (_described(another, other), False)]
    return request[:1].upper() + request[1:] if rng.random() < 0.5 else request, shown, slots


def _described(name: str, tool: Tool) -> str:
    return f"{name}: {tool['description'].replace('{noun}', tool.get('noun', ''))}"


def _of_phone(rng: random.Random, phone: Sequence[ToolItem]) -> Drawn:
    item = rng.choice(phone)
    function = next(function for function in FUNCTIONS if function.name == item.call.function)
    other = rng.choice([one for one in FUNCTIONS[:-1] if one is not function])
    shown = [(f"{one.name}: {one.description}", one is function) for one in (function, other) if one.name != NO_CALL]
    names = [f"{slot.name}: The {slot.name} of the call." for slot in function.slots]
    return item.request, shown, list(zip(names, item.call.arguments, strict=True))


def _question(dialogue: Dialogue, described: str, request: str) -> list[int]:
    messages = [{"role": "system", "content": described[:300]}, {"role": "user", "content": request}]
    return dialogue.prompt_ids(messages)


def _marked(dialogue: Dialogue, described: str, request: str, value: str) -> Example:
    """The words of the request that fill one parameter."""
    ids = _question(dialogue, described, request)
    scored = [False] * len(ids)
    marks = marks_of(request, Call("", (value,)))
    for (start, end), mark in zip(pieces_of(request), marks, strict=True):
        piece = dialogue.word_ids(request[start:end])
        ids += [*piece, dialogue.mark_ids[mark]]
        scored += [False] * len(piece) + [True]
    return Example(tuple(ids), tuple(scored))


class SchemaModel:
    """A fine-tuned model that answers requests with one of the functions that it is shown, or with none."""

    name = "hare-schema"

    def __init__(self, model: ChatModel):
        self._network, self._dialogue = model.network, model.dialogue
        self.limit = 0.0

    def calibrate(self, seed: int) -> float:
        """Set the log-odds above which a function counts as wanted, by functions kept from training; the share of the
        descriptions, wanted and unwanted alike, that it then tells apart."""
        rng = random.Random(seed)
        drawn = [_written(rng, (), "kept_aside") for _ in range(_CHOSEN_BY)]
        pairs = [(request, described, wanted) for request, shown, _ in drawn for described, wanted in shown]
        scores = np.array(self._wanted([(request, described) for request, described, _ in pairs]))
        wanted = np.array([wanted for _, _, wanted in pairs])
        shares = [np.mean((scores > limit) == wanted) for limit in np.sort(scores)]
        self.limit = float(np.sort(scores)[int(np.argmax(shares))])
        return float(max(shares))

    def answer(self, items: Sequence[BfclItem]) -> list[tuple[str, dict[str, Any]] | None]:
        """The call (function, arguments by name) that each request asks for; None where no function is wanted."""
        pairs = [(number, schema) for number, item in enumerate(items) for schema in item.functions]
        wanted = self._wanted([(items[number].request, f"{one.name}: {one.description}") for number, one in pairs])
        best: dict[int, tuple[float, Schema]] = {}
        for (number, schema), score in zip(pairs, wanted, strict=True):
            if score > best.get(number, (self.limit, schema))[0]:
                best[number] = (score, schema)
        asked = [(number, one) for number, (_, schema) in best.items() for one in schema.parameters if one.required]
        values = self._values([(items[number].request, one) for number, one in asked])
        calls: dict[int, dict[str, Any]] = {number: {} for number in best}
        for (number, one), value in zip(asked, values, strict=True):
            calls[number][one.name] = value
        return [(best[number][1].name, calls[number]) if number in best else None for number in range(len(items))]

    def _wanted(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Log-odds that a request wants the function described beside it, in the order given."""
        prompts = [_question(self._dialogue, described, request) for request, described in pairs]
        choices = [self._dialogue.api_ids[_YES], self._dialogue.api_ids[_NO]]
        scores: dict[int, float] = {}
        for batch in track(_batches(prompts), "functions wanted", "batches"):
            read = TorchReader(self._network, len(batch)).read([prompts[number] for number in batch], choices)
            scores |= {number: yes - no for number, (yes, no) in zip(batch, read, strict=True)}
        return [scores[number] for number in range(len(pairs))]

    def _values(self, asked: Sequence[tuple[str, Parameter]]) -> list[Any]:
        prompts = [_question(self._dialogue, f"{one.name}: {one.description}", request) for request, one in asked]
        values: dict[int, Any] = {}
        for batch in track(_batches(prompts), "parameters", "batches"):
            requests = [asked[number][0] for number in batch]
            marked = self._marks([prompts[number] for number in batch], requests)
            for number, request, marks in zip(batch, requests, marked, strict=True):
                values[number] = value_of(asked[number][1], _stretch(request, marks))
        return [values[number] for number in range(len(asked))]

    def _marks(self, prompts: Sequence[list[int]], requests: Sequence[str]) -> list[list[float]]:
        """How much likelier each piece of a request is inside than outside, in nats; read with the likelier mark."""
        reader, (out, inside, _) = TorchReader(self._network, len(prompts)), self._dialogue.mark_ids
        pieces = [[self._dialogue.word_ids(request[a:b]) for a, b in pieces_of(request)][:_LONGEST]
                  for request in requests]
        gains: list[list[float]] = [[] for _ in prompts]
        chunks = [[*prompt, *(words[0] if words else ())] for prompt, words in zip(prompts, pieces, strict=True)]
        for place in range(max(map(len, pieces))):
            read = reader.read(chunks, [out, inside])
            for row, (no, yes) in enumerate(read):
                if place < len(pieces[row]):
                    gains[row].append(yes - no)
            chunks = [
                [inside if yes > no else out, *(words[place + 1] if place + 1 < len(words) else ())]
                for (no, yes), words in zip(read, pieces, strict=True)
            ]
        return gains


def _batches(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    return [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]


def _stretch(request: str, gains: Sequence[float]) -> str:
    """The neighbouring words with the highest sum of gains; the likeliest word alone where all are below 0."""
    best, start, total = (max(gains), gains.index(max(gains)), gains.index(max(gains))), 0, 0.0
    for place, gain in enumerate(gains):
        if total <= 0:
            start, total = place, 0.0
        total += gain
        if total > best[0]:
            best = (total, start, place)
    pieces = pieces_of(request)
    return request[pieces[best[1]][0] : pieces[best[2]][1]]


def value_of(parameter: Parameter, words: str) -> Any:
    """The words as a value of the parameter's kind: a number, a truth value, one of its choices, or text."""
    if parameter.kind in ("integer", "float") and (digits := _NUMBER.search(words)):
        number = float(digits[0].replace(",", ""))
        return int(number) if parameter.kind == "integer" else number
    if parameter.kind == "boolean":
        return True
    if parameter.choices:
        known = set(words.lower().split())
        return max(parameter.choices, key=lambda choice: len(known & set(choice.lower().split())))
    return words.strip(" .,?!\"'")

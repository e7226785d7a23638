"""Calls as a model writes them, and back: with functional tokens, or spelled out as text.

A reader returns either a call or the reason why there is none; nothing that is not exactly one well-formed call passes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hare.finetuning.dialogue import API_TOKENS, ROUND_END, SLOT, Example, answered, control_id, text_ids, text_of
from hare.finetuning.functions import FUNCTIONS, Call, objection_to
from hare.finetuning.tool_data import ToolItem

_BAR = "|"  # between the parts of a call in plain text; no slot may hold it
_SPELLED = re.compile(r"\b(\w+)\s*\(([^()]*)\)")
_KEYWORD = re.compile(r"^\s*\w+\s*[=:]\s*")


@dataclass(frozen=True)
class Reading:
    """What was made of an answer: the valid call, or None and the reason; ``function`` as far as it can be told."""

    call: Call | None
    function: str
    reason: str


def functional_answer(call: Call) -> list[int]:
    """``<api_k>`` slot ``<slot>`` slot …, without the end of the round."""
    names = [function.name for function in FUNCTIONS]
    ids = [control_id(API_TOKENS[names.index(call.function)])]
    for number, value in enumerate(call.arguments):
        ids += [control_id(SLOT)] * (number > 0) + text_ids(value)
    return ids


def spelled_answer(call: Call) -> list[int]:
    """The same without functional tokens: name | slot | slot."""
    return text_ids(f" {_BAR} ".join((call.function, *call.arguments)))


def example_of(item: ToolItem, functional: bool) -> Example:
    """An item as a training sequence."""
    answer = functional_answer(item.call) if functional else spelled_answer(item.call)
    return answered([{"role": "user", "content": item.request}], answer)


def read_functional(answer: Sequence[int], request: str) -> Reading:
    """What a model with functional tokens has answered, ids up to and including the end of the round."""
    if not answer or answer[-1] != control_id(ROUND_END):
        return Reading(None, "", "no end")
    api = {control_id(token): function for token, function in zip(API_TOKENS, FUNCTIONS, strict=True)}
    body = list(answer[:-1])
    if not body or body[0] not in api:
        return Reading(None, "", "no function")
    name = api[body[0]].name
    parts: list[list[int]] = [[]]
    for token in body[1:]:
        if token == control_id(SLOT):
            parts.append([])
        elif token >= control_id(ROUND_END) - 1:
            return Reading(None, name, "more than one call")
        else:
            parts[-1].append(token)
    return checked(Call(name, tuple(text_of(part).strip() for part in parts) if body[1:] else ()), request)


def read_spelled(answer: Sequence[int], request: str) -> Reading:
    """What a model without functional tokens has answered, likewise."""
    if not answer or answer[-1] != control_id(ROUND_END):
        return Reading(None, "", "no end")
    if any(token >= control_id(ROUND_END) - 1 for token in answer[:-1]):
        return Reading(None, "", "control text in the answer")
    name, *values = (part.strip() for part in text_of(answer[:-1]).split(_BAR))
    return checked(Call(name, tuple(values)), request)


def written_out(call: Call) -> str:
    """The call as instruct models write it, ``name("value", …)``; `read_text` reads it."""
    values = ", ".join(f'"{value}"' for value in call.arguments)
    return f"{call.function}({values})"


def read_text(text: str, request: str) -> Reading:
    """A call in the shape ``name("value", …)`` somewhere in a text, as instruct models write it; the first one counts.

    Quotes and keywords around values are taken off.
    """
    found = _SPELLED.search(text)
    if found is None:
        return Reading(None, "", "no function")
    values = [_KEYWORD.sub("", value).strip().strip("\"'“”").strip() for value in _split(found[2])]
    return checked(Call(found[1], tuple(value for value in values if value)), request)


def _split(inside: str) -> list[str]:
    """Parts between commas that stand outside quotes."""
    return re.findall(r"(?:\"[^\"]*\"|'[^']*'(?!\w)|[^,])+", inside)


def checked(call: Call, request: str) -> Reading:
    """The call, or why it must not be executed."""
    reason = objection_to(call, request)
    known = call.function if reason != "unknown function" else ""
    return Reading(None if reason else call, known, reason)

"""Calls as a model writes them, and back: with functional tokens, or as the text ``name("value", …)``.

A reader returns either a call or the reason why there is none; nothing that is not exactly one well-formed call passes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hare.finetuning.dialogue import SLOT, Dialogue, Example
from hare.finetuning.functions import BY_NAME, FUNCTIONS, Call, objection_to
from hare.finetuning.tool_data import ToolItem

_NAMED = re.compile(r"([^\W\d]\w*)[ \t]*\(")
_KEY = re.compile(r"\s*([^\W\d]\w*)\s*[=:]\s*")
_CLOSING = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "‘": "’", "«": "»"}  # by the opening quotation mark
_ESCAPED = {"\\": "\\", '"': '"', "\n": "n", "\r": "r", "\t": "t"}
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_OPENING_BRACKETS, _CLOSING_BRACKETS = "([{", ")]}"


@dataclass(frozen=True)
class Reading:
    """What was made of an answer: the valid call, or None and the reason; ``function`` as far as it can be told;
    ``marks`` of the request's pieces, where it was marked."""

    call: Call | None
    function: str
    reason: str
    marks: tuple[int, ...] = ()


def functional_answer(dialogue: Dialogue, call: Call) -> list[int]:
    """``<api_k>`` slot ``<slot>`` slot …, without the end of the round."""
    ids = [dialogue.api_ids[[function.name for function in FUNCTIONS].index(call.function)]]
    for number, value in enumerate(call.arguments):
        ids += [dialogue.control_id(SLOT)] * (number > 0) + dialogue.text_ids(value)
    return ids


def copied_example(dialogue: Dialogue, item: ToolItem) -> Example:
    """An item as a training sequence of copying: functional token, then the slots word for word (Octopus v2)."""
    return dialogue.answered([{"role": "user", "content": item.request}], functional_answer(dialogue, item.call))


def read_functional(dialogue: Dialogue, answer: Sequence[int], request: str) -> Reading:
    """What a model with functional tokens has answered, ids up to and including the end of the round."""
    if not answer or answer[-1] != dialogue.end:
        return Reading(None, "", "no end")
    by_id = dict(zip(dialogue.api_ids, FUNCTIONS, strict=True))
    body = list(answer[:-1])
    if not body or body[0] not in by_id:
        return Reading(None, "", "no function")
    name = by_id[body[0]].name
    parts: list[list[int]] = [[]]
    for token in body[1:]:
        if token == dialogue.control_id(SLOT):
            parts.append([])
        elif token >= dialogue.text_size:
            return Reading(None, name, "more than one call")
        else:
            parts[-1].append(token)
    values = tuple(dialogue.text_of(part).strip() for part in parts) if body[1:] else ()
    return checked(Call(name, values), request)


def written_out(call: Call) -> str:
    """The call as instruct models write it, ``name("value", …)``; `read_text` reads the very call from it."""
    values = (f'"{"".join(_written(sign) for sign in value)}"' for value in call.arguments)
    return f"{call.function}({', '.join(values)})"


def _written(sign: str) -> str:
    return f"\\{_ESCAPED[sign]}" if sign in _ESCAPED else sign


def read_text(text: str, request: str) -> Reading:
    """A call in the shape ``name("value", …)`` somewhere in a text, as instruct models write it.

    The first known function that is followed by a bracket counts.
    """
    named = list(_NAMED.finditer(text))
    if not named:
        return Reading(None, "", "no function")
    first = next((match for match in named if match[1] in BY_NAME), named[0])
    call = parsed(first[1], text, first.end())
    return Reading(None, first[1] if first[1] in BY_NAME else "", "no end") if call is None else checked(call, request)


@dataclass(frozen=True)
class _Part:
    """One argument: its key ('' without one), the value, whether it stood in quotation marks, and its source text."""

    key: str
    value: str
    quoted: bool
    source: str


def parsed(name: str, text: str, start: int) -> Call | None:
    """The call whose arguments begin at ``start`` in ``text``, each as it was written; None where no bracket closes it.

    Values stand in quotation marks of any kind, with escaped ones inside, or bare; a bare value may hold brackets in
    pairs. ``key=value`` and ``key: value`` name a slot of the function, so ``10:30`` is a value. What follows the last
    slot of a bare text is part of it: ``search_web(cats, dogs)`` searches for both.
    """
    parts: list[_Part] = []
    place = start
    while True:
        part, place = _next_part(name, text, place)
        if part is None:
            return None
        ended = text[place] == ")"
        if part.source.strip() or not ended:  # nothing behind the last comma, or between the brackets, is no value
            parts.append(part)
        place += 1
        if ended:
            return Call(name, _in_order(name, parts))


def _next_part(name: str, text: str, start: int) -> tuple[_Part | None, int]:
    """The argument that begins at ``start``, and where the comma or bracket behind it stands."""
    place = start + len(text[start:]) - len(text[start:].lstrip())
    key = _KEY.match(text, place)
    slots = {slot.name for slot in BY_NAME[name].slots} if name in BY_NAME else set()
    begins_quoted = bool(key) and "=" in key[0] and text[key.end() : key.end() + 1] in tuple(_CLOSING)
    named = key[1] if key and (key[1] in slots or begins_quoted) else ""
    place = key.end() if key and named else place
    if (quoted := _quoted(text, place)) is not None:
        value, end = quoted
        return _Part(named, value, True, text[start:end]), end
    end = _bare_end(text, place)
    if end is None:
        return None, start
    return _Part(named, text[place:end].strip(), False, text[start:end]), end  # with the space before it


def _quoted(text: str, place: int) -> tuple[str, int] | None:
    """The value in the quotation marks that open at ``place``, and where the comma or bracket behind it stands.

    A mark ends the value only where one of these follows, so ``'don't'`` is a value.
    """
    closing = _CLOSING.get(text[place : place + 1])
    if closing is None:
        return None
    value, at = [], place + 1
    while at < len(text):
        sign = text[at]
        if sign == "\\" and at + 1 < len(text):
            value.append(_unescaped(text[at + 1]))
            at += 2
            continue
        if sign in closing:
            behind = at + 1 + len(text[at + 1 :]) - len(text[at + 1 :].lstrip())
            if text[behind : behind + 1] in (",", ")"):
                return "".join(value), behind
        value.append(sign)
        at += 1
    return None


def _unescaped(sign: str) -> str:
    if sign in _UNESCAPED:
        return _UNESCAPED[sign]
    marks = {"\\", *_CLOSING, *"".join(_CLOSING.values())}
    return sign if sign in marks else f"\\{sign}"


def _bare_end(text: str, place: int) -> int | None:
    """Where the comma or bracket behind a bare value stands: the first outside brackets of its own."""
    depth = 0
    for at in range(place, len(text)):
        if depth == 0 and text[at] in ",)":
            return at
        depth += (text[at] in _OPENING_BRACKETS) - (text[at] in _CLOSING_BRACKETS)
    return None


def _in_order(name: str, parts: Sequence[_Part]) -> tuple[str, ...]:
    """Values in the order of the function's slots; bare text behind the last slot belongs to it."""
    slots = [slot.name for slot in BY_NAME[name].slots] if name in BY_NAME else []
    if parts and sorted(part.key for part in parts) == sorted(slots):
        by_key = {part.key: part.value for part in parts}
        return tuple(by_key[slot] for slot in slots)
    free = name in BY_NAME and slots and BY_NAME[name].slots[-1].free_text
    last, rest = parts[len(slots) - 1 :], parts[: len(slots) - 1]
    if free and len(last) > 1 and not any(part.quoted or part.key for part in last):
        whole = ",".join(part.source for part in last).strip()
        return (*(part.value for part in rest), whole)
    return tuple(part.value for part in parts)


def checked(call: Call, request: str, marks: Sequence[int] = ()) -> Reading:
    """The call, or why it must not be executed."""
    reason = objection_to(call, request)
    known = call.function if reason != "unknown function" else ""
    return Reading(None if reason else call, known, reason, tuple(marks))

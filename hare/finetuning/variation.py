"""Other words for training items: what stands in a slot is to be told from its place, not from having been seen.

A model that has read little meets most words of a test request for the first time. So each pass over the training items
changes some words outside the slots, says something else before and after, and puts other words into slots: always from
the training split's own values.
"""

import dataclasses
import random
import re
from functools import cache

from hare.finetuning.functions import BY_NAME, Call
from hare.finetuning.grammar import SPLITS, draw, values
from hare.finetuning.tool_data import FREE_TEXT, ToolItem

_OTHER_WORD = 0.1  # share of the words outside slots that change
_OTHER_VALUE = 0.5  # share of the slots that are filled anew
_BEFORE, _AFTER = 0.3, 0.2  # shares of the items with other words around
_NAMES = ("contact", "place", "recipient")
_LISTED = ("given", "family", "title", "place")
_LETTERS = re.compile(r"[A-Za-z]+")


def varied(item: ToolItem, rng: random.Random) -> ToolItem:
    """The item in other words, with the call that answers it now; the same where an argument is not one stretch."""
    parts = _parts(item)
    if parts is None:
        return item
    slots = [slot.name for slot in BY_NAME[item.call.function].slots]
    filled = {
        name: _value(name, value, rng) if rng.random() < _OTHER_VALUE else value
        for name, value in zip(slots, item.call.arguments, strict=True)
    }
    texts = [_other_words(part, rng) for part in parts[::2]]
    ends_open = len(parts) > 1 and parts[-1] == "" and parts[-2] in FREE_TEXT
    texts[0], texts[-1] = _before(texts[0], rng), _after(texts[-1], ends_open, rng)
    request = texts[0] + "".join(filled[name] + text for name, text in zip(parts[1::2], texts[1:], strict=True))
    return dataclasses.replace(item, request=request, call=Call(item.call.function, tuple(filled.values())))


def _parts(item: ToolItem) -> list[str] | None:
    """Text and slot names in turn, text first and last."""
    places = []
    for slot, value in zip(BY_NAME[item.call.function].slots, item.call.arguments, strict=True):
        found = list(re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", item.request))
        if len(found) != 1:
            return None
        places.append((found[0].start(), found[0].end(), slot.name))
    parts, last = [], 0
    for start, end, name in sorted(places):
        if start < last:
            return None
        parts += [item.request[last:start], name]
        last = end
    return [*parts, item.request[last:]]


def _words(count: int, rng: random.Random) -> list[str]:
    """Words of titles, in lower case."""
    return rng.choices(_title_words(), k=count)


@cache
def _titles(split: str) -> frozenset[str]:
    return frozenset(title.lower() for title in values("query", split))


@cache
def _title_words() -> list[str]:
    """Words of the training split's titles, without those that other splits keep to themselves as values or names."""
    others = [value for split in SPLITS[1:] for kind in _LISTED for value in values(kind, split)]
    kept_back = {word for value in others for word in (value.lower(), *value.lower().split())}
    kept_back |= _titles("validation") | _titles("test")
    words = [word.lower() for title in values("query", "train") for word in title.split()]
    return [word for word in words if word not in kept_back]


def _other_words(text: str, rng: random.Random) -> str:
    return _LETTERS.sub(lambda found: _words(1, rng)[0] if rng.random() < _OTHER_WORD else found[0], text)


def _before(text: str, rng: random.Random) -> str:
    """The beginning of a request, with words before it, and in either case."""
    if rng.random() < _BEFORE:
        text = f"{' '.join(_words(rng.randint(1, 4), rng))}{rng.choice([',', ''])} {text[:1].lower()}{text[1:]}"
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text


def _after(text: str, ends_open: bool, rng: random.Random) -> str:
    """The end of a request, with words after it: behind a comma where free text would run on."""
    if rng.random() >= _AFTER or (text and not text[-1].isalnum()):
        return text
    return f"{text}{',' if ends_open else rng.choice([',', ''])} {' '.join(_words(rng.randint(1, 4), rng))}"


def _value(name: str, value: str, rng: random.Random) -> str:
    """Another value of a slot: names made of any words, other numbers and titles, texts with other words in them."""
    if name in _NAMES and "@" not in value:
        named = " ".join(word.capitalize() for word in _words(rng.choice([1, 1, 2, 2, 3]), rng) if word.isalpha())
        return named if named and not any(named.lower() in _titles(split) for split in SPLITS[1:]) else value
    if name == "content":
        return _LETTERS.sub(lambda found: _words(1, rng)[0] if rng.random() < 0.4 else found[0], value)
    return draw(name, "train", rng)

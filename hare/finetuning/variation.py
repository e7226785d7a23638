"""Training items anew: what stands in a slot is to be told from its place, not from having been seen.

A model that has read little meets most words of a test request for the first time. So each pass over the training items
draws each of them once more from its phrasing, changes some words outside the slots, says something else before and
after, and puts any words into slots: always from the training split's own values.
"""

import dataclasses
import random
import re
from functools import cache

from hare.finetuning.functions import BY_NAME, Call
from hare.finetuning.grammar import SPLITS, draw, values
from hare.finetuning.tool_data import FREE_TEXT, ToolItem, drawn_again

_OTHER_WORD = 0.1  # share of the words outside slots that change
_OTHER_VALUE = 0.5  # share of the slots that hold any words
_ANY_TEXT = 0.2  # share of the e-mails' texts that are no sentence at all
_BEFORE, _AFTER = 0.3, 0.2  # shares of the items with other words around
_NAMES = ("contact", "place", "recipient")
_LISTED = ("given", "family", "title", "place")
_LETTERS = re.compile(r"[A-Za-z]+")


def varied(item: ToolItem, rng: random.Random) -> ToolItem:
    """A training item in other words, with the call that answers it now."""
    item = drawn_again(item, rng)
    slots = [slot.name for slot in BY_NAME[item.call.function].slots]
    filled = dict(item.values)
    for name in slots:
        if rng.random() < _OTHER_VALUE:
            filled[name] = _value(name, filled[name], rng)
    texts = re.split(r"\{(\w+)\}", item.template)  # text and placeholder in turn, text first and last
    ends_open = len(texts) > 1 and texts[-1] == "" and texts[-2] in FREE_TEXT
    texts[::2] = [_other_words(text, rng) for text in texts[::2]]
    texts[0], texts[-1] = _before(texts[0], rng), _after(texts[-1], ends_open, rng)
    texts[1::2] = [filled[name] for name in texts[1::2]]
    return dataclasses.replace(
        item, request="".join(texts), call=Call(item.call.function, tuple(filled[name] for name in slots)),
        values=tuple(filled.items()),
    )


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
    if name == "content" and rng.random() < _ANY_TEXT:
        return " ".join(word for word in _words(rng.randint(2, 9), rng) if word.isalpha()) or value
    if name == "content":
        return _LETTERS.sub(lambda found: _words(1, rng)[0] if rng.random() < 0.4 else found[0], value)
    return draw(name, "train", rng)

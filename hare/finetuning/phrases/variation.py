"""Training items anew: what stands in a slot is to be told from its place, not from having been seen.

A model that has read little meets most words of a test request for the first time. So each pass over the training items
draws each of them once more from its phrasing, puts other values into slots, some of words that are made up, changes a
few words outside the slots, and says something else before and after: also names, numbers and second requests that
belong in no slot, with typing errors, all in small letters. Nothing that another split keeps to itself is used.
"""

import dataclasses
import random
import re
from functools import cache

from hare.finetuning.functions import BY_NAME, NO_CALL, Call
from hare.finetuning.phrases.grammar import SPLITS, around, draw, is_kept_back, kind_of, one_way, phrasings, values
from hare.finetuning.tool_data import FREE_TEXT, ToolItem, drawn_again, with_typo

_OTHER_VALUE = 0.6  # share of the slots that hold other words than the split's own values
_OTHER_WORD = 0.03  # share of the words outside slots that change
_AROUND = 0.1  # share of the items with other words before, and with other words after
_CLAUSE = 0.2  # share with a clause before that holds a name or number of no slot; of those after, half of it
_SECOND = 0.15  # share that go on with a second request, which is not carried out
_TYPO = 0.1  # share with letters swapped, left out or doubled outside the slots
_SMALL = 0.05  # share all in small letters
_COMMON_WORD = 0.15  # share of the words of a made-up name
_NAMES = ("contact", "place", "recipient")
_LISTED = ("given", "family", "title", "place", "query")
_LETTERS = re.compile(r"[A-Za-z]+")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SECONDS = "9"  # behind the placeholders of a second request
_ATTEMPTS = 20


def varied(item: ToolItem, rng: random.Random) -> ToolItem:
    """A training item in other words, with the call that answers it now."""
    for _ in range(_ATTEMPTS):
        other = _varied(drawn_again(item, rng), rng)
        values_are_free = not any(value.lower() in _values_kept_back() for value in other.call.arguments)
        if values_are_free and not is_kept_back(item.call.function, other.template.lower()):
            return other
    return drawn_again(item, rng)


def _varied(item: ToolItem, rng: random.Random) -> ToolItem:
    slots = [slot.name for slot in BY_NAME[item.call.function].slots]
    filled = dict(item.values)
    filled |= {name: _value(name, filled[name], rng) for name in slots if rng.random() < _OTHER_VALUE}
    texts = _PLACEHOLDER.split(_with_more(item.template, item.call.function, rng))  # text and placeholder in turn
    filled |= {name: draw(kind_of(name), "train", rng) for name in texts[1::2] if name not in filled}
    texts[::2] = [_other_words(text, rng) for text in texts[::2]]
    texts[0], texts[-1] = _before(texts[0], rng), _after(texts[-1], _ends_open(texts), rng)
    if rng.random() < _SMALL:
        texts[::2], filled = [text.lower() for text in texts[::2]], {name: filled[name].lower() for name in filled}
    template = "".join(text if place % 2 == 0 else f"{{{text}}}" for place, text in enumerate(texts))
    texts[1::2] = [filled[name] for name in texts[1::2]]
    return dataclasses.replace(
        item, request="".join(texts), call=Call(item.call.function, tuple(filled[name] for name in slots)),
        template=template, values=tuple(filled.items()),
    )


def _ends_open(texts: list[str]) -> bool:
    """Whether a request ends with free text, which further words would lengthen."""
    return len(texts) > 1 and texts[-1] == "" and texts[-2] in FREE_TEXT


def _with_more(template: str, function: str, rng: random.Random) -> str:
    """The template with what belongs in no slot: a clause before, one after, a second request; and typing errors."""
    if rng.random() < _CLAUSE:
        template = f"{rng.choice(around('before'))} {template[:1].lower()}{template[1:]}"
    open_end = _ends_open(_PLACEHOLDER.split(template))
    if template[-1].isalnum() or template[-1] == "}":
        if rng.random() < _SECOND:
            template += _second(function, open_end, rng)
        elif rng.random() < _CLAUSE / 2 and not open_end:
            template += rng.choice(around("after"))
    return with_typo(template, rng) if rng.random() < _TYPO else template


def _second(function: str, open_end: bool, rng: random.Random) -> str:
    """How a request goes on with another; of one that needs no call, with another such."""
    others = [one for one in phrasings("train") if (one.function == function) == (function == NO_CALL)]
    joiners = [joiner for joiner in around("joiners") if not open_end or joiner[0] in ",."]
    core = one_way(rng.choice(others), rng)
    return f"{rng.choice(joiners)} {_PLACEHOLDER.sub(lambda name: f'{{{name[1]}{_SECONDS}}}', core)}"


def _value(name: str, value: str, rng: random.Random) -> str:
    """Another value of a slot: names that are made up, other numbers and titles, texts with other words in them."""
    if name in _NAMES and "@" not in value:
        return " ".join(_name_word(rng).capitalize() for _ in range(rng.choice([1, 1, 2, 2, 3])))
    if name == "content":
        return _LETTERS.sub(
            lambda word: made_up(rng) if rng.random() < 0.2 else word[0],
            rng.choice([value, draw("message", "train", rng), draw("message", "train", rng)]),
        )
    return draw(name, "train", rng)


def _name_word(rng: random.Random) -> str:
    """A word of a name: made up, or one that phrasings use, as in New York or Irene Young."""
    return rng.choice(_common_words()) if rng.random() < _COMMON_WORD else made_up(rng)


@cache
def _common_words() -> list[str]:
    words = {word.lower() for phrasing in phrasings("train") for word in _LETTERS.findall(phrasing.core)}
    return sorted(word for word in words if len(word) > 2 and word not in _values_kept_back())


def made_up(rng: random.Random) -> str:
    """A word in small letters, of titles or of the halves of two."""
    while True:
        one, other = rng.choices(_title_words(), k=2)
        word = rng.choice([one, one[: len(one) // 2 + 1] + other[len(other) // 2 :]])
        if word not in _values_kept_back():
            return word


@cache
def _values_kept_back() -> frozenset[str]:
    """Values that other splits keep to themselves, in lower case, and their words."""
    listed = {value.lower() for split in SPLITS[1:] for kind in _LISTED for value in values(kind, split)}
    return frozenset(listed)


@cache
def _title_words() -> list[str]:
    """Words of the training split's titles, in small letters."""
    words = (word.lower() for title in values("query", "train") for word in title.split())
    return [word for word in words if word.isalpha() and word not in _values_kept_back()]


def _words(rng: random.Random) -> str:
    return " ".join(made_up(rng) for _ in range(rng.randint(1, 4)))


def _other_words(text: str, rng: random.Random) -> str:
    return _LETTERS.sub(lambda word: made_up(rng) if rng.random() < _OTHER_WORD else word[0], text)


def _before(text: str, rng: random.Random) -> str:
    """The beginning of a request, with words before it, and in either case."""
    if rng.random() < _AROUND:
        text = f"{_words(rng)}{rng.choice([',', ''])} {text[:1].lower()}{text[1:]}"
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text


def _after(text: str, ends_open: bool, rng: random.Random) -> str:
    """The end of a request, with words after it: behind a comma where free text would run on."""
    if rng.random() >= _AROUND or (text and not text[-1].isalnum()):
        return text
    return f"{text}{',' if ends_open else rng.choice([',', ''])} {_words(rng)}"

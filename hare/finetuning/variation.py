"""Training items anew: what stands in a slot is to be told from its place, not from having been seen.

A model that has read little meets most words of a test request for the first time. So each pass over the training items
draws each of them once more from its phrasing, changes some words outside the slots, says something else before and
after, and puts any words and names into slots: the training split's own values, and words and names made of the
tokenizer's pieces, without those that other splits keep as values. Thus nearly every piece has stood in a slot, and
beside one, before a test request brings it.
"""

import dataclasses
import random
import re
from functools import cache

from hare.finetuning.dialogue import Example, text_ids, text_of, text_tokens, token_pieces
from hare.finetuning.functions import BY_NAME, Call
from hare.finetuning.grammar import SPLITS, draw, kind_of, values
from hare.finetuning.tool_data import FREE_TEXT, ToolItem, drawn_again

_OTHER_WORD = 0.03  # share of the words outside slots that change
_OTHER_VALUE = 0.6  # share of the slots that hold any words
_MADE_UP = 0.8  # share of the names and words there that are the tokenizer's own, the others are of titles
_ANY_TOKEN = 0.5  # share of the tokens of names, things and queries that are any others of the vocabulary
_AS_DRAWN = ("number", "other", "content")  # values that keep their tokens
_LEAD = 0.05  # share of the names that another word precedes
_ANY_TEXT, _MESSAGE = 0.2, 0.6  # shares of the e-mails' texts that are no sentence at all, and of others that are new
_OTHER_CONTENT = 0.2  # share of the words in an e-mail's text that change
_BEFORE, _AFTER = 0.1, 0.1  # shares of the items with other words around
_NAMES = ("contact", "place", "recipient")
_LISTED = ("given", "family", "title", "place", "query")
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
    leads = [_lead(name, rng) for name in texts[1::2]]
    texts[::2] = [_other_words(text, rng) for text in texts[::2]]
    texts[0], texts[-1] = _before(texts[0], rng), _after(texts[-1], ends_open, rng)
    texts[1::2] = [lead + filled[name] for lead, name in zip(leads, texts[1::2], strict=True)]
    return dataclasses.replace(
        item, request="".join(texts), call=Call(item.call.function, tuple(filled[name] for name in slots)),
        values=tuple(filled.items()),
    )


def other_tokens(item: ToolItem, rng: random.Random) -> dict[int, int]:
    """Some tokens of the item's names, things and query, and what is shown in their place wherever they stand.

    Tokens, not text: any row of the vocabulary may stand there, as a word of a test request may be any.
    """
    drawn = [value for name, value in item.values if kind_of(name) not in _AS_DRAWN and "@" not in value]
    tokens = sorted({token for value in drawn for token in text_ids(value)})
    return {token: rng.choice(_free_tokens()) for token in tokens if rng.random() < _ANY_TOKEN}


def replaced(example: Example, other: dict[int, int]) -> Example:
    """A training sequence with the `other_tokens` of its item."""
    return dataclasses.replace(example, ids=tuple(other.get(token, token) for token in example.ids))


def as_shown(item: ToolItem, other: dict[int, int]) -> ToolItem:
    """The item as a sequence with its `other_tokens` reads: to be compared with other splits, not to be tokenized."""
    def shown(text: str) -> str:
        return text_of([other.get(token, token) for token in text_ids(text)])

    return dataclasses.replace(
        item, request=shown(item.request), call=Call(item.call.function, tuple(map(shown, item.call.arguments))),
        values=tuple((name, shown(value)) for name, value in item.values),
    )


def _words(count: int, rng: random.Random) -> list[str]:
    """Words in lower case, of titles or the tokenizer's own."""
    return [rng.choice(_small_words() if rng.random() < _MADE_UP else _title_words()) for _ in range(count)]


@cache
def _values_kept_back() -> frozenset[str]:
    """Values that other splits keep to themselves, in lower case."""
    return frozenset(value.lower() for split in SPLITS[1:] for kind in _LISTED for value in values(kind, split))


@cache
def _free_tokens() -> list[int]:
    """Ids that stand for text, without those that alone spell a value which other splits keep to themselves."""
    return [token for token in text_tokens() if text_of([token]).strip().lower() not in _values_kept_back()]


@cache
def _title_words() -> list[str]:
    """Words of the training split's titles."""
    words = [word.lower() for title in values("query", "train") for word in title.split()]
    return [word for word in words if word not in _values_kept_back()]


@cache
def _small_words() -> list[str]:
    """The tokenizer's pieces that begin a word and are in small letters."""
    return [word for word in token_pieces(r"▁([a-z]{3,})") if word not in _values_kept_back()]


def _made_up_name(rng: random.Random) -> str:
    """One word: a piece that begins words with a capital, alone, going on, or with another behind a hyphen."""
    begin, other = rng.choices(token_pieces(r"▁([A-Z][a-z]*)"), k=2)
    double = f"{begin}-{other}"
    name = rng.choice([begin, begin, begin + rng.choice(token_pieces(r"([a-z]{1,4})")), double])
    return double if name.lower() in _values_kept_back() else name


def _lead(placeholder: str, rng: random.Random) -> str:
    """A word that may stand before a name and is no part of it."""
    return f"{_words(1, rng)[0]} " if placeholder in _NAMES and rng.random() < _LEAD else ""


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
        made_up, count = rng.random() < _MADE_UP, rng.choice([1, 1, 2, 2, 3])
        words = [_made_up_name(rng) if made_up else rng.choice(_title_words()).capitalize() for _ in range(count)]
        named = " ".join(word for word in words if word.replace("-", "").isalpha())
        return named if named and named.lower() not in _values_kept_back() else value
    if name == "content" and rng.random() < _ANY_TEXT:
        return " ".join(word for word in _words(rng.randint(2, 9), rng) if word.isalpha()) or value
    if name == "content":
        said = draw("message", "train", rng) if rng.random() < _MESSAGE else value
        return _LETTERS.sub(lambda found: _words(1, rng)[0] if rng.random() < _OTHER_CONTENT else found[0], said)
    return draw(name, "train", rng)

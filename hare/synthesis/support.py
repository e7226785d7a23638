"""Whether a passage says what a sentence of a rewrite says, as far as words can tell.

A weak model adds what is wrong and mixes up what is right. So most content words of a sentence must stand in one
sentence of the passage, or in two neighbouring ones; its numbers, units and names must be among theirs and in their
order; and words that turn a statement around (not, only, most, before) must be the same.
"""

import re
from collections.abc import Iterable

from hare.data.text import sentences
from hare.data.words import words
from hare.synthesis.builders import content_words, is_whole, names

_BORNE_OUT = 0.8  # share of a sentence's content words that stand in what bears it out
_MOST_DIGITS = 0.04  # share of a passage's characters
_ENDING = re.compile(r"(?:ings?|ed|es|s|ly)$")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME_OR_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|(?<=[a-z,;] )[A-Z][a-z]+")
_DENIES = frozenset(
    "not no never without nor neither none cannot nothing nobody unless except fails failed lack lacks refused".split()
)
_TURNS = _DENIES | frozenset(
    "all every each most many some few several only always often sometimes usually rarely first second last final more "
    "less least fewer than before after until since during under over above below up down half twice both either may "
    "might must should shall can could will would increase decrease increased decreased north south east west most "
    "largest smallest highest lowest oldest youngest best worst because however although same different".split()
)
_NEGATED = re.compile(r"n['’]t\b")
_LEANING = frozenset("he she it they his her its their this these that those him them such another also".split())
_BARE_NUMBER = re.compile(r"(?:^|\s)\(?(?:\d{1,3}|[a-z]|[ivx]{1,4})[.):]$", re.IGNORECASE)


def unsupported(text: str, passage: str) -> list[str]:
    """Numbers and names of a text that its passage lacks, and numbers that count something else there."""
    known, counted = set(words(passage)), _counted(passage)
    numbers = {number for number, _ in counted}
    wrong = [number for number, unit in _counted(text)
             if number not in numbers or (unit in known and (number, unit) not in counted)]
    return wrong + [name for name in names(text) if name.lower() not in known]


def _counted(text: str) -> set[tuple[str, str]]:
    """Numbers of a text with the word behind each, '' at the end; thousands marks left out."""
    rows = set()
    for match in _NUMBER.finditer(text):
        following = words(text[match.end() : match.end() + 30])
        rows.add((match.group().replace(",", ""), following[0] if following else ""))
    return rows


def suits_rewriting(passage: str) -> bool:
    """Whether a passage is running text: whole sentences, hardly any digits, no list of entries."""
    own = sentences(passage)
    digits = sum(character.isdigit() for character in passage)
    return (
        len(own) >= 2 and all(len(s.split()) >= 6 and is_whole(s) for s in own)
        and digits < _MOST_DIGITS * len(passage) and passage.count(":") < 2
    )


def stems(found: Iterable[str]) -> set[str]:
    """Words without their endings, so that "drain" and "drains" are one."""
    return {_ENDING.sub("", word.lower()) if len(word) > 4 else word.lower() for word in found}


def facts(text: str) -> set[str]:
    """Stems of the content words, and the numbers."""
    return stems(content_words(text)) | set(_NUMBER.findall(text))


def borne_out(part: str, passage: str) -> bool:
    """Whether one sentence of a passage, or two neighbouring ones, say what a part of a rewrite says."""
    if unsupported(part, passage) or not words(part):
        return False
    own = sentences(passage)
    return any(_bears_out(stretch, part) for stretch in [*own, *map(" ".join, zip(own, own[1:], strict=False))])


def _bears_out(stretch: str, part: str) -> bool:
    content = stems(content_words(part))
    share = len(content & stems(words(stretch))) / len(content) if content else 1.0
    return (
        share >= _BORNE_OUT
        and _turns(part) <= _turns(stretch)
        and _denials(part) == _denials(stretch)
        and _in_order(_NAME_OR_NUMBER.findall(part), _NAME_OR_NUMBER.findall(stretch) + words(stretch)[:1])
    )


def _turns(text: str) -> set[str]:
    return _TURNS & set(words(text))


def _denials(text: str) -> int:
    """How often a text denies something, 2 for more often."""
    return min(2, sum(word in _DENIES for word in words(text)) + len(_NEGATED.findall(text)))


def _in_order(mentioned: list[str], known: list[str]) -> bool:
    """Whether names and numbers come in the order in which the passage first has them."""
    places = [known.index(each) for each in dict.fromkeys(mentioned) if each in known]
    return places == sorted(places)


def kept_sentences(text: str, passage: str) -> list[str]:
    """The whole sentences of a rewrite that the passage bears out, each said once.

    A sentence that leans on the one before it ("She", "This") is kept only when that is.
    """
    kept: list[str] = []
    before = True
    own = list(dict.fromkeys(sentences(text)))
    for sentence in own:
        leans = words(sentence)[:1] and words(sentence)[0] in _LEANING
        before = _is_sentence(sentence) and borne_out(sentence, passage) and (before or not leans)
        if before:
            kept.append(sentence)
    return each_new(kept)


def _is_sentence(text: str) -> bool:
    return len(words(text)) >= 6 and is_whole(text) and not _BARE_NUMBER.search(text)


def each_new(parts: Iterable[str]) -> list[str]:
    """The parts of which at least half has not been said by an earlier one, by their word 3-grams."""
    kept: list[str] = []
    said: set[tuple[str, ...]] = set()
    for part in parts:
        tokens = words(part)
        grams = set(zip(tokens, tokens[1:], tokens[2:], strict=False))
        if len(grams & said) * 2 <= len(grams):
            kept.append(part)
        said |= grams
    return kept

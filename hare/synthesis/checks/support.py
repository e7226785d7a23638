"""Whether a passage supports a sentence of a rewrite, judged by its words.

A weak model adds false statements and confuses true ones. So most content words of a sentence must occur in one
sentence of the passage, or in two neighbouring ones; its numbers, units and names must occur there in the same order;
and words that reverse or restrict a statement (not, only, most, before) must be the same.
"""

import re
from collections.abc import Iterable

from hare.data.text import sentences
from hare.data.words import words
from hare.synthesis.checks.word_lists import word_list
from hare.synthesis.tasks.builders import content_words, is_whole

_BORNE_OUT = 0.8  # share of a sentence's content words that occur in the supporting text
_MOST_DIGITS = 0.04  # share of a passage's characters
_ENDING = re.compile(r"(?:ings?|ed|es|s|ly)$")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<=[\w,;:)\"'”’] )[A-Z][A-Za-z]{2,}\b")  # capitals within a sentence
_DENIES = word_list("denies")
_TURNS = _DENIES | word_list("turns")
_NEGATED = re.compile(r"n['’]t\b")
_LEANING = word_list("leaning")
_BARE_NUMBER = re.compile(r"(?:^|\s)\(?(?:\d{1,3}|[a-z]|[ivx]{1,4})[.):]$", re.IGNORECASE)


def unsupported(text: str, passage: str) -> list[str]:
    """Numbers and names of a text that its passage lacks, and numbers that count something else there."""
    known, counted = set(words(passage)), _counted(passage)
    numbers = {number for number, _ in counted}
    wrong = [number for number, unit in _counted(text)
             if number not in numbers or (unit in known and (number, unit) not in counted)]
    return wrong + [name for name in _NAME.findall(text) if name.lower() not in known]


def _counted(text: str) -> set[tuple[str, str]]:
    """Numbers of a text, each with the word that follows it ('' at the end); thousands separators are removed."""
    rows = set()
    for match in _NUMBER.finditer(text):
        following = words(text[match.end() : match.end() + 30])
        rows.add((match.group().replace(",", ""), following[0] if following else ""))
    return rows


def is_running_text(passage: str) -> bool:
    """Whether a passage is made of whole sentences, with hardly any digits, and is no list of entries."""
    whole = sentences(passage)
    digits = sum(character.isdigit() for character in passage)
    return (
        len(whole) >= 2 and all(len(s.split()) >= 6 and is_whole(s) for s in whole)
        and digits < _MOST_DIGITS * len(passage) and passage.count(":") < 2
    )


def stems(tokens: Iterable[str]) -> set[str]:
    """Words without their endings, so that "drain" and "drains" are one."""
    return {_ENDING.sub("", word.lower()) if len(word) > 4 else word.lower() for word in tokens}


def facts(text: str) -> set[str]:
    """Stems of the content words, and the numbers."""
    return stems(content_words(text)) | set(_NUMBER.findall(text))


def borne_out(part: str, passage: str) -> bool:
    """Whether one sentence of a passage, or two neighbouring ones, support a part of a rewrite."""
    if unsupported(part, passage) or not words(part):
        return False
    told = sentences(passage)
    pairs = list(map(" ".join, zip(told, told[1:], strict=False)))
    alone = [sentence for sentence in told if _covers(sentence, part)]  # one that suffices needs no neighbour
    return any(_agrees(stretch, part) for stretch in alone or [pair for pair in pairs if _covers(pair, part)])


def _covers(stretch: str, part: str) -> bool:
    content = stems(content_words(part))
    return not content or len(content & stems(words(stretch))) >= _BORNE_OUT * len(content)


def _agrees(stretch: str, part: str) -> bool:
    """Whether denials, qualifying words and the order of names and numbers are those of the passage."""
    return (
        _turns(part) <= _turns(stretch)
        and _denials(part) == _denials(stretch)
        and all(_in_order(kind, part, sentence) for sentence in sentences(stretch) for kind in (_NAME, _NUMBER))
    )


def _turns(text: str) -> set[str]:
    return _TURNS & set(words(text))


def _denials(text: str) -> int:
    """How often a text denies something, 2 for more often."""
    return min(2, sum(word in _DENIES for word in words(text)) + len(_NEGATED.findall(text)))


def _in_order(kind: re.Pattern[str], part: str, sentence: str) -> bool:
    """Whether the names, or the numbers, that a sentence of the passage has come in its order."""
    known = kind.findall(sentence)
    places = [known.index(each) for each in dict.fromkeys(kind.findall(part)) if each in known]
    return places == sorted(places)


def kept_sentences(text: str, passage: str) -> list[str]:
    """The whole sentences of a rewrite that the passage supports, without repetitions.

    A sentence that refers to the one before it ("She", "This") is kept only when that one is.
    """
    kept: list[str] = []
    before = True
    whole = list(dict.fromkeys(sentences(text)))
    for sentence in whole:
        leans = words(sentence)[:1] and words(sentence)[0] in _LEANING
        before = _is_sentence(sentence) and borne_out(sentence, passage) and (before or not leans)
        if before:
            kept.append(sentence)
    return each_new(kept)


def _is_sentence(text: str) -> bool:
    return len(words(text)) >= 6 and is_whole(text) and not _BARE_NUMBER.search(text)


def each_new(parts: Iterable[str]) -> list[str]:
    """The parts of which at most half of the word 3-grams occur in earlier ones."""
    kept: list[str] = []
    earlier: set[tuple[str, ...]] = set()
    for part in parts:
        tokens = words(part)
        grams = set(zip(tokens, tokens[1:], tokens[2:], strict=False))
        if len(grams & earlier) * 2 <= len(grams):
            kept.append(part)
        earlier |= grams
    return kept

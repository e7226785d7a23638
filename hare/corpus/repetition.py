"""Measures of repetition and of what is no prose (Gopher: Rae et al. 2021, appendix A1; boilerplate lines after C4)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hare.corpus.rules import Rules
from hare.corpus.words import words_of

_SPAN = 8  # words
_FEWEST_LINES = 4  # below this, repeated lines say nothing
_FEWEST_WORDS = 40  # below this, repeated pairs and spans say nothing
_SYMBOLS = ("#", "{", "}", "…", "...", "|", "•")
_BOILERPLATE = re.compile(
    r"all rights reserved|privacy policy|terms of (?:use|service)|cookie (?:policy|settings)|uses cookies|"
    r"accept (?:all )?cookies|enable javascript|javascript is (?:disabled|required)|skip to (?:main )?content|"
    r"lorem ipsum|click here|subscribe (?:now|to our)|sign up (?:for|now)|share (?:this|on)|follow us|read more|"
    r"related (?:posts|articles)|back to top|log ?in|your browser|page not found|add to cart|sponsored content|"
    r"newsletter|under construction|home \|",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Measure:
    """One number of a document with the bounds that its category sets, and where in the text (characters) it arose."""

    name: str
    value: float
    low: float
    high: float
    at: int = 0


def measures(text: str, rules: Rules) -> Iterator[Measure]:
    """All measures, cheap ones first."""
    words = words_of(text)
    count = len(words)
    low, high = rules.mean_word_length
    yield Measure("mean word length", float(words.lengths.mean()), low, high)
    yield Measure("few words with letters", float(words.alphabetic.mean()), rules.least_alphabetic_share, 1.0)
    symbols = sum(text.count(symbol) for symbol in _SYMBOLS)
    yield Measure("symbols", symbols / count, 0.0, rules.most_symbol_share)
    share, at = boilerplate_share(text)
    yield Measure("boilerplate lines", share, 0.0, rules.most_boilerplate_lines, at)
    share, at = repeated_line_share(text)
    yield Measure("repeated lines", share, 0.0, rules.most_repeated_lines, at)
    if count >= _FEWEST_WORDS:
        bigrams = words.shingles(2)
        yield Measure("one pair of words", 2 * _largest_group(bigrams) / count, 0.0, rules.most_repeated_bigram)
        spans = words.shingles(_SPAN)
        repeated = 1 - len(np.unique(spans)) / len(spans)
        yield Measure("repeated spans of words", repeated, 0.0, rules.most_repeated_spans)


def _largest_group(hashes: NDArray[np.uint64]) -> int:
    """How often the most frequent value occurs."""
    ordered = np.sort(hashes)
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] ^ np.uint64(1)))
    return int(np.diff(starts, append=len(ordered)).max())


def repeated_line_share(text: str) -> tuple[float, int]:
    """Share of characters in lines that occurred before, and the first such line's place."""
    seen: set[str] = set()
    repeated, place, first = 0, 0, -1
    lines = text.split("\n")
    for line in lines:
        bare = line.strip()
        if bare and bare in seen:
            repeated += len(bare)
            first = place if first < 0 else first
        seen.add(bare)
        place += len(line) + 1
    filled = sum(1 for line in lines if line.strip())
    return (repeated / len(text), max(first, 0)) if filled >= _FEWEST_LINES else (0.0, 0)


def boilerplate_share(text: str) -> tuple[float, int]:
    """Share of lines that hold a phrase of menus, notices and placeholders, and the first such phrase's place."""
    first = _BOILERPLATE.search(text)
    if first is None:
        return 0.0, 0
    lines = [line for line in text.split("\n") if line.strip()]
    return sum(1 for line in lines if _BOILERPLATE.search(line)) / len(lines), first.start()

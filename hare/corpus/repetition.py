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
_LINE_OF_PROSE = 20  # words; a long line counts as so many lines
_PHRASES = (
    "all rights reserved", "privacy policy", "terms of use", "terms of service", "cookie policy", "cookie settings",
    "uses cookies", "accept cookies", "accept all cookies", "enable javascript", "javascript is disabled",
    "javascript is required", "skip to content", "skip to main content", "lorem ipsum", "click here", "subscribe now",
    "subscribe to our", "sign up for", "sign up now", "share this", "share on", "follow us", "read more",
    "related posts", "related articles", "back to top", "log in", "login", "your browser", "page not found",
    "add to cart", "sponsored content", "newsletter", "under construction", "home |",
)
_ANY_PHRASE = re.compile("|".join(map(re.escape, _PHRASES)))


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
    share, at = boilerplate_share(text, count)
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
    ends = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    bounds = np.concatenate(([0], ends, [len(ordered)]))
    return int((bounds[1:] - bounds[:-1]).max())


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


def boilerplate_share(text: str, words: int) -> tuple[float, int]:
    """Share of lines that hold a phrase of menus, notices and placeholders, and the first such phrase's place.

    A text set in a few long lines counts as many short ones.
    """
    lowered = text.lower()
    if not any(phrase in lowered for phrase in _PHRASES):
        return 0.0, 0
    lines = [line for line in lowered.split("\n") if line.strip()]
    first = _ANY_PHRASE.search(lowered)
    hits = sum(1 for line in lines if _ANY_PHRASE.search(line))
    return hits / max(len(lines), words / _LINE_OF_PROSE), first.start() if first else 0

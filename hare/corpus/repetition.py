"""Measures of repetition and of what is no prose (Gopher: Rae et al. 2021, appendix A1; boilerplate lines after C4)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hare.corpus.rules import Rules
from hare.data.document_words import Words, words_of
from hare.data.vocabulary import Vocabulary

_SPAN = 8  # words
_FEWEST_LINES = 4  # below this, repeated lines say nothing
_PLACES = 1 << 14  # of a thousand hashes three in a hundred share theirs with another
_FEWEST_WORDS = 40  # below this, repeated pairs and spans say nothing
_SYMBOLS = ("#", "{", "}", "…", "...", "|", "•")
_LINE_OF_PROSE = 20  # words; a long line counts as so many lines
_PHRASES = (
    "all rights reserved", "privacy policy", "terms of use", "terms of service", "cookie policy", "cookie settings",
    "uses cookies", "accept cookies", "accept all cookies", "enable javascript", "javascript is disabled",
    "javascript is required", "skip to content", "skip to main content", "lorem ipsum", "click here", "subscribe now",
    "subscribe to our", "sign up for", "sign up now", "share this", "share on", "follow us", "read more",
    "related posts", "related articles", "back to top", "log in", "login", "your browser", "page not found",
    "add to cart", "sponsored content", "newsletter", "newsletters", "under construction", "home |",
)


def _phrases_by_start(size: int) -> dict[int, list[re.Pattern[str]]]:
    """Patterns of the phrases of one word, or of two and more, by the hash of their first ``size`` words."""
    patterns: dict[int, list[re.Pattern[str]]] = {}
    for phrase in _PHRASES:
        words = words_of(phrase)
        if min(2, len(words)) == size:
            start = words.hashes[0] if size == 1 else words.ngrams(size)[0]
            literal = re.escape(phrase)
            whole_words = re.compile(rf"{literal}(?<!\w{literal})(?!\w)")  # begins with what can be searched for fast
            patterns.setdefault(int(start), []).append(whole_words)
    return patterns


_PATTERNS = {size: _phrases_by_start(size) for size in (1, 2)}
_KNOWN_STARTS = {size: Vocabulary(patterns) for size, patterns in _PATTERNS.items()}


class Measure(NamedTuple):
    """One number of a document with the bounds that its category sets, and where in the text (characters) it arose."""

    name: str
    value: float
    low: float
    high: float
    at: int = 0


def measures(text: str, rules: Rules) -> Iterator[Measure]:
    """All measures that can lie outside their bounds, cheap ones first."""
    words = words_of(text)
    count = len(words)
    if not count:  # signs alone, where completeness has not refused them
        yield Measure("few words with letters", 0.0, rules.least_alphabetic_share, 1.0)
        return
    low, high = rules.mean_word_length
    yield Measure("mean word length", words.bytes / count, low, high)
    yield Measure("few words with letters", words.with_letters / count, rules.least_alphabetic_share, 1.0)
    symbols = sum(map(text.count, _SYMBOLS))
    yield Measure("symbols", symbols / count, 0.0, rules.most_symbol_share)
    share, at = boilerplate_share(text, words)
    yield Measure("boilerplate lines", share, 0.0, rules.most_boilerplate_lines, at)
    share, at = repeated_line_share(text)
    yield Measure("repeated lines", share, 0.0, rules.most_repeated_lines, at)
    if count >= _FEWEST_WORDS:
        yield from _repeated_words(words, rules)


def _repeated_words(words: Words, rules: Rules) -> Iterator[Measure]:
    """The most frequent pair and the repeated spans of words, each where a look at the sorted pairs allows for it.

    A pair that is frequent enough has an equal so many places on; and a span that repeats begins with such a pair.
    """
    count, pairs = len(words), words.ngrams(2)
    apart = max(1, int(rules.most_repeated_bigram * count / 2 - 1e-6))
    most = _most_repeats(pairs)
    if most < apart and most / (count - _SPAN + 1) <= rules.most_repeated_spans:
        return
    pairs = np.sort(pairs)
    repeats = np.count_nonzero(pairs[1:] == pairs[:-1])
    if repeats >= apart and (pairs[apart:] == pairs[:-apart]).any():  # a group of n holds n - 1 repeats
        yield Measure("one pair of words", 2 * _longest_run(pairs) / count, 0.0, rules.most_repeated_bigram)
    if repeats / (count - _SPAN + 1) > rules.most_repeated_spans:
        spans = np.sort(words.ngrams(_SPAN))
        repeated = np.count_nonzero(spans[1:] == spans[:-1]) / len(spans)
        yield Measure("repeated spans of words", repeated, 0.0, rules.most_repeated_spans)


def _most_repeats(hashes: NDArray[np.uint64]) -> int:
    """No fewer than the ``hashes`` that equal an earlier one: those whose place in a table another one has taken.

    That takes a fraction of the time of sorting them, and few texts repeat so much that they have to be sorted.
    """
    taken = np.zeros(_PLACES, dtype=np.bool_)
    taken[(hashes & np.uint64(_PLACES - 1)).view(np.int64)] = True
    return len(hashes) - np.count_nonzero(taken)


def _longest_run(ordered: NDArray[np.uint64]) -> int:
    """Size of the largest group of equal values in a sorted array."""
    ends = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    return int((ends[1:] - ends[:-1]).max())


def repeated_line_share(text: str) -> tuple[float, int]:
    """Share of characters in lines that occurred before, and the first such line's place."""
    if text.count("\n") < _FEWEST_LINES - 1:
        return 0.0, 0
    filled = list(filter(None, map(str.strip, text.split("\n"))))
    different = set(filled)
    if len(filled) < _FEWEST_LINES or len(different) == len(filled):
        return 0.0, 0
    return (sum(map(len, filled)) - sum(map(len, different))) / len(text), _first_repeated_line(text)


def _first_repeated_line(text: str) -> int:
    """Where the first line begins that occurred before; 0 when none did."""
    seen: set[str] = set()
    place = 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare and bare in seen:
            return place
        seen.add(bare)
        place += len(line) + 1
    return 0


def boilerplate_share(text: str, words: Words) -> tuple[float, int]:
    """Share of lines that hold a phrase of menus, notices and placeholders, and the first such phrase's place.

    A text set in a few long lines counts as many short ones. The words of most texts start no phrase, so that they
    need not be read again.
    """
    patterns = [pattern for size in _PATTERNS for pattern in _begun(words, size)]
    if not patterns:
        return 0.0, 0
    lowered = text.lower()
    places = sorted(match.start() for pattern in patterns for match in pattern.finditer(lowered))
    if not places:
        return 0.0, 0
    hits = len({lowered.rfind("\n", 0, place) for place in places})
    lines = sum(1 for line in lowered.split("\n") if line.strip())
    return hits / max(lines, len(words) / _LINE_OF_PROSE), places[0]


def _begun(words: Words, size: int) -> Iterator[re.Pattern[str]]:
    """Patterns of the phrases whose first ``size`` words occur."""
    for start in words.known(_KNOWN_STARTS[size], size):
        yield from _PATTERNS[size][start]

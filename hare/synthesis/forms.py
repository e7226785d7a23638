"""The forms of D2: the paper's textbook page, and rewrites of a given passage. Each has its own gates.

A weak model rewrites better than it invents (FinePhrase 2026: structured rewrites beat free textbook pages), and what
it adds to a passage is nearly always wrong. So a rewrite is split into questions, rows or sentences, and only the parts
that the passage supports are kept; it passes when enough is left.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from hare.data.text import sentences
from hare.data.words import words
from hare.synthesis.checks.support import borne_out, each_new, facts, kept_sentences, stems, unsupported
from hare.synthesis.tasks.builders import content_words

_BORNE_OUT = 0.75  # share of an answer's content words that occur in one sentence of the passage
_PAIR = re.compile(r"Q(?:uestion)?\s*\d*\s*[:.]\s*(?P<question>[^\n?]{8,200}\?)\s*\n+\s*A(?:nswer)?\s*\d*\s*[:.]\s*"
                   r"(?P<answer>[^\n]{3,400})")
_ROW = re.compile(r"^\|(?P<cells>.+)\|\s*$", re.MULTILINE)
_RULE = re.compile(r"^[\s|:\-]+$")
_WORKED = re.compile(
    r"^Problem:\s*(?P<problem>[^\n]+\?)\s*\n+Solution:\s*(?P<solution>.+?)\n+Answer:\s*(?P<answer>[^\n]+)", re.DOTALL
)


def _answers(question: str, answer: str, passage: str) -> bool:
    """Whether one sentence of the passage shares a content word with the question and holds the answer."""
    asked, told = stems(content_words(question)), facts(answer)
    for sentence in sentences(passage):
        inside = stems(words(sentence)) | facts(sentence)
        if asked & inside and told and len(told & inside) >= _BORNE_OUT * len(told):
            return True
    return False


def faq(text: str, passage: str) -> str:
    """The questions whose answers the passage holds, each once; '' when fewer than two."""
    kept: dict[str, str] = {}
    for match in _PAIR.finditer(text):
        question, answer = match["question"].strip(), match["answer"].strip()
        new = answer not in kept.values() and not facts(answer) <= facts(question)
        whole = answer[-1] in ".!?" and not unsupported(question, passage)
        if new and whole and borne_out(answer, passage) and _answers(question, answer, passage):
            kept.setdefault(question, answer)
    return "\n\n".join(f"Q: {question}\nA: {answer}" for question, answer in kept.items()) if len(kept) >= 2 else ""


def table(text: str, passage: str) -> str:
    """The rows that stem from the passage under their header; '' when fewer than two."""
    rows = [[cell.strip() for cell in match["cells"].split("|")] for match in _ROW.finditer(text)]
    rows = [row for row in rows if not _RULE.match("|".join(row))]
    if not rows or len(rows[0]) < 2:
        return ""
    kept: dict[str, list[str]] = {}
    for row in rows[1:]:
        if len(row) == len(rows[0]) and all(row) and all(_cell_stems(cell, passage) for cell in row):
            kept.setdefault(row[-1].lower(), row)
    kept = {key: row for key, row in kept.items() if row[0].lower() != row[-1].lower()}
    lines = [rows[0], ["---"] * len(rows[0]), *kept.values()]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines) if len(kept) >= 2 else ""


def _cell_stems(cell: str, passage: str) -> bool:
    known = set(words(passage))
    return all(word in known for word in words(cell) if len(word) > 3) and not unsupported(cell, passage)


def rephrasing(text: str, passage: str) -> str:
    """The sentences that the passage supports."""
    return " ".join(kept_sentences(text, passage))


def summary(text: str, passage: str) -> str:
    """The sentences that the passage supports, if they have at most 80 % of its words; otherwise ''."""
    kept = rephrasing(text, passage)
    return kept if 0 < len(words(kept)) <= 0.8 * len(words(passage)) else ""


def tutorial(text: str, passage: str) -> str:
    """The steps that the passage supports, in order; '' when there are fewer than two."""
    steps = [" ".join(block.split()) for block in re.split(r"\n\s*\n|\n(?=Step \d)", text) if block.strip()]
    bodies = [re.sub(r"^Step \d+[.:]\s*", "", step) for step in steps]
    whole = (body for body in dict.fromkeys(bodies) if len(words(body)) >= 8 and body[-1] in ".!?")
    kept = each_new(body for body in whole if borne_out(body, passage))
    return "\n\n".join(f"Step {n}. {body}" for n, body in enumerate(kept, start=1)) if len(kept) >= 2 else ""


def worked_problem(text: str, passage: str) -> str:
    """Problem, solution and answer, if the passage supports all three; otherwise ''."""
    match = _WORKED.search(text.strip())
    if not match or not all(borne_out(part.strip(), passage) for part in match.groups()):
        return ""
    problem, solution, answer = (" ".join(part.split()) for part in match.groups())
    return f"Problem: {problem}\n\nSolution: {solution}\n\nAnswer: {answer}" if answer[-1] in ".!?" else ""


@dataclass(frozen=True)
class Form:
    """One form of D2.

    ``kept(text, passage)`` gives the parts of a rewrite that the passage supports, '' when they are too few; a textbook
    page, which may go beyond its seed, is kept whole.
    """

    kept: Callable[[str, str], str] = lambda text, passage: text
    fewest_words: int = 40
    most_echoed: float = 0.25  # share of the text's word 5-grams that may occur in its prompt
    most_in_d1: float = 0.5  # share of them that may occur in D1
    temperature: float = 0.5

    @property
    def rewrites(self) -> bool:
        """Whether the form keeps to a given passage."""
        return self.most_echoed > 0.25


def _rewrite(kept: Callable[[str, str], str], fewest_words: int) -> Form:
    return Form(kept, fewest_words, most_echoed=0.85, most_in_d1=0.85, temperature=0.0)


UNSUPPORTED = "too little that the passage bears out"
FORMS: dict[str, Form] = {
    "textbook": Form(),
    "rephrasing": _rewrite(rephrasing, 15),
    "faq": _rewrite(faq, 20),
    "table": _rewrite(table, 15),
    "tutorial": _rewrite(tutorial, 30),
    "worked_problem": _rewrite(worked_problem, 30),
    "summary": _rewrite(summary, 15),
}
"""By the name that a prompt file gives."""
# Shares of the requests of D2, about as the kept tokens per second of each form, set before any arm has read what is
# written by them. The embedded generator passes the gates with hardly any FAQ, table or worked problem, and a tutorial
# costs a long prompt.
WEIGHTS: dict[str, float] = {"textbook": 0.75, "rephrasing": 0.15, "summary": 0.1}
EVEN: dict[str, float] = dict.fromkeys(FORMS, 1.0)

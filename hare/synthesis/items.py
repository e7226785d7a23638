"""D3 items: one NLP task each, validated, and worded in natural language."""

import dataclasses
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hare.data.text import words

WORDINGS = Path(__file__).with_name("task_wordings.yaml")
MOST_TOKENS = 512  # the paper's limit for D3, in tokens of Mistral's tokenizer
DETERMINISTIC = "deterministic"
GENERATED = "generated"
SCHEMA = "generated under a schema"
OPEN_SET = "open set"
_LETTERS = "ABCDEFGH"
_LONG_WORD = 12  # letters; longer runs are seldom words, and cost more tokens
_PIECE = re.compile(r"[A-Za-z]+|\d|\s+|[^\sA-Za-z\d]")
_BEFORE_MARK = re.compile(r"\s(?=[^\sA-Za-z])")  # a space that no word takes in


@dataclass(frozen=True)
class Item:
    """One task. ``evidence`` must stand in ``support``: that is what shows the answer to be right.

    ``support`` is the untouched passage; ``passage`` what the reader of the task sees of it, such as a text with a gap.
    ``options`` is empty for open questions. ``source`` is the id of the passage, or of the sample of an open set.
    """

    kind: str
    method: str
    source: str
    part: str  # d1, d2 or the name of an open set
    category: str
    topic: str
    passage: str
    question: str
    answer: str
    support: str
    evidence: str
    options: tuple[str, ...] = ()
    generator: str = ""


def tokens_at_most(text: str) -> int:
    """An upper estimate of the text's length in Mistral's tokenizer, in tokens.

    This stage stands before the tokenizer's, so it counts on the safe side: a token for every three letters begun, for
    every digit and mark and the space before it, and four for a character outside ASCII.
    """
    count = 2 + len(_BEFORE_MARK.findall(text))
    for piece in _PIECE.findall(text):
        if piece[0].isspace():
            count += piece.count("\n") + piece.count("\t") + len(piece) // 4
        elif piece[0].isascii() and piece[0].isalpha():
            count += -(-len(piece) // (3 if len(piece) <= _LONG_WORD else 2))
        else:
            count += 1 if piece.isascii() else 4
    return count


def objection_to(item: Item) -> str | None:
    """Why an item is not valid, or None: the schema, the options, the support for its answer, the length."""
    if not all((item.kind, item.method, item.source, item.part, item.category, item.answer.strip())):
        return "an empty field"
    if item.kind not in wordings():
        return "an unknown kind"
    if item.options and item.answer not in item.options:
        return "the answer is not among the options"
    if len({option.casefold() for option in item.options}) != len(item.options) or len(item.options) == 1:
        return "options that repeat, or only one"
    if len(item.options) > len(_LETTERS):
        return "too many options"
    if not _occurs(item.evidence, item.support):
        return "an answer that the passage does not support"
    if tokens_at_most(rendered(item)) > MOST_TOKENS:
        return "too long"
    return None


def _occurs(evidence: str, support: str) -> bool:
    """Whether the words of the evidence stand in the support, in order and side by side."""
    needle = words(evidence)
    if not needle:
        return bool(evidence) and evidence in support
    return f" {' '.join(needle)} " in f" {' '.join(words(support))} "


@cache
def wordings() -> dict[str, tuple[str, ...]]:
    """Wordings of every kind of task, from the package's own YAML file."""
    return {kind: tuple(texts) for kind, texts in _wordings_file()["wordings"].items()}


@cache
def _wordings_file() -> dict[str, Any]:
    return yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))


def rendered(item: Item) -> str:
    """The task with its answer as one natural-language text; which wording, is drawn by the item's source and kind."""
    draw = random.Random(f"{item.kind}/{item.source}/{item.answer}")
    wording = draw.choice(wordings()[item.kind])
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(_LETTERS, item.options, strict=False))
    answer = f"{_LETTERS[item.options.index(item.answer)]}. {item.answer}" if item.options else item.answer
    return wording.format(passage=item.passage, question=item.question, options=options, answer=answer).strip()


def documents(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Items as rows of D3: the whole task as text, its parts in the metadata."""
    version = f"task_wordings@{_wordings_file()['version']}"
    rows = []
    for number, item in enumerate(items):
        metadata = dataclasses.asdict(item)
        for field in ("passage", "support", "evidence"):
            del metadata[field]
        metadata |= {"source": item.part, "seed_passage": item.source, "prompt": version, "options": list(item.options)}
        rows.append({"text": rendered(item), "id": f"d3/{number:07d}/{item.kind}", "metadata": metadata})
    return rows


def one_of_each(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The first text of each kind of task, in the order of the kinds' first appearance."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row["metadata"]["kind"], row["text"])
    return [f"[{kind}]\n{text}" for kind, text in first.items()]

"""D3 items: one NLP task each, validated, and worded in natural language."""

import dataclasses
import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hare.data.words import words

WORDINGS = Path(__file__).with_name("task_wordings.yaml")
MOST_TOKENS = 512  # the paper's limit for D3, in tokens of Mistral's tokenizer
BUILT = "built"
OPEN_SET = "open set"
_LETTERS = "ABCDEFGH"
_LONG_WORD = 12  # letters; longer runs are rarely words and take more tokens
_BLANK = re.compile(r"\{(\w+)\}")
_PIECE = re.compile(r"[A-Za-z]+|\d|\s+|[^\sA-Za-z\d]")
_BEFORE_MARK = re.compile(r"\s(?=[^\sA-Za-z])")  # a space that no word takes in


@dataclass(frozen=True)
class Item:
    """One task. ``evidence`` must occur in ``support``, which shows that the answer is right.

    ``support`` is the original passage; ``passage`` is the text shown in the task, such as one with a gap.
    ``options`` is empty for open questions. ``source`` is the id of the passage, or of the sample of an open set.
    """

    kind: str
    method: str
    source: str
    part: str  # d1 or the name of an open set
    category: str
    topic: str
    passage: str
    question: str
    answer: str
    support: str
    evidence: str
    options: tuple[str, ...] = ()


def tokens_at_most(text: str) -> int:
    """An upper estimate of the text's length in Mistral's tokenizer, in tokens.

    This stage runs before the tokenizer is chosen, so the estimate is conservative: one token per three letters, per
    digit and punctuation mark and the space before it, and four per character outside ASCII.
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
    """Whether the words of the evidence occur in the support, adjacent and in order."""
    needle = words(evidence)
    if not needle:
        return bool(evidence) and evidence in support
    return f" {' '.join(needle)} " in f" {' '.join(words(support))} "


@cache
def wordings() -> dict[str, tuple[str, ...]]:
    """Wordings of every kind of task: each of its instructions in each layout; labels take turns."""
    read = _wordings_file()
    return {
        kind: tuple(
            _joined(layout, instruction, listed, number)
            for number, (instruction, layout) in enumerate(itertools.product(listed["instructions"], read["layouts"]))
        )
        for kind, listed in read["kinds"].items()
    }


def _joined(layout: str, instruction: str, listed: dict[str, list[str]], number: int) -> str:
    """A layout with instruction and labels filled in; ``number`` selects the labels in turn."""
    label, asked = listed["labels"][number % len(listed["labels"])], listed.get("asked", [""])
    label = label.rstrip(":") if "### {label}" in layout else label
    filled = layout.replace("{instruction}", instruction).replace("{label}", label)
    return filled.replace("{asked}", asked[number % len(asked)])


@cache
def _wordings_file() -> dict[str, Any]:
    return yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))


def rendered(item: Item) -> str:
    """The task with its answer as one text in natural language; the wording is drawn by the item's source and kind.

    Lines of a wording whose field is empty in this kind of task, such as the options of an open question, are left out.
    """
    draw = random.Random(f"{item.kind}/{item.source}")
    wording = draw.choice(wordings()[item.kind])
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(_LETTERS, item.options, strict=False))
    answer = f"{_LETTERS[item.options.index(item.answer)]}. {item.answer}" if item.options else item.answer
    fields = {"passage": item.passage, "question": item.question, "options": options, "answer": answer}
    blocks = (block for block in wording.split("\n\n") if all(fields[name] for name in _BLANK.findall(block)))
    return "\n\n".join(block.format(**fields) for block in blocks).strip()


def with_answers_shuffled(items: Sequence[Item], seed: int) -> list[Item]:
    """The same tasks, each with the answer of another task of its kind, which keeps the form and removes the content.

    For tasks with options the position of the right one is exchanged, so that the answer is still an option.
    """
    by_kind: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        by_kind.setdefault(item.kind, []).append(place)
    shuffled = list(items)
    for kind, places in by_kind.items():
        givers = random.Random(f"{seed}/{kind}").sample(places, len(places))
        for place, giver in zip(places, givers, strict=True):
            shuffled[place] = dataclasses.replace(items[place], answer=_answer_from(items[giver], items[place]))
    return shuffled


def _answer_from(giver: Item, taker: Item) -> str:
    return taker.options[giver.options.index(giver.answer) % len(taker.options)] if taker.options else giver.answer


def documents(items: Sequence[Item], part: str = "d3") -> list[dict[str, Any]]:
    """Items as rows of D3, or of another ``part`` made from them: the task as text, its fields in the metadata."""
    version = f"task_wordings@{_wordings_file()['version']}"
    rows = []
    for number, item in enumerate(items):
        metadata = dataclasses.asdict(item)
        for field in ("passage", "support", "evidence"):
            del metadata[field]
        metadata |= {"source": item.part, "seed_passage": item.source, "prompt": version, "options": list(item.options)}
        rows.append({"text": rendered(item), "id": f"{part}/{number:07d}/{item.kind}", "metadata": metadata})
    return rows


def passage_documents(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The passages of D1 that the items were built from, unchanged, each once, in the order of the items."""
    first = {item.source: item for item in reversed(items) if item.method == BUILT}
    rows = []
    for source in dict.fromkeys(item.source for item in items if item.source in first):
        item = first[source]
        metadata = {
            "kind": "passage", "method": "as it stands", "source": item.part, "seed_passage": source,
            "category": item.category, "topic": item.topic,
        }
        rows.append({"text": item.support, "id": f"d3_passages/{source}", "metadata": metadata})
    return rows


def one_of_each(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The first text of each kind of task, in the order of the kinds' first appearance."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row["metadata"]["kind"], row["text"])
    return [f"[{kind}]\n{text}" for kind, text in first.items()]

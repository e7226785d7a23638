"""Questions made from documents that were kept out of training: passages to read, and D3-style tasks on them.

The tasks come from the same builders and wordings as D3 (`hare.synthesis.tasks.restruct`), so they ask in-domain what
the leaderboard asks from afar. Where D3 itself shows up in what a model can do, it shows here first.
"""

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hare.core.errors import HareError
from hare.core.progress import track
from hare.data.hash_set import HashSet
from hare.data.shards import read_documents
from hare.data.text import rank
from hare.data.words import word_hashes
from hare.decontamination.ngrams import find_matches, ngram_blocks
from hare.decontamination.removal import batches
from hare.synthesis.passages import Passage, passages_of
from hare.synthesis.tasks.builders import BUILDERS
from hare.synthesis.tasks.items import Item, rendered
from hare.synthesis.tasks.restruct import build_items, materials
from hare.synthesis.topics import fit_topics

TEXT, TASKS = "heldout_text", "heldout_tasks"
OVERLAP_WORDS = 8  # the longest n-grams of the paper's rule for D3
_PASSAGES_PER_CATEGORY = 80
_TOPICS = 12
_PASSAGES_PER_TOPIC = 20
_TRUE_FALSE = ("True", "False")


@dataclass(frozen=True)
class Question:
    """What a model is asked about one held-out document: each of ``choices`` is scored as continuation of ``context``.

    ``group`` is the source of a text, or the kind of a task; ``gold`` the number of the right choice. A single choice
    leaves nothing to choose: then only its bits per byte count. ``support`` is the passage as it was written.
    """

    benchmark: str
    group: str
    document: str
    context: str
    choices: tuple[str, ...]
    gold: int
    support: str


def heldout_passages(folder: Path, seed: int) -> list[Passage]:
    """Passages of all held-out documents, in the order of the documents."""
    documents = track(read_documents(folder), "cut held-out text into passages", "documents")
    return [passage for document in documents for passage in passages_of(document, seed)]


def text_questions(
    passages: Sequence[Passage], per_group: int, seed: int, group: Callable[[Passage], str]
) -> list[Question]:
    """One passage per document, of at most ``per_group`` documents of each group: how many bits does its text take?"""
    drawn: dict[str, Passage] = {}
    for passage in sorted(passages, key=lambda passage: rank(seed, passage.id)):
        drawn.setdefault(passage.document, passage)
    chosen = _first_of_each(drawn.values(), group, per_group)
    return [Question(TEXT, group(p), p.document, "", (p.text,), 0, p.text) for p in chosen]


def task_questions(passages: Sequence[Passage], per_kind: int, seed: int) -> list[Question]:
    """About ``per_kind`` tasks of each kind that D3 has and these passages allow.

    Raises:
        HareError: there are too few passages to find topics among them.
    """
    by_rank = sorted(passages, key=lambda passage: rank(seed, passage.id))
    chosen = _first_of_each(by_rank, lambda passage: passage.category, _PASSAGES_PER_CATEGORY)
    topics = max(2, min(_TOPICS, len(chosen) // _PASSAGES_PER_TOPIC))
    fitted = fit_topics([passage.text for passage in chosen], topics, seed)
    available = materials(chosen, fitted.assigned, fitted.model)
    items, _ = build_items(available, per_kind * len(BUILDERS), seed)
    questions = (_task_question(item) for item in items)
    return _first_of_each((q for q in questions if q), lambda question: question.group, per_kind)


def _first_of_each(candidates: Iterable[Any], group: Any, count: int) -> list[Any]:
    """The first ``count`` of each group; groups by name, each in the order given."""
    by_group: dict[str, list[Any]] = {}
    for one in candidates:
        by_group.setdefault(group(one), []).append(one)
    return [one for name in sorted(by_group) for one in by_group[name][:count]]


def _task_question(item: Item) -> Question | None:
    """The item in D3's own words, cut before the answer; None where the wording goes on after it."""
    choices, gold = (item.answer,), 0
    if item.options:
        lettered = zip(string.ascii_uppercase, item.options, strict=False)
        choices, gold = tuple(f"{letter}. {option}" for letter, option in lettered), item.options.index(item.answer)
    elif item.kind == "true_false":
        choices, gold = _TRUE_FALSE, _TRUE_FALSE.index(item.answer)
    whole = rendered(item)
    if not whole.endswith(choices[gold]):
        return None
    head = whole.removesuffix(choices[gold])
    context = head.rstrip()
    spaced = tuple(head[len(context) :] + choice for choice in choices)
    document = item.source.rpartition("#")[0]
    return Question(TASKS, item.kind, document, context, spaced, gold, item.support)


def unseen(
    questions: Sequence[Question], trained_on: Iterable[dict[str, Any]], share: float, fewest: int
) -> tuple[list[Question], pd.DataFrame]:
    """The questions whose passages are not in the training data nearly word for word, and the count of the others.

    ``trained_on`` are documents. A question goes when more than ``share`` of its passage's word 8-grams stand there;
    and so does a group of which fewer than ``fewest`` are left, since each group counts alike. The count has the
    columns benchmark, group, made, overlapping, kept.

    Raises:
        HareError: a held-out document is itself among the training data, or D3 was made from it.
    """
    texts = word_hashes([question.support for question in questions])
    hashes = HashSet(np.concatenate([block[inside] for _, block, inside in ngram_blocks(texts, OVERLAP_WORDS)]))
    documents = {question.document for question in questions}
    hits = [np.zeros(0, np.uint64)]
    for batch in batches(track(trained_on, "compare held-out passages with the training data", "documents")):
        _check_disjoint(documents, batch)
        matches = find_matches(word_hashes([row["text"] for row in batch]), {OVERLAP_WORDS: hashes})
        hits.append(np.unique(matches.hashes[OVERLAP_WORDS]))
    shares = find_matches(texts, {OVERLAP_WORDS: HashSet(np.concatenate(hits))}).shares(OVERLAP_WORDS)
    seen = shares > share  # NaN, a passage of fewer words, is not seen
    counted = pd.DataFrame([(q.benchmark, q.group) for q in questions], columns=["benchmark", "group"])
    counted = counted.assign(made=1, overlapping=seen.astype(int), kept=(~seen).astype(int))
    few = counted.groupby(["benchmark", "group"])["kept"].transform("sum") < fewest
    counted.loc[few, "kept"] = 0
    kept = [question for question, stays in zip(questions, counted["kept"], strict=True) if stays]
    return kept, counted.groupby(["benchmark", "group"], sort=False, as_index=False).sum()


def _check_disjoint(heldout: set[str], rows: list[dict[str, Any]]) -> None:
    trained = {row["id"] for row in rows} | {_seed_document(row["metadata"]) for row in rows}
    if heldout & trained:
        raise HareError(
            f"Held-out documents are among the training data: {', '.join(sorted(heldout & trained)[:3])}.",
            "rerun notebook 01 and all after it: D1 and the held-out documents come from different runs",
        )


def _seed_document(metadata: dict[str, Any]) -> str:
    """The document that a synthetic row was made from; empty where there is none."""
    return metadata.get("seed_passage", "").rpartition("#")[0]

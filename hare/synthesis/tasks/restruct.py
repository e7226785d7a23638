"""D3 "Restruct": passages of D1 turned into NLP tasks, evenly over kinds and categories, every item validated.

D2 is not a source of tasks: a weak model's statements would count as true, and an arm with D3 would also read D2.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hare.core.progress import Progress
from hare.data.text import is_punctuated, rank, sentences
from hare.data.words import words
from hare.synthesis.passages import Passage
from hare.synthesis.tasks.builders import BUILDERS, PUNCTUATED_ONLY, content_words, is_whole, names
from hare.synthesis.tasks.items import Item, objection_to, rendered
from hare.synthesis.tasks.material import Material, Topic
from hare.synthesis.topics import TopicModel

_TOPIC_WORDS = 300
_TOPIC_SENTENCES = 200
Rejected = Counter[tuple[str, str]]  # by kind and objection


def materials(passages: Sequence[Passage], assigned: np.ndarray, model: TopicModel) -> list[Material]:
    """Passages of D1, each with its topic's words, names and sentences; ``assigned`` is int64[passages]."""
    topics = _topics(passages, assigned, model)
    return [Material.of(passage, topics[topic]) for passage, topic in zip(passages, assigned.tolist(), strict=True)]


def _topics(passages: Sequence[Passage], assigned: np.ndarray, model: TopicModel) -> list[Topic]:
    topics = []
    for topic, label in enumerate(model.labels):
        inside = [passage for passage, t in zip(passages, assigned.tolist(), strict=True) if t == topic]
        prose = [passage.text for passage in inside if is_punctuated(passage.text)]
        lower = Counter(w for text in prose for w in sorted(set(content_words(text))) if w.islower())
        named = Counter(name for text in prose for name in sorted(set(names(text))))
        stray = [s for text in prose for s in sentences(text)[1:-1] if 6 <= len(s.split()) <= 40 and is_whole(s)]
        topics.append(Topic(label, _commonest(lower), _commonest(named), tuple(stray[:_TOPIC_SENTENCES])))
    return topics


def _commonest(counts: Counter[str]) -> tuple[str, ...]:
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(ranked[:_TOPIC_WORDS])


def build_items(available: Sequence[Material], wanted: int, seed: int) -> tuple[list[Item], pd.DataFrame]:
    """At most ``wanted`` valid items, as even over kinds and over categories as the passages allow.

    One item after the other: of the kind with the fewest so far, from the category with the fewest so far that still
    has a passage for this kind. Also returns the invalid items, counted: ``kind``, ``objection``, ``items``.
    """
    rejected: Rejected = Counter()
    stock = {kind: _stock(available, kind, rejected, seed) for kind in BUILDERS}
    made: dict[str, list[Item]] = {kind: [] for kind in BUILDERS}
    per_category: Counter[str] = Counter()
    with Progress("build D3 items", wanted, "items") as progress:
        while stock and sum(map(len, made.values())) < wanted:
            kind = min(stock, key=lambda name: len(made[name]))
            item = _next_item(stock[kind], per_category)
            if item is None:
                del stock[kind]
                continue
            made[kind].append(item)
            per_category[item.category] += 1
            progress.advance()
    counted = [(kind, objection, count) for (kind, objection), count in sorted(rejected.items())]
    items = [item for items in made.values() for item in items]
    return items, pd.DataFrame(counted, columns=["kind", "objection", "items"])


def _stock(available: Sequence[Material], kind: str, rejected: Rejected, seed: int) -> dict[str, Iterator[Item]]:
    """Per category the valid items of one kind, built on demand, in an order drawn by hash."""
    by_category: dict[str, list[Material]] = defaultdict(list)
    for material in sorted(available, key=lambda m: rank(seed, f"{kind}/{m.passage.id}")):
        prose = material.passage.category != "code" and is_punctuated(material.passage.text)
        if prose or kind not in PUNCTUATED_ONLY:
            by_category[material.passage.category].append(material)
    return {category: _valid(some, kind, rejected, seed) for category, some in sorted(by_category.items())}


def _valid(available: Sequence[Material], kind: str, rejected: Rejected, seed: int) -> Iterator[Item]:
    for material in available:
        item = BUILDERS[kind](material, random.Random(f"{seed}/{kind}/{material.passage.id}"))
        objection = objection_to(item) if item else None
        if objection:
            rejected[kind, objection] += 1
        elif item:
            yield item


def _next_item(stock: dict[str, Iterator[Item]], per_category: Counter[str]) -> Item | None:
    """The next item of the rarest category that has one; exhausted categories are removed from ``stock``."""
    for category in sorted(stock, key=lambda name: (per_category[name], name)):
        item = next(stock[category], None)
        if item is not None:
            return item
        del stock[category]
    return None


def counted_items(items: Sequence[Item]) -> pd.DataFrame:
    """How many items there are of each kind and category: ``kind``, ``method``, ``category``, ``items``, ``words``."""
    counts: Counter[tuple[str, str, str]] = Counter()
    lengths: Counter[tuple[str, str, str]] = Counter()
    for item in items:
        cell = (item.kind, item.method, item.category)
        counts[cell] += 1
        lengths[cell] += len(words(rendered(item)))
    rows = [(*cell, counts[cell], lengths[cell]) for cell in sorted(counts)]
    return pd.DataFrame(rows, columns=["kind", "method", "category", "items", "words"])


def category_mix(counted: pd.DataFrame) -> pd.DataFrame:
    """Share of each category in the words of D3: ``category``, ``items``, ``words``, ``share``."""
    mix = counted.groupby("category", as_index=False)[["items", "words"]].sum()
    return mix.assign(share=mix["words"] / mix["words"].sum())

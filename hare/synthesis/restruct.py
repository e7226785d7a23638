"""D3 "Restruct": passages of D1 and D2 turned into NLP tasks, evenly over the kinds of task, every item validated."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hare.core.progress import Progress
from hare.data.text import is_punctuated, rank, sentences
from hare.synthesis.builders import BUILDERS, PROSE_ONLY, Builder, Material, Topic, content_words, names
from hare.synthesis.items import Item, objection_to
from hare.synthesis.passages import Passage, passages_of
from hare.synthesis.topics import TopicModel

_D2_SHARE = 1 / 3  # of the items of a kind, at the most: D2 is small and its facts are weak
_TOPIC_WORDS = 300
_TOPIC_SENTENCES = 200


def materials(
    d1: Sequence[Passage], d1_topics: np.ndarray, d2: Sequence[dict[str, Any]], model: TopicModel, seed: int
) -> list[Material]:
    """Passages of D1 (``d1_topics`` is int [passages]) and of the rows of D2, each with what its topic offers."""
    from_d2 = [passage for document in d2 for passage in passages_of(document, seed)]
    d2_topics = model.assign([passage.text for passage in from_d2]) if from_d2 else np.empty(0, int)
    topics = _topics(d1, d1_topics, model)
    placed = [("d1", p, t) for p, t in zip(d1, d1_topics.tolist(), strict=True)]
    placed += [("d2", p, t) for p, t in zip(from_d2, d2_topics.tolist(), strict=True)]
    others = {t: tuple(label for label in model.labels if label != model.labels[t]) for t in range(len(topics))}
    return [Material.of(passage, part, topics[topic], others[topic]) for part, passage, topic in placed]


def _topics(passages: Sequence[Passage], assigned: np.ndarray, model: TopicModel) -> list[Topic]:
    built = []
    for topic, label in enumerate(model.labels):
        own = [passage for passage, t in zip(passages, assigned.tolist(), strict=True) if t == topic]
        prose = [passage.text for passage in own if is_punctuated(passage.text)]
        lower = Counter(w for text in prose for w in sorted(set(content_words(text))) if w.islower())
        named = Counter(name for text in prose for name in sorted(set(names(text))))
        stray = [s for text in prose for s in sentences(text)[1:-1] if 6 <= len(s.split()) <= 40]
        built.append(Topic(
            label, model.terms[topic], _commonest(lower), _commonest(named), tuple(stray[:_TOPIC_SENTENCES])
        ))
    return built


def _commonest(counts: Counter[str]) -> tuple[str, ...]:
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return tuple(ranked[:_TOPIC_WORDS])


def build_items(found: Sequence[Material], wanted: int, seed: int) -> tuple[list[Item], pd.DataFrame]:
    """At most ``wanted`` valid items, as even over the kinds as the passages allow, and the invalid ones counted.

    The count has the columns ``kind``, ``objection`` and ``items``.
    """
    per_kind: dict[str, list[Item]] = {}
    rejected: Counter[tuple[str, str]] = Counter()
    with Progress("build D3 items", len(BUILDERS), "kinds") as progress:
        for kind, builder in BUILDERS.items():
            per_kind[kind] = list(_valid(found, builder, -(-wanted // len(BUILDERS)), rejected, seed))
            progress.advance()
    shares = even_shares({kind: len(items) for kind, items in per_kind.items()}, wanted)
    kept = [item for kind, items in per_kind.items() for item in items[: shares[kind]]]
    counted = [(kind, objection, count) for (kind, objection), count in sorted(rejected.items())]
    return kept, pd.DataFrame(counted, columns=["kind", "objection", "items"])


def counted_items(items: Sequence[Item]) -> pd.DataFrame:
    """How many items there are of each kind, by method and part: ``kind``, ``method``, ``part``, ``items``."""
    counts = Counter((item.kind, item.method, item.part) for item in items)
    return pd.DataFrame([(*key, count) for key, count in sorted(counts.items())],
                        columns=["kind", "method", "part", "items"])


def counted_outcomes(items: Sequence[Item], objections: dict[str, Counter[str]]) -> pd.DataFrame:
    """What became of the items that a model wrote: ``kind``, ``outcome``, ``items``; the accepted ones first."""
    rows = []
    for kind, own in objections.items():
        rows.append((kind, "accepted", sum(item.kind == kind for item in items)))
        rows += [(kind, *entry) for entry in sorted(own.items(), key=lambda entry: (-entry[1], entry[0]))]
    return pd.DataFrame(rows, columns=["kind", "outcome", "items"])


def _valid(
    found: Iterable[Material], builder: Builder, share: int, rejected: Counter[tuple[str, str]], seed: int
) -> Iterator[Item]:
    """Valid items of one kind, up to three times its even share, so that it can stand in for kinds that run dry."""
    kind, made, from_d2 = builder.__name__, 0, 0
    for material in sorted(found, key=lambda m: rank(seed, f"{kind}/{m.passage.id}")):
        if made >= 3 * share or (material.part == "d2" and from_d2 >= share * _D2_SHARE):
            continue
        if kind in PROSE_ONLY and not is_punctuated(material.passage.text):
            continue
        item = builder(material, random.Random(f"{seed}/{kind}/{material.passage.id}"))
        if item is None:
            continue
        objection = objection_to(item)
        if objection:
            rejected[kind, objection] += 1
            continue
        made += 1
        from_d2 += material.part == "d2"
        yield item


def even_shares(available: dict[str, int], wanted: int) -> dict[str, int]:
    """How many of each to take so that ``wanted`` in all are reached, or all are taken, as evenly as possible."""
    shares, left = {}, wanted
    for place, kind in enumerate(sorted(available, key=lambda kind: (available[kind], kind))):
        shares[kind] = min(available[kind], -(-left // (len(available) - place)))
        left -= shares[kind]
    return {kind: shares[kind] for kind in available}

"""Seeds: passages drawn evenly over topics, none a near-copy of another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hare.data.text import rank
from hare.synthesis.checks.support import is_running_text
from hare.synthesis.duplicates import NearDuplicates, signatures
from hare.synthesis.passages import LINE_BASED, Passage


@dataclass(frozen=True)
class Seed:
    """A passage with the topic that it represents."""

    passage: Passage
    topic: int


def makes_good_seed(passage: Passage) -> bool:
    """Whether a model can be prompted with a passage: it is running text, or it is code or mathematics."""
    return passage.category in LINE_BASED or is_running_text(passage.text)


def draw_seeds(passages: Sequence[Passage], topics: np.ndarray, most: int, seed: int) -> list[Seed]:
    """At most ``most`` seeds, taken from each topic in turn, so that topics are as even as possible.

    ``topics`` is int64[passages]. Within a topic the order is drawn by hash, near-duplicates of earlier seeds are
    skipped, and an exhausted topic drops out.
    """
    queues = _queues(passages, topics, seed)
    index, seeds = NearDuplicates(), []
    while len(seeds) < most and any(queues.values()):
        for topic, queue in queues.items():
            passage = _next_distinct(queue, index)
            if passage is not None:
                seeds.append(Seed(passage, topic))
    return seeds[:most]


def _queues(passages: Sequence[Passage], topics: np.ndarray, seed: int) -> dict[int, list[Passage]]:
    """Passages of each topic, last one first to be drawn."""
    queues: dict[int, list[Passage]] = {topic: [] for topic in sorted(set(topics.tolist()))}
    for passage, topic in zip(passages, topics.tolist(), strict=True):
        queues[topic].append(passage)
    for queue in queues.values():
        queue.sort(key=lambda passage: rank(seed, passage.id), reverse=True)
    return queues


def _next_distinct(queue: list[Passage], index: NearDuplicates) -> Passage | None:
    while queue:
        passage = queue.pop()
        signature = signatures([passage.text])[0]
        if index.first_like(signature) is None:
            index.add(passage.id, signature)
            return passage
    return None

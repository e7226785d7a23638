"""D1's text of few topics or of many, equally much of it: the dose of diversity, drawn anew for each training seed.

Topics are clusters of documents (`hare.synthesis.topics`). A small topic has too little text to be read alone: the one
that stands alone is among the largest, another for each seed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hare.core.sections import OF_TOPICS
from hare.data.text import rank
from hare.tokens.tokenizer import Tokenizer

TOPIC_CHARACTERS = 1000  # of a document's beginning, by which its topic is found


def of_seed(weights: Mapping[str, float], seed: int) -> dict[str, float]:
    """An arm's weights by the token files that it reads with this seed: a part that is drawn anew has one per seed."""
    return {f"{part}-seed{seed}" if part.startswith(OF_TOPICS) else part: weight for part, weight in weights.items()}


def topics_of(arms: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    """The arms that read text of so many topics, and how many topics these are."""
    return {
        arm: int(part.removeprefix(OF_TOPICS))
        for arm, weights in arms.items() for part in weights if part.startswith(OF_TOPICS)
    }


@dataclass(frozen=True)
class TopicText:
    """D1's documents that arms may read: ``documents`` has the columns id, topic, tokens."""

    documents: pd.DataFrame

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]], topics: np.ndarray, tokenizer: Tokenizer) -> "TopicText":
        """Of documents and the topic of each, int64[documents]; begin and end of a document are counted as tokens."""
        counted = [(row["id"], len(tokenizer.encode(row["text"])) + 2) for row in rows]
        return cls(pd.DataFrame(counted, columns=["id", "tokens"]).assign(topic=topics))

    @cached_property
    def sizes(self) -> pd.Series:
        """Tokens of each topic, the largest topic first."""
        return self.documents.groupby("topic")["tokens"].sum().sort_values(ascending=False, kind="stable")

    def order(self, seed: int) -> list[int]:
        """The topics in the order in which a seed takes them: number ``seed`` of the largest, then the others by lot.

        So what one seed reads of few topics is of topics that it reads among many, too.
        """
        first = int(self.sizes.index[seed % len(self.sizes)])
        return [first, *sorted(set(self.sizes.index) - {first}, key=lambda topic: rank(seed, f"topic {topic}"))]

    def tokens_for_all(self, most: int, seeds: Sequence[int]) -> int:
        """Tokens that a draw can have with every seed and number of topics: ``most``, unless a topic that stands alone
        has fewer."""
        return min(most, *(int(self.sizes[self.order(seed)[0]]) for seed in seeds))

    def drawn(self, topics: int, tokens: int, seed: int) -> frozenset[str]:
        """Ids of documents of so many topics that together have ``tokens``, the last going beyond.

        The next document is always of the topic that has given least so far, so that all give alike, and a topic that
        has no more is made up for by the others.
        """
        by_lot = self.documents.assign(lot=[rank(seed, name) for name in self.documents["id"]]).sort_values("lot")
        rows = {topic: iter(by_lot[by_lot["topic"] == topic].itertuples()) for topic in self.order(seed)[:topics]}
        given, ids = dict.fromkeys(rows, 0), []
        while rows and sum(given.values()) < tokens:
            topic = min(rows, key=given.__getitem__)
            row = next(rows[topic], None)
            if row is None:
                del rows[topic]
            else:
                ids.append(row.id)
                given[topic] += row.tokens
        return frozenset(ids)

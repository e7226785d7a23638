"""Rules that say, from a document's n-grams found in benchmarks, whether it has to go."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from hare.decontamination.ngrams import Matches


@dataclass(frozen=True)
class ShareRule:
    """The paper's rule: a document goes when more than ``threshold`` of its n-grams occur in benchmarks.

    The paper names several n and not how they are combined. Here each n votes on its own, and the document goes when
    ``any`` of them votes so (the reading that removes most), or only when ``all`` do. An n longer than the document has
    no vote; a document shorter than every n cannot be judged and stays.
    """

    ngrams: tuple[int, ...]
    threshold: float
    combine: Literal["any", "all"] = "any"

    @property
    def name(self) -> str:
        """How tables and figures call the rule."""
        return f"share > {self.threshold:g}, {self.combine} N of {min(self.ngrams)} to {max(self.ngrams)}"

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        shares = np.stack([matches.shares(n) for n in self.ngrams])
        votes = shares > self.threshold  # NaN gives no vote
        if self.combine == "any":
            return votes.any(axis=0)
        judged = ~np.isnan(shares)
        return judged.any(axis=0) & (votes | ~judged).all(axis=0)

    def cannot_judge(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts are shorter than every n."""
        return matches.words.counts < min(self.ngrams)


@dataclass(frozen=True)
class AnyHitRule:
    """Brown et al. 2020 (GPT-3): a document goes when a single one of its n-grams occurs in a benchmark."""

    ngram: int

    @property
    def name(self) -> str:
        """How tables and figures call the rule."""
        return f"any {self.ngram}-gram"

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return matches.counts(self.ngram) > 0


@dataclass(frozen=True)
class SpanRule:
    """A document goes when a run of at least ``words`` words, covered by overlapping n-grams, occurs in benchmarks.

    The run may change from one benchmark item to another where both hold the same n-gram.
    """

    ngram: int
    words: int

    @property
    def name(self) -> str:
        """How tables and figures call the rule."""
        return f"span of {self.words} words"

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return matches.longest_spans(self.ngram)[1] >= self.words


class Rule(Protocol):
    """Whatever can say which documents have to go."""

    @property
    def name(self) -> str:
        """How tables and figures call the rule."""

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""


ANY_HIT = AnyHitRule(13)
LONG_SPAN = SpanRule(8, 20)

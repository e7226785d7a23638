"""Rules that say, from a document's n-grams found in benchmarks, whether it has to go; named by what they measure."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from hare.decontamination.ngrams import Matches


class Rule(Protocol):
    """Whatever can say which documents have to go."""

    @property
    def name(self) -> str:
        """How metrics, tables and figures call the rule."""

    @property
    def ngrams(self) -> tuple[int, ...]:
        """The n that must have been looked up, sorted."""

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""


@dataclass(frozen=True)
class DocumentShareRule:
    """The paper's rule: a document goes when more than ``threshold`` of *its* n-grams occur in benchmarks.

    The paper names several n and not how they are combined. Here each n votes on its own, and the document goes when
    ``any`` of them votes so (the reading that removes most), or only when ``all`` do. An n longer than the document has
    no vote; a document shorter than every n cannot be judged and stays.
    """

    ngrams: tuple[int, ...]
    threshold: float
    combine: Literal["any", "all"] = "any"

    @property
    def name(self) -> str:
        """Such as ``document-share-10-15``."""
        return f"document-share-{min(self.ngrams)}-{max(self.ngrams)}"

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        shares = np.stack([matches.shares(n) for n in self.ngrams])
        votes = shares > self.threshold  # NaN gives no vote
        if self.combine == "any":
            return votes.any(axis=0)
        judged = ~np.isnan(shares)
        return judged.any(axis=0) & (votes | ~judged).all(axis=0)


@dataclass(frozen=True)
class AnyNgramRule:
    """Brown et al. 2020 (GPT-3): a document goes when a single one of its n-grams occurs in a benchmark."""

    ngram: int

    @property
    def name(self) -> str:
        """Such as ``any-13-gram``."""
        return f"any-{self.ngram}-gram"

    @property
    def ngrams(self) -> tuple[int, ...]:
        """The one n."""
        return (self.ngram,)

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return matches.counts(self.ngram) > 0


@dataclass(frozen=True)
class EitherRule:
    """A document goes when any of several rules says so."""

    rules: tuple[Rule, ...]

    @property
    def name(self) -> str:
        """The names of the rules, joined by a plus sign."""
        return "+".join(rule.name for rule in self.rules)

    @property
    def ngrams(self) -> tuple[int, ...]:
        """The n of all of them, sorted."""
        return tuple(sorted({n for rule in self.rules for n in rule.ngrams}))

    def drops(self, matches: Matches) -> np.ndarray:
        """bool[texts]: which texts have to go."""
        return np.any([rule.drops(matches) for rule in self.rules], axis=0)


ANY_13 = AnyNgramRule(13)

"""Benchmark samples for the leakage measure: originals with their rewrites, item by item, and what was left out."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from hare.decontamination import benchmarks
from hare.evaluation.rewrites import Sample, faults, novelty, rewrite
from hare.run.errors import HareError

SURFACE, PUBLISHED = "surface", "published"
_LISTED_OPTIONS = ("arc_challenge", "mmlu")  # multiple choice whose options belong to the question's text
_NO_SPACE = ("hellaswag", "mmlu", "truthfulqa")  # as in the method's code


@dataclass(frozen=True)
class SampleSet:
    """N originals of one benchmark split, and R rewritten versions of each by one rewriter.

    ``rewriter`` is `SURFACE` for the deterministic rewrites made here, `PUBLISHED` for those that the method's authors
    published (GPT-3.5's, of GSM8K alone).
    """

    benchmark: str
    split: str
    rewriter: str
    originals: tuple[str, ...]
    rewrites: tuple[tuple[str, ...], ...]
    skipped: dict[str, int]  # reason → items

    def __post_init__(self) -> None:
        wrong = [len(version) for version in self.rewrites if len(version) != len(self.originals)]
        if wrong or not self.rewrites:
            raise HareError(
                f"{self.name}, {self.split}: {len(self.originals)} originals, but rewritten sets of {wrong or 'none'}.",
                "give every rewritten set one item for each original, in the same order",
            )

    @property
    def name(self) -> str:
        """The benchmark, with the rewriter where it is not ours: the name under which Δ is recorded."""
        return self.benchmark if self.rewriter == SURFACE else f"{self.benchmark}-{self.rewriter}-rewrites"

    @property
    def novelty(self) -> float:
        """Mean share of the rewrites' word 3-grams that their originals do not have."""
        pairs = [(a, b) for version in self.rewrites for a, b in zip(self.originals, version, strict=True)]
        return float(np.mean([novelty(a, b) for a, b in pairs])) if pairs else float("nan")

    def slice(self, start: int, items: int) -> "SampleSet":
        """``items`` of the items from number ``start`` on; they are in a random order already."""
        cut = slice(start, start + items)
        return replace(self, originals=self.originals[cut], rewrites=tuple(version[cut] for version in self.rewrites))


def sample_sets(names: Sequence[str], items: int, seed: int) -> list[SampleSet]:
    """Up to ``items`` samples of the train and of the evaluated split of each benchmark, with every kind of rewrite.

    A benchmark or split that is not available on this machine is left out; `available_table` says which and why.
    """
    return [made for name in names for split in measured_splits(name) for made in _of_split(name, split, items, seed)]


def measured_splits(name: str) -> list[str]:
    """The train split, where it can be read here, and the split that the leaderboard evaluates on."""
    found = benchmarks.splits(name)
    evaluated = next((split for split in ("test", "validation") if split in found), None)
    return [split for split in ("train", evaluated) if split in found]


def rows_of(name: str, split: str) -> list[dict]:
    """All rows of a split, MMLU's over its 57 subjects."""
    return [row for subset in benchmarks.subsets(name) for row in benchmarks.rows(name, split, subset)]


def sample_of(name: str, row: dict) -> Sample:
    """A row as question, options and gold answer.

    Raises:
        HareError: the row has no gold label.
    """
    question, answer = benchmarks.question_answer(name, row)
    options = tuple(benchmarks.texts(name, row)[1:]) if name in _LISTED_OPTIONS else ()
    gold = options.index(answer) if options else -1
    return Sample(question, answer, options, gold, "" if name in _NO_SPACE else " ")


def _of_split(name: str, split: str, items: int, seed: int) -> list[SampleSet]:
    rows = rows_of(name, split)
    order = random.Random(f"{seed} {name} {split}").sample(range(len(rows)), len(rows))
    sets = [_surface_set(name, split, [rows[i] for i in order], items)]
    versions = benchmarks.rewrites(name, split)
    if versions:
        sets.append(_published_set(name, split, [rows[i] for i in order], versions, items))
    return [made for made in sets if made.originals]


def _surface_set(name: str, split: str, rows: Sequence[dict], items: int) -> SampleSet:
    originals, rewritten, skipped = [], [], Counter[str]()
    for row in rows:
        if len(originals) == items:
            break
        try:
            sample = sample_of(name, row)
        except HareError:
            skipped["no gold label"] += 1
            continue
        changed = rewrite(sample)
        reasons = ["empty answer"] if not sample.answer.strip() else faults(sample, changed)
        skipped.update(reasons[:1])
        if not reasons:
            originals.append(sample.text)
            rewritten.append(changed.text)
    return SampleSet(name, split, SURFACE, tuple(originals), (tuple(rewritten),), dict(sorted(skipped.items())))


def _published_set(name: str, split: str, rows: Sequence[dict], versions: Sequence[Sequence[dict]],
                   items: int) -> SampleSet:
    """The published rewrites, joined to their originals by the original's question."""
    by_question = [{row["original_question"]: row for row in version} for version in versions]
    originals, rewritten, skipped = [], [], Counter[str]()
    for row in rows:
        if len(originals) == items:
            break
        sample = sample_of(name, row)
        found = [version.get(sample.question) for version in by_question]
        if not all(found):
            skipped["not in every rewritten set"] += 1
            continue
        originals.append(sample.text)
        rewritten.append([replace(sample, question=it["question"], answer=it["answer"]).text for it in found if it])
    columns = tuple(zip(*rewritten, strict=True)) or tuple(() for _ in versions)
    return SampleSet(name, split, PUBLISHED, tuple(originals), columns, dict(skipped))


def sets_table(sets: Sequence[SampleSet]) -> pd.DataFrame:
    """One row a set: benchmark, split, rewriter, items, versions, novelty, skipped (items), why (reasons)."""
    return pd.DataFrame(
        [(s.benchmark, s.split, s.rewriter, len(s.originals), len(s.rewrites), s.novelty, sum(s.skipped.values()),
          "; ".join(f"{reason}: {count}" for reason, count in s.skipped.items())) for s in sets],
        columns=["benchmark", "split", "rewriter", "items", "versions", "novelty", "skipped", "why"],
    )


def missing(names: Sequence[str]) -> dict[str, str]:
    """Benchmarks, or parts of them, that cannot be read on this machine, and what would help."""
    return {name: benchmarks.available(name).why for name in names if benchmarks.available(name).why}

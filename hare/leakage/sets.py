"""Benchmark samples for the leakage measure: originals with their rewrites, item by item, and what was left out."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from hare.benchmarks import registry as benchmarks
from hare.benchmarks.rewrites import Sample, faults, novelty, rewrite
from hare.core.errors import HareError

SURFACE, PUBLISHED = "surface", "published"
_EMPTY = "empty answer"


@dataclass(frozen=True)
class SampleSet:
    """N originals of one benchmark split, and R rewritten versions of each by one rewriter.

    ``rewriter`` is `SURFACE` for the deterministic rewrites made here,
    `PUBLISHED` for those that the method's authors published (GPT-3.5's, of GSM8K alone). ``answer_starts``: the
    character at which the answer begins, in the originals and then in each version; empty where it is not known.
    """

    benchmark: str
    split: str
    rewriter: str
    originals: tuple[str, ...]
    rewrites: tuple[tuple[str, ...], ...]
    skipped: dict[str, int]  # reason → items
    answer_starts: tuple[tuple[int, ...], ...] = ()
    made_by: str = "rules"

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
        return recorded_name(self.benchmark, self.rewriter)

    @property
    def novelty(self) -> float:
        """Mean share of the rewrites' word 3-grams that their originals do not have."""
        pairs = [(a, b) for version in self.rewrites for a, b in zip(self.originals, version, strict=True)]
        return float(np.mean([novelty(a, b) for a, b in pairs])) if pairs else float("nan")

    def slice(self, start: int, items: int) -> "SampleSet":
        """``items`` of the items from number ``start`` on; they are in a random order already."""
        cut = slice(start, start + items)
        return replace(self, originals=self.originals[cut], rewrites=tuple(version[cut] for version in self.rewrites),
                       answer_starts=tuple(starts[cut] for starts in self.answer_starts))

    def records(self) -> Iterator[dict[str, Any]]:
        """The set as rows that say where each rewrite comes from, to be kept."""
        for number, version in enumerate(self.rewrites):
            for original, rewritten in zip(self.originals, version, strict=True):
                yield {"benchmark": self.benchmark, "split": self.split, "rewriter": self.rewriter,
                       "made_by": self.made_by, "version": number, "original": original, "rewritten": rewritten,
                       "novelty": round(novelty(original, rewritten), 4)}


@dataclass
class _Kept:
    """Items of a set that is being made, and why others are left out."""

    originals: list[Sample] = field(default_factory=list)
    rewritten: list[list[Sample]] = field(default_factory=list)  # by item, then by version
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, original: Sample, versions: list[Sample]) -> None:
        self.originals.append(original)
        self.rewritten.append(versions)

    def made(self, name: str, split: str, rewriter: str, versions: int, made_by: str) -> SampleSet:
        columns = tuple(zip(*self.rewritten, strict=True)) or tuple(() for _ in range(versions))
        texts = [tuple(sample.text for sample in column) for column in (self.originals, *columns)]
        starts = tuple(tuple(len(sample.prompt) for sample in column) for column in (self.originals, *columns))
        return SampleSet(name, split, rewriter, texts[0], tuple(texts[1:]), dict(sorted(self.skipped.items())), starts,
                         made_by)


def recorded_name(benchmark: str, rewriter: str) -> str:
    """The benchmark; with the rewriter, such as ``gsm8k-published-rewrites``, where the rewrites are not ours."""
    return benchmark if rewriter == SURFACE else f"{benchmark}-{rewriter}-rewrites"


def sample_sets(names: Sequence[str], items: int, seed: int) -> list[SampleSet]:
    """Up to ``items`` samples of the train and of the evaluated split of each benchmark, with every kind of rewrite.

    A benchmark or split that is not available on this machine is left out; `missing` says which and why.
    """
    return [made for name in names for split in measured_splits(name) for made in _of_split(name, split, items, seed)]


def measured_splits(name: str) -> list[str]:
    """The train split, where it can be read here, and the split that the leaderboard evaluates on."""
    splits = benchmarks.splits(name)
    return [split for split in ("train", evaluated_split(name)) if split in splits]


def evaluated_split(name: str) -> str:
    """The split that the leaderboard evaluates on: test, or validation where test has no labels."""
    splits = benchmarks.splits(name)
    return next((split for split in ("test", "validation") if split in splits), "")


def rows_of(name: str, split: str) -> list[dict]:
    """All rows of a split, MMLU's over its 57 subjects."""
    return [row for subset in benchmarks.subsets(name) for row in benchmarks.rows(name, split, subset)]


def drawn_rows(name: str, split: str, seed: int) -> list[dict]:
    """The same rows in a random order."""
    rows = rows_of(name, split)
    return random.Random(f"{seed} {name} {split}").sample(rows, len(rows))


def sample_of(name: str, row: dict) -> Sample:
    """A row as question, options and gold answer.

    Raises:
        HareError: the row has no gold label.
    """
    question, answer = benchmarks.question_answer(name, row)
    spec = benchmarks.spec_of(name)
    options = tuple(spec.options(row)) if spec.leakage_lists_options else ()
    gold = options.index(answer) if options else -1
    return Sample(question, answer, options, gold, spec.leakage_glue)


def usable_samples(name: str, rows: Sequence[dict], skipped: Counter[str]) -> Iterator[tuple[dict, Sample]]:
    """Rows with their samples; those without a gold label or with an empty answer are counted in ``skipped``."""
    for row in rows:
        try:
            sample = sample_of(name, row)
        except HareError:
            skipped["no gold label"] += 1
            continue
        if not sample.answer.strip():
            skipped[_EMPTY] += 1
            continue
        yield row, sample


def _of_split(name: str, split: str, items: int, seed: int) -> list[SampleSet]:
    rows = drawn_rows(name, split, seed)
    sets = [_surface_set(name, split, rows, items)]
    versions = benchmarks.rewrites(name, split)
    if versions:
        sets.append(_published_set(name, split, rows, versions, items))
    return [made for made in sets if made.originals]


def _surface_set(name: str, split: str, rows: Sequence[dict], items: int) -> SampleSet:
    kept = _Kept()
    for _, sample in usable_samples(name, rows, kept.skipped):
        if len(kept.originals) == items:
            break
        changed = rewrite(sample)
        reasons = faults(sample, changed)
        kept.skipped.update(reasons[:1])
        if not reasons:
            kept.add(sample, [changed])
    return kept.made(name, split, SURFACE, 1, "rules")


def _published_set(name: str, split: str, rows: Sequence[dict], versions: Sequence[Sequence[dict]],
                   items: int) -> SampleSet:
    """The published rewrites, joined to their originals by the original's question."""
    by_question = [{row["original_question"]: row for row in version} for version in versions]
    kept = _Kept()
    for _, sample in usable_samples(name, rows, kept.skipped):
        if len(kept.originals) == items:
            break
        rewritten = [version.get(sample.question) for version in by_question]
        if not all(rewritten):
            kept.skipped["not in every rewritten set"] += 1
        elif not all(version["answer"].strip() for version in rewritten if version):
            kept.skipped[f"{_EMPTY} in a rewritten set"] += 1
        else:
            kept.add(sample, [replace(sample, question=version["question"], answer=version["answer"])
                              for version in rewritten if version])
    return kept.made(name, split, PUBLISHED, len(versions), "gpt-3.5-turbo, by the method's authors")


def sets_table(sets: Sequence[SampleSet]) -> pd.DataFrame:
    """One row per set.

    Columns: benchmark, split, rows_from ("index archive", or "extra data" where originals or rewrites are of
    ``$HARE_EXTRA_DATA``), rewriter, items, versions, novelty, skipped (items), why (reasons).
    """
    return pd.DataFrame(
        [(s.benchmark, s.split, _rows_from(s), s.rewriter, len(s.originals), len(s.rewrites), s.novelty,
          sum(s.skipped.values()), "; ".join(f"{reason}: {count}" for reason, count in s.skipped.items()))
         for s in sets],
        columns=["benchmark", "split", "rows_from", "rewriter", "items", "versions", "novelty", "skipped", "why"],
    )


def _rows_from(samples: SampleSet) -> str:
    return "extra data" if samples.rewriter == PUBLISHED else benchmarks.rows_from(samples.benchmark, samples.split)


def missing(names: Sequence[str]) -> dict[str, str]:
    """Benchmarks, or parts of them, that cannot be read on this machine, and what would help."""
    return {name: benchmarks.available(name).why for name in names if benchmarks.available(name).why}

"""Benchmark items planted at random into training text, each a number of times that a lot decides.

Items are assigned to doses at random, so that items never planted are exchangeable with planted ones: whatever a model
does otherwise with planted items is an effect of the leak, and no rewriting is needed to know what it would have done
without.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hare.benchmarks import registry as benchmarks
from hare.benchmarks.rewrites import faults, rewrite
from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.leakage.sets import drawn_rows, measured_splits, usable_samples
from hare.tokens.packed import TOKEN_TYPE
from hare.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class LeakItem:
    """One benchmark item as it is planted and as it is asked.

    ``text``: question, options and gold answer; ``answer_start``: the character at which the answer begins;
    ``rewritten``: the same by our rules; ``given``: the same as the benchmark's published rewrites have it, empty where
    there are none; ``context`` and ``choices``: the cloze form, each choice with its leading space, the gold one first.
    """

    text: str
    answer_start: int
    rewritten: str
    given: str
    context: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class LeakItems:
    """Items in random order, and why others were left out: reason → how many."""

    items: tuple[LeakItem, ...]
    skipped: dict[str, int]

    def __len__(self) -> int:
        return len(self.items)


def leak_items(benchmark: str, count: int, tokenizer: Tokenizer, tokens: tuple[int, int], seed: int) -> LeakItems:
    """``count`` items of a benchmark, of the evaluated split first and then of the train split.

    Left out, and counted by reason: items without a gold answer or without others to choose it from, those that the
    rewriter cannot change soundly, those of fewer or more ``tokens`` than the two given, and copies of another item.

    Raises:
        HareError: too few are left.
    """
    skipped: Counter[str] = Counter()
    items: list[LeakItem] = []
    known: set[str] = set()
    least, most = tokens
    for item in _candidates(benchmark, seed, skipped):
        size = len(tokenizer.encode(item.text))
        if not item.choices[1:]:
            skipped["no other answer to choose"] += 1
        elif item.text in known:
            skipped["the same as another item"] += 1
        elif size < least or size > most:
            skipped[f"fewer than {least} tokens" if size < least else f"more than {most} tokens"] += 1
        else:
            items.append(item)
            known.add(item.text)
        if len(items) == count:
            return LeakItems(tuple(items), dict(sorted(skipped.items())))
    reasons = ", ".join(f"{reason}: {number}" for reason, number in sorted(skipped.items()))
    reasons = reasons or benchmarks.available(benchmark).why or "none left out"
    raise HareError(f"leak_items asks for {count} items of {benchmark}, but only {len(items)} can be used ({reasons}).",
                    "lower leak_items, or choose a larger leak_benchmark")


def _candidates(benchmark: str, seed: int, skipped: Counter[str]) -> Iterator[LeakItem]:
    spec = benchmarks.spec_of(benchmark)
    for split in reversed(measured_splits(benchmark)):
        versions = benchmarks.rewrites(benchmark, split)
        given = [{row["original_question"]: row for row in version} for version in versions]
        for row, sample in usable_samples(benchmark, drawn_rows(benchmark, split, seed), skipped):
            changed = rewrite(sample)
            reasons = faults(sample, changed)
            if reasons:
                skipped.update(reasons[:1])
                continue
            published = given[0].get(sample.question) if given else None
            context, answer = spec.cloze(row)
            others = [f" {option}" for option in spec.options(row) if option != sample.answer]
            yield LeakItem(sample.text, len(sample.prompt), changed.text,
                           f"{published['question']}{sample.glue}{published['answer']}" if published else "",
                           context, (answer, *others))


def assigned(items_per_dose: dict[int, int], seed: int) -> np.ndarray:
    """How often each item is planted: int64[items], the doses dealt out at random; 0 is never.

    Raises:
        HareError: a dose has no item.
    """
    empty = [dose for dose, items in items_per_dose.items() if items < 1]
    if empty:
        raise HareError(f"leak_items gives dose {empty[0]} no item.", "give every dose at least one item")
    times = np.repeat(list(items_per_dose), list(items_per_dose.values()))
    return np.random.default_rng([seed, 0]).permutation(times)


def planted_tokens(items: Sequence[LeakItem], times: np.ndarray, tokenizer: Tokenizer) -> int:
    """Tokens that all planted occurrences take together, begin and end of each counted; ``times``: int64[items]."""
    sizes = np.array([len(ids) + 2 for ids in tokenizer.encode_batch([item.text for item in items])])
    return int((sizes * times).sum())


def plant(items: Sequence[LeakItem], times: np.ndarray, tokenizer: Tokenizer, source: Path, target: Path, tokens: int,
          seed: int) -> None:
    """Write a token file of at least ``tokens`` tokens: documents of ``source``, with the items between them.

    Item k stands ``times[k]`` times, int64[items], each time as a document of its own between two others, all places
    equally likely. Where ``source`` is shorter than what is needed, it starts again from its beginning.
    """
    rng = np.random.default_rng([seed, 1])
    encoded = [np.array([tokenizer.begin, *ids, tokenizer.end], TOKEN_TYPE)
               for ids in tokenizer.encode_batch([item.text for item in items])]
    planted = [encoded[number] for number in np.repeat(np.arange(len(items)), times)]
    text = _from_start(np.memmap(source, TOKEN_TYPE, "r"), tokens - sum(map(len, planted)))
    ends = np.concatenate(([0], np.flatnonzero(text == tokenizer.end) + 1))
    places = np.sort(ends[rng.integers(len(ends), size=len(planted))])
    order = rng.permutation(len(planted))
    pieces = np.split(text, places)
    joined = [pieces[0], *(part for number, piece in zip(order, pieces[1:], strict=True)
                           for part in (planted[number], piece))]
    with written_whole(target) as temporary:
        np.concatenate(joined).tofile(temporary)


def _from_start(text: np.ndarray, tokens: int) -> np.ndarray:
    """The first ``tokens`` tokens, uint16[tokens], from the start again as often as that takes."""
    return np.resize(text, max(0, tokens))

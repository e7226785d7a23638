"""Deterministic rewrites of benchmark samples: the same task, with its answer, in other words and another order.

The paper had GPT-3.5 rewrite every sample, and its rewritten sets are not published except for GSM8K's. These rewrites
need no model, so everyone gets the same ones, and each is checked (`faults`). They read less naturally than those of a
language model: names, numbers and word order change, so that every model, leaked or not, finds them harder, by several
times as much as GPT-3.5's. Δ by these rewrites is therefore reported minus that of items
that were never planted. How much they change is measured (`novelty`) and reported beside it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from hare.benchmarks.rewrites_numbers import calculations_hold, exchanged, other_numbers
from hare.benchmarks.rewrites_order import move_clauses, other_order, question_first, refers_by_place, swap_pairs
from hare.benchmarks.rewrites_words import exchange, exchange_words, other_names, quantities, respell_numbers

_CALCULATION = re.compile(r"<<.*?>>|#### .*|[^\s]*[=+*/][^\s]*")  # GSM8K's worked steps
_LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Sample:
    """One benchmark sample; ``options`` are listed in the question's text, ``answer`` is the gold text.

    ``gold`` is the index of the right option, and -1 where there are no options. ``numbers``: pairs of an original
    value and the one that replaces it, in the question and, recomputed, in the answer.
    """

    question: str
    answer: str
    options: tuple[str, ...] = ()
    gold: int = -1
    glue: str = " "  # between question and answer; the method's code has none for HellaSwag, MMLU and TruthfulQA
    numbers: tuple[tuple[Fraction, Fraction], ...] = ()

    @property
    def prompt(self) -> str:
        """The text before the answer: the question with its lettered options."""
        listed = "".join(f" {letter}. {option}" for letter, option in zip(_LETTERS, self.options, strict=False))
        return f"{self.question}{listed}{self.glue}"

    @property
    def text(self) -> str:
        """What the leakage measure reads: `prompt`, then the answer."""
        return self.prompt + (f"{_LETTERS[self.gold]}. {self.answer}" if self.options else self.answer)


def rewrite(sample: Sample) -> Sample:
    """The sample in other words and order; equal samples give equal rewrites on every machine.

    Changes, in this order: options are reordered; numbers of a worked problem are replaced and its solution recomputed;
    names are replaced; small numbers of the question change between digits and words; contractions, phrases, verb forms
    and words are replaced; clauses and pairs of words are swapped; the question moves before the text that it is about.
    """
    draw = int.from_bytes(hashlib.sha256(sample.text.encode()).digest()[:8], "big")
    changed = _exchange_numbers(_reorder_options(sample, draw), draw)
    names = other_names(changed.text, draw)
    changed = _each_text(changed, lambda text: exchange(text, names, keep_case=False))
    changed = replace(changed, question=_outside_calculations(respell_numbers, changed.question))
    changed = _each_text(changed, lambda text: _outside_calculations(exchange_words, text))
    changed = _each_text(changed, lambda text: swap_pairs(move_clauses(text)))
    return replace(changed, question=question_first(changed.question))


def faults(original: Sample, rewritten: Sample) -> list[str]:
    """What is wrong with a rewrite, in words; empty when it may be used."""
    reasons = []
    numbers = dict(rewritten.numbers)
    if rewritten.text == original.text:
        reasons.append("nothing changed")
    if not rewritten.question.strip() or not rewritten.answer.strip():
        reasons.append("a part is empty")
    if quantities(exchanged(original.question, numbers)) != quantities(rewritten.question):
        reasons.append("the numbers of the question changed")
    if _CALCULATION.findall(exchanged(original.answer, numbers)) != _CALCULATION.findall(rewritten.answer):
        reasons.append("the calculation in the answer changed")
    if numbers and not calculations_hold(rewritten.answer):
        reasons.append("the calculation in the answer is wrong")
    if rewritten.options and rewritten.options[rewritten.gold] != rewritten.answer:
        reasons.append("the answer is no longer the right option")
    if len(set(rewritten.options)) != len(set(original.options)):
        reasons.append("two options became one")
    if not 0.6 < len(rewritten.text) / len(original.text) < 1.6:
        reasons.append("the length changed too much")
    return reasons


def novelty(original: str, rewritten: str, words: int = 3) -> float:
    """Share of the rewrite's word n-grams that the original lacks: 0 for an unchanged text, 1 for nothing in common."""
    before, after = (_word_ngrams(text, words) for text in (original, rewritten))
    total = sum(after.values())
    return sum((after - before).values()) / total if total else 0.0


def _word_ngrams(text: str, words: int) -> Counter[tuple[str, ...]]:
    parts = text.split()
    return Counter(tuple(parts[i: i + words]) for i in range(len(parts) - words + 1))


def _each_text(sample: Sample, change: Callable[[str], str]) -> Sample:
    """Apply ``change`` to question, options and answer alike, so that the answer stays the right option."""
    return replace(sample, question=change(sample.question), answer=change(sample.answer),
                   options=tuple(change(option) for option in sample.options))


def _reorder_options(sample: Sample, draw: int) -> Sample:
    if len(sample.options) < 2 or refers_by_place(sample.options):
        return sample
    order = other_order(len(sample.options), draw)
    return replace(sample, options=tuple(sample.options[old] for old in order), gold=order.index(sample.gold))


def _exchange_numbers(sample: Sample, draw: int) -> Sample:
    """Only a solution that shows its arithmetic can be recomputed."""
    numbers = {} if sample.options else other_numbers(sample.question, sample.answer, draw)
    changed = replace(sample, numbers=tuple(sorted(numbers.items())))
    return replace(changed, question=exchanged(sample.question, numbers), answer=exchanged(sample.answer, numbers))


def _outside_calculations(change: Callable[[str], str], text: str) -> str:
    pieces, last = [], 0
    for match in _CALCULATION.finditer(text):
        pieces += [change(text[last: match.start()]), match[0]]
        last = match.end()
    return "".join([*pieces, change(text[last:])])

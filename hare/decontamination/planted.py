"""Planted truth: benchmark items, changed in known ways, and clean text of the same shape.

What a rule finds of the first is its detection rate, what it drops of the second its false-positive rate.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from textwrap import wrap

import numpy as np
import pandas as pd

from hare.benchmarks.forms import without_calculator_notes
from hare.benchmarks.registry import SPECS, question_answer, rewrites, spec_of
from hare.benchmarks.rewrites import Sample, faults, rewrite
from hare.core.errors import HareError
from hare.core.statistics import wilson_interval
from hare.data.words import word_hashes, word_spans, words
from hare.decontamination.index import BenchmarkIndex, Item
from hare.decontamination.ngrams import find_matches
from hare.decontamination.removal import batches
from hare.decontamination.rules import Rule

_NUMBER = re.compile(r"\d+")
_CLAUSE = re.compile(r"[^.,;:?!\n]+")
_PHRASE_STARTS = frozenset(
    ["a", "an", "the", "of", "in", "on", "at", "to", "for", "from", "with", "by", "and", "or", "but", "that", "which",
     "who", "is", "are", "was", "were", "has", "have", "had", "do", "does", "did", "will", "would", "can", "could"])
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_DOCUMENT_WORDS = 400  # of the clean documents that items are planted in and clean passages cut from
_DOCUMENT_CHARACTERS = 4_000  # of a clean document that are used at the most
CLEAN, CLEAN_DOCUMENTS = "clean_passages", "clean_documents"
BASE_RATE = 0.001  # documents that hold a benchmark item, for the precision that is reported

# A case is a list of documents that hold one item together: it is detected when any of them is dropped.
Case = list[str]
Change = Callable[[Item, str, np.random.Generator], Case | None]


def item_text(item: Item, order: Sequence[int] | None = None) -> str:
    """An item as a training sample would hold it: question, options in ``order`` where it has any, gold answer."""
    question, answer = question_answer(item.benchmark, item.row)
    spec = spec_of(item.benchmark)
    options = spec.options(item.row)
    return spec.form.sample(question, answer, [options[place] for place in order or range(len(options))])


def _verbatim(item: Item, _: str, __: np.random.Generator) -> Case:
    return [item_text(item)]


def _case_and_punctuation(item: Item, _: str, __: np.random.Generator) -> Case:
    return [re.sub(r"[^\w\s]", " ", item_text(item)).upper().replace(" ", "  -  ")]


def _options_reordered(item: Item, _: str, rng: np.random.Generator) -> Case | None:
    spec = spec_of(item.benchmark)
    if not spec.form.lettered:
        return None
    return [item_text(item, _other_order(len(spec.options(item.row)), rng))]


def _other_order(count: int, rng: np.random.Generator) -> list[int]:
    """An order of 0 … count − 1 (at least two) that is not the natural one."""
    order = rng.permutation(count).tolist()
    return order if order != sorted(order) else [*order[1:], order[0]]


def _numbers_changed(item: Item, _: str, rng: np.random.Generator) -> Case | None:
    text = item_text(item)
    if not _NUMBER.search(text):
        return None
    return [_NUMBER.sub(lambda match: _other_number(match.group(), rng), text)]


def _other_number(digits: str, rng: np.random.Generator) -> str:
    """Another number of as many digits."""
    return "".join(str((int(digit) + int(rng.integers(1, 10))) % 10) for digit in digits)


def _sentences_shuffled(item: Item, _: str, rng: np.random.Generator) -> Case | None:
    sentences = _SENTENCE_END.split(item_text(item))
    if len(sentences) < 3:
        return None
    return [" ".join(sentences[place] for place in _other_order(len(sentences), rng))]


def _word_order(item: Item, _: str, __: np.random.Generator) -> Case:
    """Phrases of each clause in mirrored order, as in a word-for-word translation into a head-final language."""
    return [_CLAUSE.sub(lambda match: _mirrored(match.group()), item_text(item))]


def _mirrored(clause: str) -> str:
    phrases: list[list[str]] = []
    for word in clause.split():
        opens = word.lower() in _PHRASE_STARTS and not (phrases and phrases[-1][-1].lower() in _PHRASE_STARTS)
        if opens or not phrases:
            phrases.append([])
        phrases[-1].append(word)
    lead = clause[: len(clause) - len(clause.lstrip())]
    return lead + " ".join(word for phrase in reversed(phrases) for word in phrase)


def _paraphrased(item: Item, _: str, __: np.random.Generator) -> Case | None:
    """The item as the rewriter by rule puts it: other words, names, numbers, order of options, clauses, sentences."""
    question, answer = question_answer(item.benchmark, item.row)
    spec = spec_of(item.benchmark)
    options = tuple(spec.options(item.row)) if spec.form.lettered else ()
    sample = Sample(question, answer, options, options.index(answer) if options else -1)
    changed = rewrite(sample)
    if faults(sample, changed):
        return None
    return [spec.form.sample(changed.question, changed.answer, changed.options)]


def _split_across_documents(item: Item, clean: str, _: np.random.Generator) -> Case:
    """Each half of the item beside as much clean text, as when a document is cut into chunks."""
    text = item_text(item)
    spans, host = word_spans(text), word_spans(clean)
    middle = max(1, len(spans) // 2)
    halves = text[: spans[middle - 1][1]], text[spans[middle - 1][1] :]
    padding = clean[: host[min(middle, len(host)) - 1][1]]
    return [f"{padding}\n{halves[0]}", f"{halves[1]}\n{padding}"]


def _inside_a_document(item: Item, clean: str, _: np.random.Generator) -> Case:
    """The whole item as a paragraph of its own in the middle of a long clean document."""
    return [_inside(clean, item_text(item), "\n")]


def _inside(clean: str, text: str, around: str) -> str:
    """A text in the middle of a clean document, with ``around`` before and after it."""
    spans = word_spans(clean)
    middle = spans[len(spans) // 2][0]
    return f"{clean[:middle].rstrip()}{around}{text}{around}{clean[middle : spans[-1][1]]}"


def _hard_wrapped(item: Item, clean: str, rng: np.random.Generator) -> Case:
    """The whole item inside a document, broken into short lines as in an e-mail or a listing, quoted or indented."""
    width, prefix = int(rng.integers(24, 72)), ("", "> ", "    ", "# ")[int(rng.integers(4))]
    lines = [part for line in item_text(item).splitlines() for part in wrap(line, width)]
    return [_inside(clean, "\n".join(prefix + line for line in lines), "\n")]


def _inline(item: Item, clean: str, _: np.random.Generator) -> Case:
    """Question and gold answer in the middle of a sentence of a document: no label, no line of their own."""
    question, answer = question_answer(item.benchmark, item.row)
    text = " ".join(f"{question} {without_calculator_notes(answer)}".split())
    return [_inside(" ".join(clean.split()), text, " ")]


CHANGES: dict[str, Change] = {
    "verbatim": _verbatim,
    "case_and_punctuation": _case_and_punctuation,
    "options_reordered": _options_reordered,
    "numbers_changed": _numbers_changed,
    "sentences_shuffled": _sentences_shuffled,
    "word_order": _word_order,
    "paraphrased": _paraphrased,
    "split_across_documents": _split_across_documents,
    "inside_a_document": _inside_a_document,
    "hard_wrapped": _hard_wrapped,
    "inline": _inline,
}


def plant(index: BenchmarkIndex, clean: Sequence[str], count: int, seed: int) -> dict[str, list[Case]]:
    """Up to ``count`` cases of every kind, from items drawn evenly over the benchmarks, and clean ones.

    ``clean``: documents, at least one with words. ``rewritten`` (by GPT-3.5, of GSM8K) is a kind only where those
    rewrites are at hand. ``CLEAN`` cases are cut to the lengths of the verbatim ones, five for each.

    Raises:
        HareError: no clean document has a word.
    """
    rng = np.random.default_rng(seed)
    clean = [text for text in clean if words(text[:_DOCUMENT_CHARACTERS])]
    if not clean:
        raise HareError("There is no clean text to plant benchmark items in.", "check that corpus/heldout is not empty")
    items = _drawn(index, 4 * count, rng)
    planted: dict[str, list[Case]] = {}
    for kind, change in CHANGES.items():
        cases = (change(item, _clean_document(clean, rng), rng) for item in items)
        planted[kind] = list(islice((case for case in cases if case is not None), count))
    rewritten = [[spec.form.sample(row["question"], row["answer"], ())] for spec in SPECS.values()
                 for split in spec.sources for rows in rewrites(spec.name, split) for row in rows]
    if rewritten:
        planted["rewritten"] = [rewritten[place] for place in rng.permutation(len(rewritten))[:count]]
    lengths = [len(word_spans(case[0])) for case in planted["verbatim"]] * 5
    planted[CLEAN] = [[_excerpt(_clean_document(clean, rng), length, rng)] for length in lengths]
    return planted


def clean_documents(clean: Sequence[str], count: int, seed: int) -> list[str]:
    """Clean documents of the length of those that items are planted in, to set a threshold on."""
    rng = np.random.default_rng(seed)
    return [_clean_document(clean, rng) for _ in range(count)]


def _clean_document(clean: Sequence[str], rng: np.random.Generator) -> str:
    """`_DOCUMENT_WORDS` words of clean text, from as many documents as that takes."""
    text = ""
    while len(spans := word_spans(text)) < _DOCUMENT_WORDS:
        text += clean[int(rng.integers(len(clean)))][:_DOCUMENT_CHARACTERS] + "\n"
    return text[: spans[_DOCUMENT_WORDS - 1][1]]


def _drawn(index: BenchmarkIndex, count: int, rng: np.random.Generator) -> list[Item]:
    """Items drawn evenly over the benchmarks, in random order, none twice."""
    names = sorted({split.benchmark for split in index.splits})
    numbers: list[int] = []
    for name in names:
        pool = np.concatenate([np.arange(s.first, s.first + s.items) for s in index.splits if s.benchmark == name])
        numbers += rng.permutation(pool)[: math.ceil(count / len(names))].tolist()
    items = index.lookup(numbers)
    return [items[number] for number in rng.permutation(numbers).tolist()]


def _excerpt(text: str, length: int, rng: np.random.Generator) -> str:
    """``length`` words from a random place of the text, or the whole of a shorter one."""
    spans = word_spans(text)
    if len(spans) <= length:
        return text
    first = int(rng.integers(len(spans) - length))
    return text[spans[first][0] : spans[first + length - 1][1]]


def examples(planted: dict[str, list[Case]], rules: Sequence[Rule], index: BenchmarkIndex,
             characters: int = 420) -> pd.DataFrame:
    """The first case of every kind, to be read. Columns: kind, text (the middle of a longer one), found_by."""
    rows = []
    for kind, cases in planted.items():
        if cases:
            matches = find_matches(word_hashes(cases[0]), index.sets)
            finders = [rule.name for rule in rules if rule.drops(matches).any()]
            text = "\n— the other document —\n".join(_middle(text, characters) for text in cases[0])
            rows.append((kind, text, ", ".join(finders) or "no rule"))
    return pd.DataFrame(rows, columns=["kind", "text", "found_by"])


def _middle(text: str, characters: int) -> str:
    start = max(0, (len(text) - characters) // 2)
    end = "…" if len(text) > characters else ""
    return f"{end}{text[start : start + characters]}{end}"


def measure(planted: dict[str, list[Case]], rules: Sequence[Rule], index: BenchmarkIndex) -> pd.DataFrame:
    """How often each rule drops each kind, one row for each pair.

    Columns: kind, rule, cases, dropped, rate, low, high (95 % Wilson interval), and of planted kinds precision,
    precision_low, precision_high: the share of the dropped documents that hold an item, where one document in
    1 / `BASE_RATE` does, with the interval that both rates' uncertainty gives (`precision_interval`).
    """
    rows = [row for kind, cases in planted.items() for row in _measured(kind, cases, rules, index)]
    frame = pd.DataFrame(rows, columns=["kind", "rule", "cases", "dropped", "rate", "low", "high"])
    alarms = frame[frame["kind"] == CLEAN_DOCUMENTS].set_index("rule")
    judged = ~frame["kind"].isin([CLEAN, CLEAN_DOCUMENTS]) & (frame["dropped"] > 0) & bool(len(alarms))
    frame[["precision", "precision_low", "precision_high"]] = [
        precision_interval((row.dropped, row.cases), (alarms.dropped[row.rule], alarms.cases[row.rule]))
        if judge else (math.nan,) * 3 for row, judge in zip(frame.itertuples(), judged, strict=True)]
    return frame


def _measured(kind: str, cases: list[Case], rules: Sequence[Rule], index: BenchmarkIndex) -> Iterator[tuple]:
    dropped: dict[str, set[int]] = {rule.name: set() for rule in rules}
    numbered = ({"text": text, "case": number} for number, case in enumerate(cases) for text in case)
    for batch in batches(numbered):
        matches = find_matches(word_hashes([document["text"] for document in batch]), index.sets)
        case = np.array([document["case"] for document in batch])
        for rule in rules:
            dropped[rule.name].update(case[rule.drops(matches)].tolist())
    for name, numbers in dropped.items():
        rate = len(numbers) / len(cases) if cases else math.nan
        yield kind, name, len(cases), len(numbers), rate, *wilson_interval(len(numbers), len(cases))


def precision_interval(planted: tuple[int, int], clean: tuple[int, int]) -> tuple[float, float, float]:
    """Precision and its 95 % interval, from (dropped, cases) of planted and of clean documents.

    precision = b·d / (b·d + (1 − b)·f) with base rate b (`BASE_RATE`), detection rate d and false-positive rate f; the
    interval is that of 20,000 draws of d and f from their posteriors under Jeffreys' prior.
    """
    rng = np.random.default_rng(0)
    draws = [rng.beta(hits + 0.5, cases - hits + 0.5, 20_000) for hits, cases in (planted, clean)]
    detection, false_positive = (hits / cases for hits, cases in (planted, clean))
    low, high = np.quantile(_precision(*draws), [0.025, 0.975])
    return float(_precision(detection, false_positive)), float(low), float(high)


def _precision(detection: np.ndarray | float, false_positive: np.ndarray | float) -> np.ndarray:
    right, wrong = np.multiply(BASE_RATE, detection), np.multiply(1 - BASE_RATE, false_positive)
    return right / np.maximum(right + wrong, 1e-12)

"""Deterministic surface rewrites of benchmark samples: the same task and answer in other words and another order.

The paper had GPT-3.5 rewrite every sample, and its rewritten sets are not published except for GSM8K's. These rewrites
need no model, so anyone gets the same ones. They change less than a language model does: neighbouring words often stay
together, so a memorised sample is still partly recognised, and Δ comes out smaller than with stronger rewrites. How
much they change is measured (`novelty`) and reported beside every Δ.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LEXICON = Path(__file__).with_name("rewrites_lexicon.yaml")
_CALCULATION = re.compile(r"<<.*?>>|#### .*|[^\s]*[=+*/][^\s]*")  # GSM8K's worked steps stay as they are
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
_CLAUSE_FIRST = re.compile(r"^(If|When|After|Before|While|As|Once|Although) ([^,.?!]+), ([^,?!]+)([.?!])$")


@dataclass(frozen=True)
class Sample:
    """One benchmark sample; ``options`` are listed in the question's text, ``answer`` is the gold text.

    ``gold`` is the index of the right option, and -1 where there are no options.
    """

    question: str
    answer: str
    options: tuple[str, ...] = ()
    gold: int = -1
    glue: str = " "  # between question and answer; the method's code has none for HellaSwag, MMLU and TruthfulQA

    @property
    def text(self) -> str:
        """What the leakage measure reads: the question with its lettered options, then the answer."""
        listed = "".join(f" {letter}. {option}" for letter, option in zip("ABCDEFGHIJ", self.options, strict=False))
        answer = f"{'ABCDEFGHIJ'[self.gold]}. {self.answer}" if self.options else self.answer
        return f"{self.question}{listed}{self.glue}{answer}"


def rewrite(sample: Sample) -> Sample:
    """The sample in other words and order; equal samples give equal rewrites on every machine.

    Changes, in this order: options rotated; names exchanged for others; small numbers between digits and words in the
    question; contractions, set phrases and words exchanged; a leading clause moved behind; the question moved before
    what it is about.
    """
    draw = int.from_bytes(hashlib.sha256(sample.text.encode()).digest()[:8], "big")
    changed = _rename_people(_rotate_options(sample, draw), draw)
    changed = replace(changed, question=_outside_calculations(_respell_numbers, changed.question))
    changed = _each_text(changed, lambda text: _outside_calculations(_exchange_words, text))
    changed = _each_text(changed, _move_clauses)
    return replace(changed, question=_question_first(changed.question))


def faults(original: Sample, rewritten: Sample) -> list[str]:
    """What is wrong with a rewrite, in words; empty when it may be used."""
    found = []
    if rewritten.text == original.text:
        found.append("nothing changed")
    if _quantities(original.question) != _quantities(rewritten.question):
        found.append("the numbers of the question changed")
    if _CALCULATION.findall(original.answer) != _CALCULATION.findall(rewritten.answer):
        found.append("the calculation in the answer changed")
    if rewritten.options and rewritten.options[rewritten.gold] != rewritten.answer:
        found.append("the answer is no longer the right option")
    if len(set(rewritten.options)) != len(set(original.options)):
        found.append("two options became one")
    if not 0.6 < len(rewritten.text) / len(original.text) < 1.6:
        found.append("the length changed too much")
    return found


def novelty(original: str, rewritten: str, words: int = 3) -> float:
    """Share of the rewrite's word n-grams that the original does not have: 0 unchanged, 1 nothing in common."""
    before, after = (_word_ngrams(text, words) for text in (original, rewritten))
    total = sum(after.values())
    return sum((after - before).values()) / total if total else 0.0


def _word_ngrams(text: str, words: int) -> Counter[tuple[str, ...]]:
    parts = text.split()
    return Counter(tuple(parts[i: i + words]) for i in range(len(parts) - words + 1))


@cache
def _lexicon() -> dict[str, Any]:
    return yaml.safe_load(_LEXICON.read_text(encoding="utf-8"))


def _each_text(sample: Sample, change: Callable[[str], str]) -> Sample:
    """Apply ``change`` to question, options and answer alike, so that the answer stays the right option."""
    return replace(sample, question=change(sample.question), answer=change(sample.answer),
                   options=tuple(change(option) for option in sample.options))


def _rotate_options(sample: Sample, draw: int) -> Sample:
    count = len(sample.options)
    if count < 2:
        return sample
    shift = 1 + draw % (count - 1)
    return replace(sample, options=sample.options[shift:] + sample.options[:shift], gold=(sample.gold - shift) % count)


def _rename_people(sample: Sample, draw: int) -> Sample:
    present = list(dict.fromkeys(re.findall(r"\b[A-Z][a-z]+\b", sample.text)))
    renamed: dict[str, str] = {}
    for pool in (_lexicon()["female_names"], _lexicon()["male_names"]):
        free = [name for name in pool if name not in present]
        for number, name in enumerate(name for name in present if name in pool):
            if free:
                renamed[name] = free.pop((draw + number) % len(free))
    return _each_text(sample, lambda text: _exchange(text, renamed, keep_case=False))


def _respell_numbers(text: str) -> str:
    words = _lexicon()["numbers"]
    digits = {word: str(value) for value, word in enumerate(words) if value > 1}
    spelled = {digit: word for word, digit in digits.items()}
    return re.sub(r"(?<![\w.,$/:#-])(\w+)(?![\w%/:-]|[.,]\d|\s*(?:am|pm|a\.m|p\.m)\b)",
                  lambda match: {**digits, **spelled}.get(match[1], match[1]), text)


def _exchange_words(text: str) -> str:
    lexicon = _lexicon()
    pairs = lexicon["words"] | lexicon["verbs"] | lexicon["contractions"] | lexicon["phrases"]
    return _exchange(text, pairs, keep_case=True)


def _exchange(text: str, pairs: dict[str, str], keep_case: bool) -> str:
    """Replace whole words or phrases in one sweep, longest first, so that nothing is replaced twice."""
    if not pairs:
        return text
    pattern = "|".join(re.escape(key) for key in sorted(pairs, key=lambda key: (-len(key), key)))
    flags = re.IGNORECASE if keep_case else 0

    def exchanged(match: re.Match[str]) -> str:
        new = pairs[match[0].lower() if keep_case else match[0]]
        return new[0].upper() + new[1:] if keep_case and match[0][0].isupper() else new

    return re.sub(rf"(?<![\w'’])(?:{pattern})(?!\w)", exchanged, text, flags=flags)


def _outside_calculations(change: Callable[[str], str], text: str) -> str:
    pieces, last = [], 0
    for match in _CALCULATION.finditer(text):
        pieces += [change(text[last: match.start()]), match[0]]
        last = match.end()
    return "".join([*pieces, change(text[last:])])


def _move_clauses(text: str) -> str:
    """"If X, Y." becomes "Y if X.", sentence by sentence, where one comma alone divides it."""
    if "\n" in text:
        return "\n".join(_move_clauses(line) for line in text.split("\n"))
    return _gap(text).join(_move_clause(sentence) for sentence in _SENTENCE_END.split(text))


def _move_clause(sentence: str) -> str:
    match = _CLAUSE_FIRST.match(sentence)
    if match is None or _CALCULATION.search(sentence):
        return sentence
    word, clause, main, end = match.groups()
    return f"{main[0].upper()}{main[1:]} {word.lower()} {clause}{end}"


def _question_first(text: str) -> str:
    """Put a closing question before the sentences that it is about."""
    sentences = _SENTENCE_END.split(text)
    if len(sentences) < 2 or not sentences[-1].endswith("?") or any(s.endswith("?") for s in sentences[:-1]):
        return text
    return _gap(text).join([sentences[-1], *sentences[:-1]])


def _gap(text: str) -> str:
    """What stands between the sentences of a text: GSM8K's authors often typed two spaces, which must not change."""
    return "  " if ".  " in text else " "


def _quantities(text: str) -> Counter[str]:
    """The numbers of a text, however they are spelled."""
    digits = {word: str(value) for value, word in enumerate(_lexicon()["numbers"]) if value > 1}
    return Counter(digits.get(word.lower(), word) for word in re.findall(r"\d+|[A-Za-z]+", text)
                   if word.isdigit() or word.lower() in digits)

"""Rewrites by a language model, through the generator interface of the synthesis stage: any model that can write D2.

The paper asked GPT-3.5. Here the model rewrites the question; options change their order and the answer its words by
rule, since a small model that rewrites an answer often changes it. Whatever it returns has to pass the same checks as a
rewrite by rule, and keep every name.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from hare.benchmarks.rewrites import Sample, rewrite_around
from hare.benchmarks.rewrites_words import names_in
from hare.leakage.sets import (
    MODEL,
    SampleSet,
    checked_set,
    drawn_rows,
    evaluated_split,
    usable_samples,
)
from hare.synthesis.generator import Decoding, Generator, Message, Request

_SYSTEM = "You rewrite exam questions in other words. You change nothing of what is asked, and you answer nothing."
_PROMPT = ("Rewrite this question with another sentence structure and other words. Keep every name and every number. "
           "Write only the rewritten question.\n\n{question}")
_EXAMPLES = (
    ("A shop sells 12 pens a day. How many pens does it sell in 3 days?",
     "If 12 pens leave a shop each day, what number of pens does the shop sell within 3 days?"),
    ("Which of these animals is most likely to live in a desert?",
     "In a desert, which one of the following animals would you most probably find?"),
)
_INTRODUCTION = re.compile(r"^(?:(?:here is|here's|sure)[^:\n]*:|(?:the )?rewritten question:|question:)\s*",
                           re.IGNORECASE)
_LONG_WORD = re.compile(r"[a-z]{6,}")
_MOST_TOKENS = 96


def model_set(name: str, items: int, generator: Generator, seed: int) -> SampleSet:
    """The evaluated split's first ``items`` samples, as far as the model's rewrites of them pass the checks."""
    split, skipped = evaluated_split(name), Counter[str]()
    samples = [sample for _, sample in islice(usable_samples(name, drawn_rows(name, split, seed), skipped), items)]
    found = checked_set(name, split, list(zip(samples, model_rewrites(samples, generator, seed), strict=True)), MODEL,
                        f"{generator.name}; {_SYSTEM} {_PROMPT.partition(chr(10))[0]}", misnamed)
    found.skipped.update(skipped)
    return found


def model_rewrites(samples: Sequence[Sample], generator: Generator, seed: int) -> list[Sample]:
    """Each sample with the question as the model puts it; not checked yet."""
    requests = [Request(_messages(sample.question), seed + number) for number, sample in enumerate(samples)]
    answers = generator.generate(requests, Decoding(_MOST_TOKENS))
    return [rewrite_around(sample, _cleaned(answer.text)) for sample, answer in zip(samples, answers, strict=True)]


def _messages(question: str) -> tuple[Message, ...]:
    turns = [("system", _SYSTEM)]
    for asked, rewritten in _EXAMPLES:
        turns += [("user", _PROMPT.format(question=asked)), ("assistant", rewritten)]
    turns.append(("user", _PROMPT.format(question=question)))
    return tuple({"role": role, "content": content} for role, content in turns)


def misnamed(original: Sample, rewritten: Sample) -> list[str]:
    """Faults that only a model commits: it drops or invents people, answers what it should ask, loses its thread."""
    found = ["the question is unchanged"] if original.question.split() == rewritten.question.split() else []
    if names_in(original.question) != names_in(rewritten.question):
        found.append("the people of the question changed")
    if original.question.rstrip().endswith("?") and not rewritten.question.rstrip().endswith("?"):
        found.append("it asks nothing any more")
    long_words = set(_LONG_WORD.findall(original.question.lower()))
    if len(long_words & set(_LONG_WORD.findall(rewritten.question.lower()))) < len(long_words) / 3:
        found.append("it is about something else")
    if not 0.5 < len(rewritten.question) / max(len(original.question), 1) < 2:
        found.append("the question's length changed too much")
    return found


def _cleaned(text: str) -> str:
    """The first paragraph of an answer, without introduction and quotation marks."""
    text = _INTRODUCTION.sub("", text.strip())
    return text.strip().split("\n\n", 1)[0].strip().strip('"“”')

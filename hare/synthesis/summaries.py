"""Summaries for D3: the one kind of item that the small model may write, and only where the passage bears it out."""

from collections import Counter
from collections.abc import Sequence

from hare.data.text import is_punctuated, rank, sentences, words
from hare.synthesis.builders import Material, content_words
from hare.synthesis.gates import echoed_share, repeated_trigrams, tidied
from hare.synthesis.generator import FAILED, Decoding, Generator, Request
from hare.synthesis.items import GENERATED, Item

_INSTRUCTION = "Summarise the following text in one or two short sentences.\n\n{passage}"
_SYSTEM = "You write short, faithful summaries. You never add anything that the text does not say."
_BORNE_OUT = 0.7  # share of a summary's content words that stand in the passage
_COPIED = 0.8  # share of its word 5-grams that do
_LONGEST = 0.7  # of the passage's words
_REPEATED = 0.05
TELLING = frozenset({"wikipedia", "news", "politics", "law"})  # a play or a manual is commented on, not summarised

REQUEST_FAILED = "request failed"
WRONG_LENGTH = "too short, or hardly shorter than the passage"
REPETITIVE = "repetition"
COPY = "a copy"
NEW_NUMBER = "a number that the passage lacks"
NEW_WORDS = "too many words that the passage lacks"
_DECODING = Decoding(max_new_tokens=64, temperature=0.2, repetition_penalty=1.0)


def worth_summarising(found: Sequence[Material], wanted: int, seed: int) -> list[Material]:
    """``wanted`` punctuated passages of D1 that tell of something, drawn by hash."""
    prose = [m for m in found if m.part == "d1" and m.passage.category in TELLING and len(m.sentences) >= 3]
    usable = [material for material in prose if is_punctuated(material.passage.text)]
    return sorted(usable, key=lambda material: rank(seed, f"summary/{material.passage.id}"))[:wanted]


def summarise(materials: Sequence[Material], generator: Generator, seed: int) -> tuple[list[Item], Counter[str]]:
    """Items of kind ``summarisation`` for the passages whose summary holds, and the objections to the others."""
    requests = [
        Request(
            ({"role": "system", "content": _SYSTEM},
             {"role": "user", "content": _INSTRUCTION.format(passage=material.passage.text)}),
            rank(seed, material.passage.id) % 2**31,
        )
        for material in materials
    ]
    kept, objections = [], Counter()
    for material, answer in zip(materials, generator.generate(requests, _DECODING), strict=True):
        summary = " ".join(sentences(tidied(answer.text, answer.finish_reason))[:2])
        objection = REQUEST_FAILED if answer.finish_reason == FAILED else objection_to_summary(
            summary, material.passage.text
        )
        if objection:
            objections[objection] += 1
        else:
            kept.append(_item(material, summary, generator.name))
    return kept, objections


def _item(material: Material, summary: str, generator: str) -> Item:
    known = words(material.passage.text)
    evidence = max(content_words(summary), key=lambda word: (word.lower() in known, len(word)))
    return Item(
        "summarisation", GENERATED, material.passage.id, material.part, material.passage.category,
        material.topic.label, material.passage.text, "", summary, material.passage.text, evidence,
        generator=generator,
    )


def objection_to_summary(summary: str, passage: str) -> str:
    """Why a summary will not do ('' when it will): it must be short, no copy, and bring in next to nothing new."""
    known, found = set(words(passage)), content_words(summary)
    if len(found) < 2 or len(words(summary)) > _LONGEST * len(words(passage)):
        return WRONG_LENGTH
    if repeated_trigrams(summary) > _REPEATED:
        return REPETITIVE
    if echoed_share(summary, passage) > _COPIED:
        return COPY
    if any(word.isdigit() and word not in known for word in words(summary)):
        return NEW_NUMBER
    if sum(word.lower() in known for word in found) / len(found) < _BORNE_OUT:
        return NEW_WORDS
    return ""

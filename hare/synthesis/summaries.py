"""Summaries for D3: the one kind of item that the small model may write, and only where the passage bears it out."""

from collections.abc import Sequence

from hare.synthesis.builders import Material, content_words
from hare.synthesis.gates import repeated_trigrams, tidied
from hare.synthesis.generator import Decoding, Generation, Generator, Request
from hare.synthesis.items import GENERATED, Item
from hare.synthesis.passages import LINE_BASED, is_punctuated, rank, sentences, words

_INSTRUCTION = "Summarise the following text in one or two short sentences.\n\n{passage}"
_SYSTEM = "You write short, faithful summaries. You never add anything that the text does not say."
_BORNE_OUT = 0.7  # share of a summary's content words that stand in the passage
_DECODING = Decoding(max_new_tokens=64, temperature=0.2, repetition_penalty=1.0)


def worth_summarising(found: Sequence[Material], wanted: int, seed: int) -> list[Material]:
    """``wanted`` punctuated passages of D1 prose, drawn by hash."""
    prose = [m for m in found if m.part == "d1" and m.passage.category not in LINE_BASED and len(m.sentences) >= 3]
    usable = [material for material in prose if is_punctuated(material.passage.text)]
    return sorted(usable, key=lambda material: rank(seed, f"summary/{material.passage.id}"))[:wanted]


def summarise(materials: Sequence[Material], generator: Generator, seed: int) -> tuple[list[Item], int]:
    """Items of kind ``summarisation`` for the passages whose summary holds, and how many did not."""
    requests = [
        Request(
            ({"role": "system", "content": _SYSTEM},
             {"role": "user", "content": _INSTRUCTION.format(passage=material.passage.text)}),
            rank(seed, material.passage.id) % 2**31,
        )
        for material in materials
    ]
    answers = generator.generate(requests, _DECODING)
    items = [_item(m, answer, generator.name) for m, answer in zip(materials, answers, strict=True)]
    kept = [item for item in items if item is not None]
    return kept, len(items) - len(kept)


def _item(material: Material, answer: Generation, generator: str) -> Item | None:
    summary = " ".join(sentences(tidied(answer.text, answer.finish_reason))[:2])
    if not holds(summary, material.passage.text):
        return None
    evidence = max(content_words(summary), key=lambda word: (word.lower() in words(material.passage.text), len(word)))
    return Item(
        "summarisation", GENERATED, material.passage.id, material.part, material.passage.category,
        material.topic.label, material.passage.text, "", summary, material.passage.text, evidence,
        generator=generator,
    )


def holds(summary: str, passage: str) -> bool:
    """Whether a summary is short, is no copy, and brings in few words and no number that the passage lacks."""
    known, found = set(words(passage)), content_words(summary)
    if len(found) < 2 or len(words(summary)) > 0.7 * len(words(passage)) or repeated_trigrams(summary) > 0.05:
        return False
    if summary in passage or any(word.isdigit() and word not in known for word in words(summary)):
        return False
    return sum(word.lower() in known for word in found) / len(found) >= _BORNE_OUT

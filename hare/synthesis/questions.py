"""Questions for D3 that the model writes under a JSON schema, kept only where it finds the way back to the answer.

The answer, a name or a number of the passage, is chosen first; the model writes a question for it. Then, with passage
and question before it, the model has to choose among the names and numbers of the passage: a question that leads it to
another one is dropped (round-trip consistency; Alberti et al. 2019). Both steps run under a schema, so that no answer
is malformed; what the second step sees to is the content.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence

from hare.synthesis.builders import Material, content_words
from hare.synthesis.gates import repeated_trigrams
from hare.synthesis.generator import FAILED, Decoding, Generation, Generator, Message, Request
from hare.synthesis.items import SCHEMA, Item
from hare.synthesis.passages import LINE_BASED, is_punctuated, rank, words
from hare.synthesis.schema import Field, parsed

OPENINGS = ("What", "Who", "Where", "When", "Which", "How many")
_SYSTEM = "You are a teacher who writes short reading tests. You only ask what the text answers."
_ASK = "Text: {passage}\n\nWrite one question about this text. The answer to the question must be: {answer}"
_ANSWER = "Text: {passage}\n\nQuestion: {question}\n\nWhich of these answers the question: {options}?"
_EXAMPLES = (  # what is wanted, shown in our own words
    ("The first bridge over the river was built by the monk Benedict. Floods broke it four times.", "Benedict",
     "Who built the first bridge over the river?"),
    ("Copper was mined on the island of Cyprus from early on. A second mine was opened there in 1921.", "1921",
     "When was the second mine on Cyprus opened?"),
)
_ASKING = Decoding(max_new_tokens=72, temperature=0.3, repetition_penalty=1.0)
_ANSWERING = Decoding(max_new_tokens=24, temperature=0.1, repetition_penalty=1.0)
_FEWEST_CANDIDATES, _MOST_CANDIDATES = 3, 6
_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w.,]*\d)\b")
_NAMES = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?: [A-Z][a-z]+){0,3}\b")
_PRONOUNS = frozenset({"he", "she", "it", "they", "him", "her", "them", "this", "these", "those"})

MALFORMED = "not the object that was asked for"
GIVES_AWAY = "the question holds its answer"
UNRELATED = "a question that is not about the passage"
VAGUE = "a question that nobody could answer without the text"
INCONSISTENT = "the model answers its own question differently"
REQUEST_FAILED = "request failed"


def candidates(passage: str) -> list[str]:
    """Names and numbers of a passage that may be answers, in the order of their first appearance, a few at the most."""
    found = dict.fromkeys([*_NAMES.findall(passage), *_NUMBER.findall(passage)])
    return sorted(found, key=passage.index)[:_MOST_CANDIDATES]


def worth_asking(found: Sequence[Material], wanted: int, seed: int) -> list[Material]:
    """``wanted`` passages of D1 prose that offer several names or numbers, drawn by hash."""
    usable = [
        material for material in found
        if material.part == "d1" and material.passage.category not in LINE_BASED
        and is_punctuated(material.passage.text) and len(candidates(material.passage.text)) >= _FEWEST_CANDIDATES
    ]
    return sorted(usable, key=lambda material: rank(seed, f"question/{material.passage.id}"))[:wanted]


def ask(materials: Sequence[Material], generator: Generator, seed: int) -> tuple[list[Item], Counter[str]]:
    """Items of kind ``question_answering`` for the passages whose question holds, and the objections to the others."""
    answers = [_chosen(material, seed) for material in materials]
    requests = [_way_there(m, answer, seed) for m, answer in zip(materials, answers, strict=True)]
    written = [
        _question(generation, answer, material)
        for generation, answer, material in zip(generator.generate(requests, _ASKING), answers, materials, strict=True)
    ]
    objections = Counter(objection for _, objection in written if objection)
    sound = [(m, q, a) for m, (q, objection), a in zip(materials, written, answers, strict=True) if not objection]
    replies = generator.generate([_way_back(m, question, seed) for m, question, _ in sound], _ANSWERING)
    kept = []
    for (material, question, answer), reply in zip(sound, replies, strict=True):
        if (parsed(reply.text, (_options(material),)) or {}).get("answer") == answer:
            kept.append(_item(material, question, answer, generator.name))
        else:
            objections[INCONSISTENT] += 1
    return kept, objections


def _chosen(material: Material, seed: int) -> str:
    return random.Random(f"{seed}/{material.passage.id}").choice(candidates(material.passage.text))


def _way_there(material: Material, answer: str, seed: int) -> Request:
    shown: list[Message] = []
    for passage, known, question in _EXAMPLES:
        shown.append({"role": "user", "content": _ASK.format(passage=passage, answer=known)})
        shown.append({"role": "assistant", "content": json.dumps({"answer": known, "question": question})})
    text = _ASK.format(passage=material.passage.text, answer=answer)
    return _request(material, shown, text, _asked(answer), seed)


def _request(
    material: Material, shown: Sequence[Message], text: str, fields: tuple[Field, ...], seed: int
) -> Request:
    messages = ({"role": "system", "content": _SYSTEM}, *shown, {"role": "user", "content": text})
    return Request(messages, rank(seed, material.passage.id) % 2**31, fields)


def _asked(answer: str) -> tuple[Field, ...]:
    openings = ("When", "Which", "How many", "What") if answer.isdigit() else OPENINGS
    return Field("answer", options=(answer,)), Field("question", beginnings=openings, ending="?")


def _options(material: Material) -> Field:
    return Field("answer", options=tuple(candidates(material.passage.text)))


def _way_back(material: Material, question: str, seed: int) -> Request:
    field = _options(material)
    text = _ANSWER.format(passage=material.passage.text, question=question, options=", ".join(field.options))
    return _request(material, (), text, (field,), seed)


def _question(generation: Generation, answer: str, material: Material) -> tuple[str, str]:
    """The question and the objection to it; one of the two is empty."""
    if generation.finish_reason == FAILED:
        return "", REQUEST_FAILED
    values = parsed(generation.text, _asked(answer))
    if values is None:
        return "", MALFORMED
    objection = objection_to_question(values["question"], answer, material.passage.text)
    return ("", objection) if objection else (values["question"], "")


def objection_to_question(question: str, answer: str, passage: str) -> str:
    """Why a question will not do ('' when it will): it must hold two content words of the passage, not its answer."""
    inside, own = set(words(passage)), [word.lower() for word in content_words(question)]
    if set(words(answer)) & set(words(question)):
        return GIVES_AWAY
    if sum(word in inside for word in own) < 2 or not all(number in inside for number in _NUMBER.findall(question)):
        return UNRELATED
    if words(question)[-1] in _PRONOUNS or repeated_trigrams(question) > 0 or "the text" in question.lower():
        return VAGUE
    return ""


def _item(material: Material, question: str, answer: str, generator: str) -> Item:
    passage = material.passage
    return Item(
        "question_answering", SCHEMA, passage.id, material.part, passage.category, material.topic.label,
        passage.text, question, answer, passage.text, answer, generator=generator,
    )

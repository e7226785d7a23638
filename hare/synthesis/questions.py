"""Questions for D3 that the model writes under a JSON schema, kept only where it answers them twice alike.

The model writes a question and chooses its answer among the names and numbers of the passage. Then it is asked its own
question afresh, with the choices in another order: where it now chooses differently, the item is dropped (round-trip
consistency; Alberti et al. 2019). Both steps run under a schema, so that no answer is malformed; what the second step
and the checks of the question see to is the content.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence

from hare.data.text import is_punctuated, rank, sentences, words
from hare.synthesis.builders import Material, content_words
from hare.synthesis.gates import repeated_trigrams
from hare.synthesis.generator import FAILED, Decoding, Generation, Generator, Message, Request
from hare.synthesis.items import SCHEMA, Item
from hare.synthesis.schema import Field, parsed
from hare.synthesis.summaries import TELLING

_FOR_NAMES, _FOR_NUMBERS, _FOR_BOTH = ("Who", "Where"), ("When", "How many"), ("Which",)
_SYSTEM = "You are a teacher who writes short reading tests. You only ask what the text answers."
_ASK = "Text: {passage}\n\nWrite one question about this text that is answered by one of these: {options}"
_ANSWER = "Text: {passage}\n\nQuestion: {question}\n\nWhich of these answers the question: {options}?"
_EXAMPLES = (  # what is wanted, shown in our own words
    ("The first bridge over the river was built by the monk Benedict. Floods broke it 4 times, until Avignon gave up.",
     ("Benedict", "Avignon", "4"), "Who built the first bridge over the river?", "Benedict"),
    ("Copper was mined on Cyprus from early on. A second mine was opened there in 1921 by the Romans Company.",
     ("Cyprus", "1921", "Romans Company"), "When was the second copper mine opened?", "1921"),
)
_ASKING = Decoding(max_new_tokens=72, temperature=0.3, repetition_penalty=1.0)
_ANSWERING = Decoding(max_new_tokens=24, temperature=0.1, repetition_penalty=1.0)
_BORNE_OUT = 0.6  # share of a question's content words that stand in the passage, and two at the least
_FEWEST_CANDIDATES, _MOST_CANDIDATES = 3, 6
_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w.,]*\d)\b")
_NAMES = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?: [A-Z][a-z]+){0,3}\b")
_SECOND_QUESTION = re.compile(r"\b(?:and|or) (?:\w+ )?(?:who|whom|whose|what|where|when|which|why|how)\b", re.I)
_HOW_MANY = re.compile(r"How many (\w+)")
_PRONOUNS = frozenset({"he", "she", "it", "they", "him", "her", "them", "this", "these", "those"})

MISMATCHED = "a name as the answer to a question for a number, or the other way round"
MISCOUNTED = "a number that counts something else in the passage"
MALFORMED = "not the object that was asked for"
GIVES_AWAY = "the question holds its answer"
DOUBLE = "two questions in one"
UNRELATED = "a question that is not about the passage"
UNSUPPORTED = "no one sentence speaks of what is asked and holds the answer"
VAGUE = "a question that nobody could answer without the text"
INCONSISTENT = "the model answers its own question differently"
REQUEST_FAILED = "request failed"


def candidates(passage: str) -> list[str]:
    """Names and numbers of a passage that may be answers, in the order of their first appearance, a few at the most."""
    found = dict.fromkeys([*_NAMES.findall(passage), *_NUMBER.findall(passage)])
    return sorted(found, key=passage.index)[:_MOST_CANDIDATES]


def worth_asking(found: Sequence[Material], wanted: int, seed: int) -> list[Material]:
    """``wanted`` passages of D1 that tell of something and hold several names or numbers, drawn by hash."""
    usable = [
        material for material in found
        if material.part == "d1" and material.passage.category in TELLING
        and is_punctuated(material.passage.text) and len(candidates(material.passage.text)) >= _FEWEST_CANDIDATES
    ]
    return sorted(usable, key=lambda material: rank(seed, f"question/{material.passage.id}"))[:wanted]


def ask(materials: Sequence[Material], generator: Generator, seed: int) -> tuple[list[Item], Counter[str]]:
    """Items of kind ``question_answering`` for the passages whose question holds, and the objections to the others."""
    generations = generator.generate([_way_there(material, seed) for material in materials], _ASKING)
    written = [_written(generation, m) for generation, m in zip(generations, materials, strict=True)]
    objections = Counter(objection for *_, objection in written if objection)
    sound = [(m, q, a) for m, (q, a, objection) in zip(materials, written, strict=True) if not objection]
    replies = generator.generate([_way_back(m, question, seed) for m, question, _ in sound], _ANSWERING)
    kept = []
    for (material, question, answer), reply in zip(sound, replies, strict=True):
        if (parsed(reply.text, (_choice(material),)) or {}).get("answer") == answer:
            kept.append(_item(material, question, answer, generator.name))
        else:
            objections[INCONSISTENT] += 1
    return kept, objections


def _choice(material: Material) -> Field:
    return Field("answer", options=tuple(candidates(material.passage.text)))


def _fields(material: Material) -> tuple[Field, ...]:
    beginnings = (*_FOR_NAMES, *_FOR_NUMBERS, *_FOR_BOTH)
    return Field("question", beginnings=beginnings, ending="?", barred=","), _choice(material)


def _way_there(material: Material, seed: int) -> Request:
    shown: list[Message] = []
    for passage, options, question, answer in _EXAMPLES:
        shown.append({"role": "user", "content": _ASK.format(passage=passage, options=", ".join(options))})
        shown.append({"role": "assistant", "content": json.dumps({"question": question, "answer": answer})})
    text = _ASK.format(passage=material.passage.text, options=", ".join(_choice(material).options))
    return _request(material, shown, text, _fields(material), seed)


def _way_back(material: Material, question: str, seed: int) -> Request:
    choice = _choice(material)
    text = _ANSWER.format(passage=material.passage.text, question=question, options=", ".join(choice.options[::-1]))
    return _request(material, (), text, (choice,), seed)


def _request(
    material: Material, shown: Sequence[Message], text: str, fields: tuple[Field, ...], seed: int
) -> Request:
    messages = ({"role": "system", "content": _SYSTEM}, *shown, {"role": "user", "content": text})
    return Request(messages, rank(seed, material.passage.id) % 2**31, fields)


def _written(generation: Generation, material: Material) -> tuple[str, str, str]:
    """Question, answer and the objection to them; either the last is empty, or the first two are."""
    if generation.finish_reason == FAILED:
        return "", "", REQUEST_FAILED
    values = parsed(generation.text, _fields(material))
    if values is None:
        return "", "", MALFORMED
    question, answer = values["question"], values["answer"]
    objection = objection_to_question(question, answer, material.passage.text)
    return ("", "", objection) if objection else (question, answer, "")


def objection_to_question(question: str, answer: str, passage: str) -> str:
    """Why a question will not do ('' when it will).

    Most of its content words must stand in the passage, in one sentence with the answer: a model this small asks about
    one thing and names another, and does so again when it is asked its own question.
    """
    inside, own = set(words(passage)), [word.lower() for word in content_words(question)]
    if set(words(answer)) & set(words(question)):
        return GIVES_AWAY
    if question.startswith(_FOR_NAMES if answer.isdigit() else _FOR_NUMBERS):
        return MISMATCHED
    counted = _HOW_MANY.match(question)
    if counted and not re.search(rf"\b{answer}\s(?:\w+\s)?{counted[1]}\b", passage):
        return MISCOUNTED
    if _SECOND_QUESTION.search(question):
        return DOUBLE
    known = sum(word in inside for word in own)
    if known < max(2, _BORNE_OUT * len(own)) or any(n not in inside for n in _NUMBER.findall(question)):
        return UNRELATED
    if words(question)[-1] in _PRONOUNS or repeated_trigrams(question) > 0 or "the text" in question.lower():
        return VAGUE
    bearing = (set(words(sentence)) for sentence in sentences(passage) if answer in sentence)
    if not any(sum(word in held for word in own) >= _BORNE_OUT * len(own) for held in bearing):
        return UNSUPPORTED
    return ""


def _item(material: Material, question: str, answer: str, generator: str) -> Item:
    passage = material.passage
    return Item(
        "question_answering", SCHEMA, passage.id, material.part, passage.category, material.topic.label,
        passage.text, question, answer, passage.text, answer, generator=generator,
    )

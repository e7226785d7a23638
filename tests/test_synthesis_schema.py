"""Answers under a JSON schema: the grammar that the embedded model is held to, and questions made with it."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hare.synthesis import embedded, questions
from hare.synthesis.builders import Material, Topic
from hare.synthesis.generator import FAILED, Decoding, Generation, Request
from hare.synthesis.items import SCHEMA, objection_to, rendered
from hare.synthesis.passages import Passage
from hare.synthesis.restruct import counted_outcomes
from hare.synthesis.schema import LONGEST_TEXT, Field, parsed, schema_of
from hare.synthesis.steering import grammar

_PASSAGE = (
    "The harbour of Marseille was closed in 1720, when a ship from Lebanon brought the plague into the city. The "
    "council of Provence built a wall across the hills, and guards from Avignon watched it for two years."
)
_FIELDS = (
    Field("answer", options=("Avignon", 'Saint "Loup"', "Avignon 2")),
    Field("question", beginnings=("What", "How", "How many"), ending="?", barred=",;"),
)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(embedded.smollm2_folder())


def material(text: str = _PASSAGE, part: str = "d1") -> Material:
    return Material.of(Passage("doc#0", "doc", "s", "wikipedia", text), part, Topic("harbour, plague"), ())


def walked(fields, tokenizer, seed: int) -> str:
    """The text of a random walk through a grammar: whatever a model might prefer."""
    draw, tokens = random.Random(seed), []
    own = grammar(fields, tokenizer)
    allowed = next(own)
    while (token := int(allowed[draw.randrange(len(allowed))])) != tokenizer.eos_token_id:
        tokens.append(token)
        allowed = own.send(token)
    return tokenizer.decode(tokens)


def test_any_walk_through_the_grammar_is_an_answer_unless_the_text_is_too_long_or_broken_utf_8(tokenizer):
    for seed in range(40):
        text = walked(_FIELDS, tokenizer, seed)
        values = parsed(text, _FIELDS)
        if values is None:
            assert "\ufffd" in text or len(text) > LONGEST_TEXT, text
        else:
            assert values["answer"] in _FIELDS[0].options and values["question"].endswith("?")
            assert not set(",;") & set(values["question"])


def test_the_model_itself_answers_under_the_schema():
    asked = [Request(({"role": "user", "content": "Ask about the weather."},), seed, _FIELDS) for seed in range(2)]
    answers = embedded.answer_batch(asked, Decoding(64, temperature=1.0, repetition_penalty=1.0))
    assert all(parsed(answer.text, _FIELDS) and answer.finish_reason == "stop" for answer in answers)
    assert len({answer.text for answer in answers}) == 2


@pytest.mark.parametrize("text", [
    "", "no JSON", "[]", '{"answer": "Avignon"}', '{"answer": "Paris", "question": "What is it?"}',
    '{"answer": "Avignon", "question": "Is it?"}', '{"answer": "Avignon", "question": "What is it"}',
    '{"answer": 7, "question": "What is it?"}', '{"answer": "Avignon", "question": "What is\\nit?"}',
    '{"answer": "Avignon", "question": "What? Is it?"}', '{"answer": "Avignon", "question": "What is it?", "more": ""}',
])
def test_an_answer_that_breaks_the_schema_is_none(text):
    assert parsed(text, _FIELDS) is None


@given(st.text(max_size=80))
def test_any_text_parses_to_nothing_or_to_what_the_fields_admit(text):
    values = parsed(text, _FIELDS)
    assert values is None or all(field.admits(values[field.name]) for field in _FIELDS)


def test_the_schema_for_servers_says_the_same():
    schema = schema_of(_FIELDS)
    assert schema["required"] == ["answer", "question"] and schema["additionalProperties"] is False
    assert schema["properties"]["answer"]["enum"] == list(_FIELDS[0].options)
    assert parsed('{"answer": "Avignon", "question": "What is it?"}', _FIELDS)


def test_a_request_with_fields_is_another_request():
    plain = Request(({"role": "user", "content": "x"},), 0)
    assert plain.key("g", Decoding(8)) != dataclasses.replace(plain, fields=_FIELDS).key("g", Decoding(8))


# ---- questions


class Scripted:
    """A generator that answers with what a function makes of each request."""

    name = "scripted"

    def __init__(self, answer):
        self.answer = answer

    def generate(self, asked, decoding):
        return [self.answer(request) for request in asked]


def writes(question: str, answer: str = "Avignon", back: str = ""):
    """Asks ``question``, chooses ``answer``, and chooses ``back`` when it is asked its own question."""

    def reply(request: Request) -> Generation:
        if len(request.fields) == 2:
            return Generation(f'{{"question": "{question}", "answer": "{answer}"}}', 20, "stop")
        assert question in request.messages[-1]["content"]
        return Generation(f'{{"answer": "{back or answer}"}}', 9, "stop")

    return Scripted(reply)


def test_a_question_that_is_answered_twice_alike_becomes_a_valid_item():
    items, objections = questions.ask([material()], writes("Which place sent guards to the hills?"), 0)
    assert not objections and len(items) == 1
    assert items[0].method == SCHEMA and objection_to(items[0]) is None and items[0].answer in rendered(items[0])


@pytest.mark.parametrize(("generator", "objection"), [
    (writes("Which place sent guards to the hills?", back="Provence"), questions.INCONSISTENT),
    (writes("Which place sent guards to the hills?", answer="Paris"), questions.MALFORMED),
    (writes("Where is the best recipe for onion soup?"), questions.UNRELATED),
    (writes("How many guards watched the hills?", answer="1720"), questions.MISCOUNTED),
    (writes("Who brought the plague into the city of Marseille?"), questions.UNSUPPORTED),
    (writes("Which guards went to the harbour in 1821?"), questions.UNRELATED),
    (writes("Which council of the harbour did that to it?"), questions.VAGUE),
    (writes("Who watched the harbour and who built the wall?"), questions.DOUBLE),
    (writes("Who watched the harbour, then left it?"), questions.MALFORMED),
    (writes("How many guards watched the harbour?"), questions.MISMATCHED),
    (writes("Who watched the harbour from the hills?", answer="1720"), questions.MISMATCHED),
    (writes("Which guards watched Avignon from the hills?"), questions.GIVES_AWAY),
    (Scripted(lambda _: Generation("", 0, "stop")), questions.MALFORMED),
    (Scripted(lambda _: Generation("Sure! Here is a question", 6, "length")), questions.MALFORMED),
    (Scripted(lambda _: Generation("", 0, FAILED)), questions.REQUEST_FAILED),
])
def test_every_other_question_is_counted_under_its_reason(generator, objection):
    items, objections = questions.ask([material()], generator, 0)
    assert items == [] and objections == {objection: 1}
    assert counted_outcomes(items, {"question_answering": objections})["items"].tolist() == [0, 1]


def test_only_passages_of_d1_with_several_names_are_asked_about():
    assert questions.candidates(_PASSAGE) == ["Marseille", "1720", "Lebanon", "Provence", "Avignon"]
    found = [material(), material(part="d2"), material("One name, Avignon, is not enough for a choice of answers.")]
    assert questions.worth_asking(found, 9, 0) == found[:1]


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_candidates_stand_in_the_passage(text):
    assert all(candidate in text for candidate in questions.candidates(text))

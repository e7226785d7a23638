"""Functions, grammar, data, parsing: what may be called, and that nothing else ever is."""

import dataclasses
import json
import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.finetuning import instruct, marks, retrieval, tool_data
from hare.finetuning.calls import copied_example, functional_answer, parsed, read_functional, read_text, written_out
from hare.finetuning.controls import BagOfWords
from hare.finetuning.decoding import allowed_next
from hare.finetuning.dialogue import API_TOKENS, SLOT, Dialogue
from hare.finetuning.functions import BY_NAME, FUNCTIONS, NO_CALL, Call, Phone, objection_to
from hare.finetuning.outside.home_assistant import expanded, human_set, sentences
from hare.finetuning.phrases import bad_inputs, grammar, variation
from hare.finetuning.scoring import ALL, accuracy_table, confusion_table, difference, error_table, score_rows
from hare.finetuning.screening import objection_to_request
from hare.finetuning.sft import Schedule
from hare.finetuning.study import item_from
from hare.finetuning.tools import in_all_passes
from hare.report.paper.published import published
from hare.synthesis.engines.generator import FAILED, Generation
from tests.chat_toys import KINDS, toy_dialogue

COUNTS = tool_data.training_counts(published("api_calling"), 0.1)
TRAIN = tool_data.plain_set("train", COUNTS, 0)
TEST = tool_data.plain_set("test", dict.fromkeys(COUNTS, 36), 0)
HARD = tool_data.hard_set("test", 2, 0)


@pytest.fixture(scope="module", params=KINDS)
def dialogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dialogue:
    return toy_dialogue(tmp_path_factory.mktemp("vocabulary") / request.param, request.param)


def test_the_training_counts_are_the_papers() -> None:
    counts = tool_data.training_counts(published("api_calling"), 1.0)
    assert list(counts.values()) == [690, 732, 517, 531, 514, 810, 469]


@pytest.mark.parametrize("other", [TEST, HARD, tool_data.plain_set("validation", dict.fromkeys(COUNTS, 10), 0)])
def test_train_and_test_share_nothing(other: list) -> None:
    assert tool_data.overlaps(TRAIN, other)["shared"].eq(0).all()


def test_training_takes_no_way_that_a_test_set_keeps() -> None:
    tests = [grammar.words_of(tested.core) for tested in grammar.phrasings("test")]
    tests += [grammar.words_of(tested.core) for _, tested in grammar.hard_phrasings("test")]
    for phrasing in grammar.phrasings("train")[::3]:
        for way in {grammar.one_way(phrasing, random.Random(seed)) for seed in range(8)}:
            assert not set("[|]") & set(way) and not grammar.is_kept_back(phrasing.function, way)
            assert max(grammar.jaccard(grammar.words_of(way), other) for other in tests) <= grammar.CLOSE


def test_every_test_phrasing_belongs_to_a_family_that_training_lacks() -> None:
    tests = grammar.phrasings("test")
    assert len({(phrasing.function, phrasing.core) for phrasing in tests}) >= 250
    for phrasing in tests:
        assert phrasing.family and grammar.is_kept_back(phrasing.function, phrasing.core)
        assert grammar._family_words(phrasing.function).search(grammar._PLACEHOLDER.sub("", phrasing.core)), phrasing
    assert grammar.is_kept_back("call_number", "return whatever {number} wants")
    assert not grammar.is_kept_back("search_web", "return whatever {query} wants")


def test_closeness_is_the_share_of_different_words() -> None:
    one, other = grammar.words_of("Call {number} now, call"), grammar.words_of("call {number} please")
    assert one == {"call", "{number}", "now"} and grammar.jaccard(one, other) == 0.5
    core = next(phrasing.core for phrasing in grammar.phrasings("test") if len(grammar.words_of(phrasing.core)) > 9)
    assert grammar.is_kept_back("no_call", f"{core} once"), "ten of eleven words are the same"


def test_a_phrasing_of_which_nothing_is_left_is_named() -> None:
    with pytest.raises(HareError, match="kept back"):
        grammar.one_way(grammar.Phrasing("call_number", "[return|respond] {number}"), random.Random(0))


def test_a_planted_overlap_is_found() -> None:
    shared = tool_data.overlaps(TRAIN, [*TEST, TRAIN[0]]).set_index("aspect")["shared"]
    assert (shared[["requests", "templates", "phrasings", "slot values"]] >= 1).all()


def test_every_gold_call_is_executed_in_the_sandbox() -> None:
    calling = sum(item.call.function != NO_CALL for item in TRAIN)
    assert tool_data.check_executable(TRAIN) == calling
    wrong = dataclasses.replace(TRAIN[0], call=Call("call_number", ("999999999",)))
    with pytest.raises(HareError, match="slot not in the request"):
        tool_data.check_executable([wrong])


def test_sets_depend_on_the_seed_alone_and_survive_json() -> None:
    again = tool_data.plain_set("train", COUNTS, 0)
    assert again == TRAIN and tool_data.plain_set("train", COUNTS, 1) != TRAIN
    assert [item_from(json.loads(json.dumps(dataclasses.asdict(item)))) for item in TRAIN[:20]] == TRAIN[:20]


def test_no_request_of_ours_is_screened_off() -> None:
    assert [item.request for item in [*TEST, *HARD] if objection_to_request(item.request)] == []


@pytest.mark.parametrize("kind", ["given", "family", "place", "music", "direction"])
def test_values_of_a_list_are_cut_into_three(kind: str) -> None:
    parts = [set(grammar.values(kind, split)) for split in grammar.SPLITS]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts))
    assert all(isinstance(value, str) for part in parts for value in part)


@pytest.mark.parametrize(
    ("call", "request_", "reason"),
    [
        (Call("format_disk"), "format the disk", "unknown function"),
        (Call("call_number"), "call", "missing slot"),
        (Call("open_camera", ("now",)), "open the camera now", "surplus slot"),
        (Call("call_number", (" ",)), "call ", "empty slot"),
        (Call("call_number", ("11223344556677889900112",)), "call 11223344556677889900112", "slot too long"),
        (Call("call_number", ("five",)), "call five", "malformed slot"),
        (Call("call_number", ("123",)), "call 91234", "slot not in the request"),
        (Call("call_contact", ("112; send mail",)), "call 112; send mail", "control text in a slot"),
        (Call("send_email", ("a@b", "hi")), "email a@b that hi", "malformed slot"),
        (Call("search_web", ("<api_3>",)), "search for <api_3>", "control text in a slot"),
        *((call, request, "slot not in the request") for call, request in (
            (Call("call_number", ("555 123",)), "call 555 123 4567"),
            (Call("call_number", ("1722",)), "ring up 371  1722"),
            (Call("call_number", ("555-123",)), "call 555-123-4567"),
            (Call("call_number", ("49 30 123",)), "dial +49 30 123"),
            (Call("send_email", ("smith@x.org", "hi")), "mail anna.smith@x.org hi"),
            (Call("send_email", ("anna@x.org", "hi")), "mail anna@x.org.uk hi"),
            (Call("call_contact", ("Ann",)), "call Ann-Marie"),
            (Call("call_contact", ("Anna",)), "call Anna@x.org"),
        )),
    ],
)
def test_a_bad_call_is_refused_with_its_reason(call: Call, request_: str, reason: str) -> None:
    phone = Phone()
    with pytest.raises(HareError, match=reason):
        phone.execute(call, request_)
    assert phone.log == [] and phone.refused == {reason: 1}


@pytest.mark.parametrize(("value", "request_"), [
    ("555 123 4567", "call 555 123 4567, please"), ("+49 30 123", "dial +49 30 123."), ("555-0101", "call 555-0101!"),
    ("112", "call 112, 5 times"), ("112", "in 5 minutes call 112"), ("12 34", "call 12 34 or 112 34"),
])
def test_a_whole_number_is_called(value: str, request_: str) -> None:
    assert objection_to(Call("call_number", (value,)), request_) == ""


@given(st.text(max_size=30), st.lists(st.text(max_size=40), max_size=3), st.text(max_size=80))
def test_whatever_is_asked_only_the_table_is_executed(name: str, values: list[str], request_: str) -> None:
    phone = Phone()
    try:
        phone.execute(Call(name, tuple(values)), request_)
    except HareError:
        assert phone.log == []
    assert all(objection_to(call, request_) == "" for call in phone.log)


VALUES = st.text(max_size=25)


@given(st.sampled_from([*BY_NAME, "unknown", "λόγος"]), st.lists(VALUES, max_size=4))
def test_a_written_call_is_read_as_it_was(name: str, values: list[str]) -> None:
    call = Call(name, tuple(values))
    text = written_out(call)
    assert parsed(name, text, text.index("(") + 1) == call
    assert parsed(name, f"{text} and {text}", text.index("(") + 1) == call


@pytest.mark.parametrize(("text", "call"), [
    ('search_web("songs by Prince (singer)")', Call("search_web", ("songs by Prince (singer)",))),
    ("search_web(songs by Prince (singer))", Call("search_web", ("songs by Prince (singer)",))),
    ("search_web(f(g(x)) explained)", Call("search_web", ("f(g(x)) explained",))),
    ("send_email(Anna, 10:30 works for me)", Call("send_email", ("Anna", "10:30 works for me"))),
    ('send_email("Anna", "10:30: works, for me")', Call("send_email", ("Anna", "10:30: works, for me"))),
    ("send_email(recipient=Anna, content=hi)", Call("send_email", ("Anna", "hi"))),
    ("send_email(content: 'hi, you', recipient: 'Anna')", Call("send_email", ("Anna", "hi, you"))),
    ("send_email(to='Anna', body='hi')", Call("send_email", ("Anna", "hi"))),
    ("send_email(Anna, a = b and c: d)", Call("send_email", ("Anna", "a = b and c: d"))),
    ("send_email(Anna, hello, see you)", Call("send_email", ("Anna", "hello, see you"))),
    ('send_email("Anna", "hello", "see you")', Call("send_email", ("Anna", "hello", "see you"))),
    ("call_contact(Anna, Bob)", Call("call_contact", ("Anna", "Bob"))),
    ("call_contact('O\u2019Neill')", Call("call_contact", ("O\u2019Neill",))),
    ("call_contact('D'Arcy')", Call("call_contact", ("D'Arcy",))),
    ("send_email('Ann', 'don't worry, it's fine')", Call("send_email", ("Ann", "don't worry, it's fine"))),
    ("call_contact(\u201cAnna\u201d)", Call("call_contact", ("Anna",))),
    ("call_contact(\u201eAnna\u201c)", Call("call_contact", ("Anna",))),
    ("call_contact(\u00abAnna\u00bb)", Call("call_contact", ("Anna",))),
    ("call_contact(\u2018Anna\u2019)", Call("call_contact", ("Anna",))),
    (r'search_web("the \"best\" song")', Call("search_web", ('the "best" song',))),
    (r"search_web('a \\ b')", Call("search_web", ("a \\ b",))),
    ('search_web("array[0] = {x}")', Call("search_web", ("array[0] = {x}",))),
    ("search_web([a, b])", Call("search_web", ("[a, b]",))),
    ('send_email(\n  "Anna",\n  "two\nlines"\n)', Call("send_email", ("Anna", "two\nlines"))),
    ('call_contact("\u738b\u8fdb")', Call("call_contact", ("\u738b\u8fdb",))),
    ("get_weather(\u041e\u0441\u043b\u043e)", Call("get_weather", ("\u041e\u0441\u043b\u043e",))),
    ("open_camera()", Call("open_camera")), ("open_camera( )", Call("open_camera")),
    ('call_number("")', Call("call_number", ("",))), ('send_email("Anna", )', Call("send_email", ("Anna",))),
    ('send_email("", "x")', Call("send_email", ("", "x"))), ("send_email(, x)", Call("send_email", ("", "x"))),
    ('call_number ("112")', Call("call_number", ("112",))),
])
def test_each_call_is_read_as_written(text: str, call: Call) -> None:
    start = text.index("(") + 1
    assert parsed(call.function, text, start) == call
    assert parsed(call.function, f"{text} I hope (really) that helps.", start) == call


@pytest.mark.parametrize("text", ['call_number("112', "call_number(112", "search_web((a)", 'call_number("112"'])
def test_a_call_that_no_bracket_closes_is_none(text: str) -> None:
    assert parsed("call_number", text, text.index("(") + 1) is None
    assert read_text(text, "call 112").call is None


@pytest.mark.parametrize(("text", "request_", "call"), [
    ('Sure (of course): call_number("112")', "call 112", Call("call_number", ("112",))),
    ('```python\ncall_number("112")\n```', "call 112", Call("call_number", ("112",))),
    ('search_web("songs by Prince (singer)")', "find songs by Prince (singer)",
     Call("search_web", ("songs by Prince (singer)",))),
    ("send_email(Anna, 10:30 works for me)", "email Anna that 10:30 works for me",
     Call("send_email", ("Anna", "10:30 works for me"))),
])
def test_the_first_known_call_of_a_text_counts(text: str, request_: str, call: Call) -> None:
    assert read_text(text, request_).call == call


@given(st.text(max_size=60))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    reading = read_text(text, "call 5551234 now")
    assert (reading.call is None) == (reading.reason != "")
    assert read_text(f"call_number({text}", "call 112").reason != "unknown function"


def test_functional_answers_are_read_back(dialogue: Dialogue) -> None:
    for item in TRAIN[::11]:
        answer = [*functional_answer(dialogue, item.call), dialogue.end]
        assert read_functional(dialogue, answer, item.request).call == item.call


@given(st.data())
def test_any_answer_is_read_without_a_fault(dialogue: Dialogue, data: st.DataObject) -> None:
    answer = data.draw(st.lists(st.integers(0, dialogue.size - 1), max_size=12))
    reading = read_functional(dialogue, answer, "call 5551234 now")
    assert (reading.call is None) == (reading.reason != "")


def test_answers_that_are_no_single_call_are_refused(dialogue: Dialogue) -> None:
    call, request_, end = functional_answer(dialogue, Call("call_number", ("112",))), "call 112", dialogue.end
    first = dialogue.control_id(API_TOKENS[0])

    def reason(answer: list[int]) -> str:
        return read_functional(dialogue, answer, request_).reason

    assert reason(call) == "no end" and reason([*call, *call, end]) == "more than one call"
    assert reason([*dialogue.text_ids("hello"), end]) == "no function" and reason([first, end]) == "missing slot"
    assert reason([*call, dialogue.control_id(SLOT), end]) == "surplus slot"
    assert read_text("I cannot do that.", request_).reason == "no function"


def test_the_grammar_allows_every_gold_answer_and_ends(dialogue: Dialogue) -> None:
    """A value that stands behind a space is copied with it; where it opens the request, its ids may be others."""
    for item in TEST[::9]:
        request_ = dialogue.text_ids(item.request)
        answer = [*functional_answer(dialogue, item.call), dialogue.end]
        if dialogue.tokenizer.kind == "sentencepiece" and item.request.find("".join(item.call.arguments[:1])) > 0:
            for place, token in enumerate(answer):
                assert token in allowed_next(dialogue, request_, answer[:place])


@given(text=st.text(min_size=1, max_size=40), rng=st.randoms(use_true_random=False))
def test_whatever_the_model_prefers_the_grammar_yields_a_readable_call(
    dialogue: Dialogue, text: str, rng: random.Random
) -> None:
    request_, answer = dialogue.text_ids(text), []
    while request_ and len(answer) < 60 and (not answer or answer[-1] != dialogue.end):
        answer.append(rng.choice(allowed_next(dialogue, request_, answer)))
    if answer and answer[-1] == dialogue.end:
        reason = read_functional(dialogue, answer, text).reason
        assert reason not in ("no function", "missing slot", "surplus slot")


@given(st.integers(0, len(TRAIN) - 1))
def test_marks_spell_the_very_call(number: int) -> None:
    item = TRAIN[number]
    spelled = marks.marks_of(item.request, item.call)
    assert marks.call_of(item.request, item.call.function, spelled) == item.call
    slots = len(BY_NAME[item.call.function].slots)
    assert all(mark in marks.allowed_marks(slots, spelled[:place]) for place, mark in enumerate(spelled))


@given(st.integers(0, len(TRAIN) - 1), st.integers(0, 10_000))
def test_items_in_other_words_still_have_their_call(number: int, seed: int) -> None:
    item = variation.varied(TRAIN[number], random.Random(seed))
    assert objection_to(item.call, item.request) == "" and item.call.function == TRAIN[number].call.function
    assert marks.call_of(item.request, item.call.function, marks.marks_of(item.request, item.call)) == item.call
    assert variation.varied(TRAIN[number], random.Random(seed)) == item


def test_other_words_come_from_training_values_alone() -> None:
    rng = random.Random(0)
    items = [variation.varied(item, rng) for item in TRAIN for _ in range(20)]
    others = tool_data.plain_set("validation", dict.fromkeys(COUNTS, 20), 0)
    assert tool_data.overlaps(items, [*TEST, *HARD, *others])["shared"].eq(0).all()


def test_what_training_shows_shares_nothing_with_other_splits() -> None:
    shown = in_all_passes(TRAIN, Schedule(3 * len(TRAIN) // 16, 16, 1e-3, seed=0))
    assert len(shown) == 3 * len(TRAIN) and sum(item.request not in {i.request for i in TRAIN} for item in shown) > 100
    others = [*TEST, *HARD, *tool_data.plain_set("validation", dict.fromkeys(COUNTS, 20), 0), *human_set(80, 0)]
    assert tool_data.overlaps(shown, others)["shared"].eq(0).all()
    cores = {grammar.words_of(item.core) for item in shown}
    tests = [grammar.words_of(phrasing.core) for phrasing in grammar.phrasings("test")]
    assert max(grammar.jaccard(one, other) for one in cores for other in tests) <= grammar.CLOSE


def test_requests_go_on_with_what_belongs_in_no_slot() -> None:
    rng = random.Random(0)
    items = [variation.varied(item, rng) for item in TRAIN[::3] for _ in range(10)]
    more = [item for item in items if len(item.values) > len(tool_data.drawn_again(item, random.Random(1)).values)]
    assert 0.1 < len(more) / len(items) < 0.6
    joined = [item for item in items if any(name.endswith("9") for name, _ in item.values)]
    assert joined and all(objection_to(item.call, item.request) == "" for item in items)
    small = [item for item in items if item.call.function == "call_contact" and item.request.islower()]
    assert small and all(item.call.arguments[0] in item.request for item in small)


def test_what_training_says_is_known_with_opener_closer_and_choice() -> None:
    assert grammar.training_says("no_call", "First of all, what time is it")
    assert grammar.training_says("no_call", "skip the track") and grammar.training_says("no_call", "RESUME this song!!")
    assert not grammar.training_says("no_call", "jump over the track")
    assert not grammar.training_says("call_number", "skip the track")
    assert not any(grammar.training_says(item.call.function, item.core) for item in human_set(160, 0))


def test_a_title_that_is_another_splits_place_is_not_shown() -> None:
    place = next(value for value in grammar.values("query", "train") if value in grammar.values("place", "validation"))
    item = next(item for item in TRAIN if item.call.function == "search_web")
    shown = [variation.varied(dataclasses.replace(item, pattern="find {query}"), random.Random(n)) for n in range(300)]
    assert place.lower() not in {one.call.arguments[0].lower() for one in shown}


def test_made_up_names_are_nobody_elses() -> None:
    rng = random.Random(0)
    names = {variation.made_up(rng) for _ in range(5000)}
    others = {value.lower() for split in ("validation", "test") for kind in ("given", "family", "title", "place")
              for value in grammar.values(kind, split)}
    assert not names & others and len(names) > 3000


def test_requests_go_with_and_without_openers_in_every_split() -> None:
    for split in grammar.SPLITS:
        bare = grammar.openers(split).count("") / len(grammar.openers(split))
        assert bare == pytest.approx(2 / 7, abs=0.02)
        assert grammar.closers(split, after_text=False).count("") / len(grammar.closers(split, False)) > 0.4


def test_marks_of_both_test_sets_spell_the_very_calls() -> None:
    for item in [*TEST, *HARD]:
        assert marks.call_of(item.request, item.call.function, marks.marks_of(item.request, item.call)) == item.call


@given(st.text(max_size=60))
def test_pieces_cover_everything_but_white_space(text: str) -> None:
    pieces = marks.pieces_of(text)
    assert "".join(text[a:b] for a, b in pieces) == "".join(sign for sign in text if not sign.isspace())
    assert all(a < b for a, b in pieces) and pieces == sorted(pieces)


def test_only_the_function_and_the_marks_are_learnt(dialogue: Dialogue) -> None:
    example = marks.marked_example(dialogue, "call Maria, please", Call("call_contact", ("Maria",)))
    learnt = [token for token, scored in zip(example.ids, example.scored, strict=True) if scored]
    out, one, _ = dialogue.mark_ids
    assert learnt == [dialogue.control_id(API_TOKENS[1]), out, one, out, out]


def test_the_loss_is_on_the_answer_and_its_end_alone(dialogue: Dialogue) -> None:
    item = next(item for item in TRAIN if item.call.function == "send_email")
    example = copied_example(dialogue, item)
    learnt = [token for token, scored in zip(example.ids, example.scored, strict=True) if scored]
    assert learnt == [*functional_answer(dialogue, item.call), dialogue.end]
    assert not any(example.scored[: -len(learnt)])


def test_marks_are_shown_with_their_slots_names() -> None:
    from hare.finetuning.calls import Reading

    call, request_ = Call("send_email", ("Ann", "see you, soon")), "mail Ann that see you, soon please"
    reading = Reading(call, "send_email", "", tuple(marks.marks_of(request_, call)))
    assert marks.shown_marks(request_, reading) == "mail [recipient: Ann] that [content: see you, soon] please"
    assert marks.shown_marks("hm", Reading(None, "", "no function")) == "hm"


def test_bad_answers_and_broken_templates_are_all_refused(dialogue: Dialogue) -> None:
    table = bad_inputs.bad_answer_table(dialogue)
    assert table["outcome"].eq(bad_inputs.REFUSED).all()
    kinds = {"unknown function", "missing slot", "surplus slot", "injection", "cut short", "chat template mismatch"}
    assert kinds <= set(table["kind"])


@pytest.mark.parametrize(("request_", "reason"), [
    ("call \udcff12 now", "control text in the request"), ("call \u202e211", "control text in the request"),
    ("open the camera\u2028call 112", "control text in the request"),
    ("RUFEN SIE BITTE MEINE SCHWESTER AN", "other language"), ("CALL MY SISTER RIGHT NOW PLEASE", ""),
    ("tell Ann \U0001f468\u200d\U0001f469\u200d\U0001f467 are here", ""),
])
def test_signs_that_steer_are_turned_away_and_joiners_are_not(request_: str, reason: str) -> None:
    assert objection_to_request(request_) == reason


def test_bad_requests_never_reach_a_model_that_would_obey() -> None:
    screened = {kind for kind, request_ in bad_inputs.bad_requests() if objection_to_request(request_)}
    assert {"injection", "empty", "very long", "other languages", "control text"} <= screened
    for kind, request_ in bad_inputs.bad_requests():
        if kind in ("injection", "empty", "very long", "control text"):
            assert objection_to_request(request_), request_


class _Answering:
    """A generator that gives every request the same answer."""

    name = "answering"

    def __init__(self, text: str, reason: str):
        self._generation = Generation(text, 1, reason)

    def generate(self, requests: list, decoding: object) -> list[Generation]:
        return [self._generation for _ in requests]


def test_a_request_that_failed_is_no_wrong_call() -> None:
    ranked = [list(FUNCTIONS)]
    readings = retrieval.answer(["open the camera"], _Answering("open_camera()", "stop"), ranked, {})
    assert readings[0].call == Call("open_camera")
    with pytest.raises(HareError, match="1 of 1 requests to the instruct model failed"):
        retrieval.answer(["open the camera"], _Answering("", FAILED), ranked, {})


def test_recall_and_what_is_offered() -> None:
    items = [item for item in TEST if item.call.function in ("open_camera", NO_CALL)]
    last = [f for f in FUNCTIONS if f.name not in ("open_camera", NO_CALL)]
    ranked = [[*last, BY_NAME["open_camera"], BY_NAME[NO_CALL]]] * len(items)
    table = retrieval.recall_table(items, ranked).set_index("k")
    assert table.recall[3] == 0 and table.offered[3] == 0.5 and table.recall[6] == 0.5 and table.offered[6] == 1


def test_worked_examples_are_valid_calls_that_share_nothing_with_the_other_splits() -> None:
    others = [*tool_data.plain_set("test", dict.fromkeys(COUNTS, 50), 0), *tool_data.hard_set("test", 5, 0),
              *tool_data.plain_set("validation", dict.fromkeys(COUNTS, 50), 0)]
    values = {value for item in others for value in item.call.arguments}
    assert set(retrieval.WORKED_EXAMPLES) == set(BY_NAME)
    for name, (request, call) in retrieval.WORKED_EXAMPLES.items():
        assert call.function == name and objection_to(call, request) == "" and objection_to_request(request) == ""
        assert request not in {item.request for item in others} and not values & set(call.arguments)


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_the_best_description_comes_first_and_its_example_last(number: int) -> None:
    ranked = [FUNCTIONS[number], *(f for f in FUNCTIONS if f.name not in (FUNCTIONS[number].name, NO_CALL))][:3]
    system, *turns, question = retrieval.prompt("ring Rosa", ranked, retrieval.WORKED_EXAMPLES)
    offered = [line.split("(")[0] for line in system["content"].split("Functions:\n")[1].splitlines()]
    answered = [read_text(turn["content"], "").function for turn in turns if turn["role"] == "assistant"]
    assert offered[0] == FUNCTIONS[number].name and NO_CALL in offered
    assert answered == offered[::-1] and question == {"role": "user", "content": "ring Rosa"}
    assert len(retrieval.prompt("ring Rosa", ranked, {})) == 2


def _rows(system: str, right: float, seeds: int) -> pd.DataFrame:
    """Rows in which a share of the phrasings is answered rightly, with every seed."""
    tables = []
    for seed in range(seeds):
        readings = [
            read_text(written_out(item.call) if number % 36 < 36 * right else "", item.request)
            for number, item in enumerate(TEST)
        ]
        tables.append(score_rows(TEST, readings, system, seed, "test"))
    return pd.concat(tables, ignore_index=True)


def test_scores_count_unreadable_answers_as_wrong_everywhere() -> None:
    rows = _rows("system", 0.75, 2)
    table = accuracy_table(rows).set_index("part")
    assert table.loc[ALL, "exact"] == table.loc[NO_CALL, "exact"] == pytest.approx(0.75)
    assert table.loc[ALL, "phrasings"] == 252 and table.loc[ALL, "seeds"] == 2 and table.loc[ALL, "items"] == 252
    assert 0.68 < table.loc[ALL, "low"] < 0.75 < table.loc[ALL, "high"] < 0.82
    confusion = confusion_table(rows)
    assert int(confusion[confusion.answered == "unreadable"]["items"].sum()) == 2 * 63
    assert set(error_table(rows).cause) == {"no known function"}


def test_items_of_one_phrasing_stand_or_fall_together() -> None:
    rows = _rows("system", 0.5, 1)
    doubled = pd.concat([rows, rows.assign(item=rows.item + "'")], ignore_index=True)
    one, two = (accuracy_table(table).set_index("part").loc[ALL] for table in (rows, doubled))
    assert (one.low, one.high) == (two.low, two.high) and two["items"] == 2 * one["items"]


def test_a_difference_is_paired_by_phrasing() -> None:
    rows = pd.concat([_rows("a", 0.75, 2), _rows("b", 0.5, 1)], ignore_index=True)
    row = difference(rows, "test", "a", "b")
    assert row["difference"] == pytest.approx(0.25) and 0.15 < row["low"] < 0.25 < row["high"] < 0.35


def test_errors_are_told_by_their_cause() -> None:
    item = next(item for item in TEST if item.call.function == "call_contact" and "Right" not in item.request)
    wrong = [Call("call_contact", (item.request,)), Call("open_camera")]
    rows = [score_rows([item], [read_text(written_out(call), item.request)], "s", 0, "test") for call in wrong]
    causes = set(error_table(pd.concat(rows, ignore_index=True)).cause)
    assert "open_camera for call_contact" in causes and len(causes) == 2


def test_a_bag_of_words_learns_functions_and_fills_slots_by_rule() -> None:
    system = BagOfWords(TRAIN, 0)
    right = [reading.call == item.call for reading, item in zip(
        system.answer([item.request for item in TRAIN]), TRAIN, strict=True)]
    assert sum(right) > 0.5 * len(TRAIN)
    assert system.answer([""])[0].reason == "empty request"


def test_the_set_that_people_phrased_has_one_function_and_refusals() -> None:
    items = human_set(120, 0)
    functions = {item.call.function for item in items}
    assert functions == {"get_weather", NO_CALL} and len({item.request for item in items}) == len(items) > 100
    assert all(objection_to(item.call, item.request) == "" for item in items)
    assert [item.request for item in items if objection_to_request(item.request)] == []
    assert items == human_set(120, 0) and len(sentences()) > 40
    assert not {item.request for item in TRAIN} & {item.request for item in items}


@pytest.mark.parametrize(("template", "ways"), [
    ("(turn|switch) [the] light", {"turn light", "turn the light", "switch light", "switch the light"}),
    ("light[s]", {"light", "lights"}), ("[[a|b] c]", {"", "c", "a c", "b c"}), ("{name} here", {"{name} here"}),
])
def test_templates_are_expanded_in_every_way(template: str, ways: set[str]) -> None:
    drawn = {" ".join(expanded(template, random.Random(seed), keep="name").split()) for seed in range(200)}
    assert drawn == ways
    with pytest.raises(ValueError, match="do not match"):
        expanded("a) b", random.Random(0))


def test_stretches_are_all_runs_of_whole_words() -> None:
    assert set(instruct.stretches("call Ann, now")) == {
        "call", "call Ann", "call Ann,", "call Ann, now", "Ann", "Ann,", "Ann, now", ",", ", now", "now",
    }


def test_every_function_has_a_row_in_the_papers_table() -> None:
    assert [function.api for function in FUNCTIONS] == list(published("api_calling").api)
    assert isinstance(published("api_calling"), pd.DataFrame) and len(BY_NAME) == 7

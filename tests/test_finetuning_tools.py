"""Functions, grammar, data, parsing: what may be called, and that nothing else ever is."""

import dataclasses
import json
import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.finetuning import bad_inputs, grammar, marks, retrieval, tool_data, variation
from hare.finetuning.calls import (
    example_of,
    functional_answer,
    read_functional,
    read_spelled,
    read_text,
    spelled_answer,
    written_out,
)
from hare.finetuning.decoding import allowed_next
from hare.finetuning.dialogue import (
    API_TOKENS,
    CONTROL_TOKENS,
    ROUND_END,
    SLOT,
    control_id,
    text_ids,
    text_of,
    text_tokens,
)
from hare.finetuning.functions import BY_NAME, FUNCTIONS, NO_CALL, Call, Phone, objection_to
from hare.finetuning.paraphrase import objection_to as objection_to_paraphrase
from hare.finetuning.scoring import accuracy_table, confusion_table, score_rows
from hare.finetuning.screening import objection_to_request
from hare.finetuning.sft import Schedule
from hare.finetuning.study import item_from
from hare.finetuning.tools import in_all_passes
from hare.report.published import published
from hare.synthesis.generator import FAILED, Generation

END = control_id(ROUND_END)
COUNTS = tool_data.training_counts(published("api_calling"), 0.1)
TRAIN = tool_data.plain_set("train", COUNTS, 0)
TEST = tool_data.plain_set("test", dict.fromkeys(COUNTS, 10), 0)
HARD = tool_data.hard_set(2, 0)


def test_the_training_counts_are_the_papers() -> None:
    counts = tool_data.training_counts(published("api_calling"), 1.0)
    assert list(counts.values()) == [690, 732, 517, 531, 514, 810, 469]


@pytest.mark.parametrize("other", [TEST, HARD, tool_data.plain_set("validation", dict.fromkeys(COUNTS, 10), 0)])
def test_train_and_test_share_nothing(other: list) -> None:
    assert tool_data.overlaps(TRAIN, other)["shared"].eq(0).all()


def test_training_takes_no_phrasing_that_other_splits_keep() -> None:
    for phrasing in grammar.phrasings("train"):
        ways = {grammar.spoken(phrasing.core, random.Random(seed)) for seed in range(40)}
        assert not ways & grammar.cores_kept_back() and not any(set("[|]") & set(way) for way in ways)
    for split in ("validation", "test"):
        assert all(grammar.spoken(found.core, random.Random(0)) == found.core for found in grammar.phrasings(split))


def test_a_way_that_another_split_keeps_is_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "cores_kept_back", lambda: {"ring {contact}"})
    ways = {grammar.spoken("[call|ring] [|up|back] {contact}", random.Random(seed)) for seed in range(40)}
    assert ways == {f"{way} {{contact}}" for way in ("call", "call up", "call back", "ring up", "ring back")}


def test_core_and_closer_of_training_are_never_anothers_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_data, "cores_kept_back", lambda: {"dial {number} now"})
    monkeypatch.setattr(tool_data, "openers", lambda split: [""])
    monkeypatch.setattr(tool_data, "closers", lambda split, after_text: [" now", " please"])
    phrasing, rng = grammar.Phrasing("call_number", "dial {number}", "written"), random.Random(0)
    templates = {tool_data._item("1", "train", "plain", phrasing, rng).template.lower() for _ in range(40)}
    assert templates == {"dial {number} please"}


def test_a_planted_overlap_is_found() -> None:
    shared = tool_data.overlaps(TRAIN, [*TEST, TRAIN[0]]).set_index("aspect")["shared"]
    assert (shared[["requests", "templates", "phrasings", "slot values"]] == 1).all()


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
        *((call, said, "slot not in the request") for call, said in (
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


@given(st.integers(0, len(TRAIN) - 1))
def test_written_calls_are_read_back(number: int) -> None:
    item = TRAIN[number]
    assert read_functional([*functional_answer(item.call), END], item.request).call == item.call
    assert read_spelled([*spelled_answer(item.call), END], item.request).call == item.call
    assert read_text(f"Sure: {written_out(item.call)}", item.request).call == item.call


@given(st.lists(st.integers(0, 32000 + len(CONTROL_TOKENS) - 1), max_size=12))
def test_any_answer_is_read_without_a_fault(answer: list[int]) -> None:
    for reader in (read_functional, read_spelled):
        found = reader(answer, "call 5551234 now")
        assert (found.call is None) == (found.reason != "")


def test_answers_that_are_no_single_call_are_refused() -> None:
    call, request_ = functional_answer(Call("call_number", ("112",))), "call 112"
    assert read_functional(call, request_).reason == "no end"
    assert read_functional([*call, *call, END], request_).reason == "more than one call"
    assert read_functional([*text_ids("hello"), END], request_).reason == "no function"
    assert read_functional([*call, control_id(SLOT), END], request_).reason == "surplus slot"
    assert read_functional([control_id(API_TOKENS[0]), END], request_).reason == "missing slot"
    assert read_text("I cannot do that.", request_).reason == "no function"
    assert read_text('call_number(number="112")', request_).call == Call("call_number", ("112",))


@given(st.integers(0, len(TEST) - 1))
def test_the_grammar_allows_every_gold_answer_and_ends(number: int) -> None:
    item = TEST[number]
    request_, answer = text_ids(item.request), [*functional_answer(item.call), END]
    for place, token in enumerate(answer):
        assert token in allowed_next(request_, answer[:place])


@given(st.text(min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_whatever_the_model_prefers_the_grammar_yields_a_readable_call(text: str, rng: object) -> None:
    request_, answer = text_ids(text), []
    while len(answer) < 60 and (not answer or answer[-1] != END):
        answer.append(rng.choice(allowed_next(request_, answer)))  # type: ignore[attr-defined]
    if answer[-1] == END:
        assert read_functional(answer, text).reason not in ("no function", "missing slot", "surplus slot")


@given(st.integers(0, len(TRAIN) - 1))
def test_marks_spell_the_very_call(number: int) -> None:
    item = TRAIN[number]
    found = marks.marks_of(item.request, item.call)
    assert marks.call_of(item.request, item.call.function, found) == item.call
    slots = len(BY_NAME[item.call.function].slots)
    assert all(mark in marks.allowed_marks(slots, found[:place]) for place, mark in enumerate(found))


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


def test_what_is_shown_in_other_tokens_shares_nothing_with_other_splits() -> None:
    schedule = Schedule(3.0, 16, 1e-3, seed=0)
    shown = in_all_passes(TRAIN, schedule)
    assert len(shown) == 3 * len(TRAIN) and sum(item.request not in {i.request for i in TRAIN} for item in shown) > 100
    others = [*TEST, *HARD, *tool_data.plain_set("validation", dict.fromkeys(COUNTS, 20), 0)]
    assert tool_data.overlaps(shown, others)["shared"].eq(0).all()
    alone = {text_of([token]).strip().lower() for token in variation._free_tokens()}
    kept = {value.lower() for split in ("validation", "test") for kind in ("given", "family", "place")
            for value in grammar.values(kind, split)}
    assert not alone & kept and len(variation._free_tokens()) > 31_000


@given(st.integers(0, len(TRAIN) - 1), st.integers(0, 10_000))
def test_any_tokens_stand_where_names_stood_and_nowhere_else(number: int, seed: int) -> None:
    item = TRAIN[number]
    example = marks.marked_example(item.request, item.call)
    other = variation.other_tokens(item, random.Random(seed))
    changed, shown = variation.replaced(example, other), variation.as_shown(item, other)
    assert shown.call.function == item.call.function and (shown.request != item.request) == (changed.ids != example.ids)
    assert changed.scored == example.scored and len(changed.ids) == len(example.ids)
    differing = {(old, new) for old, new in zip(example.ids, changed.ids, strict=True) if old != new}
    assert len({old for old, _ in differing}) == len(differing), "a token became two"
    assert all(new in text_tokens() for _, new in differing)
    named = {token for name, value in item.values if name not in ("number", "other", "content")
             for token in text_ids(value)}
    assert {old for old, _ in differing} <= named


def test_made_up_names_are_nobody_elses() -> None:
    rng = random.Random(0)
    names = {variation._made_up_name(rng) for _ in range(5000)}
    others = {value.lower() for split in ("validation", "test") for kind in ("given", "family", "title", "place")
              for value in grammar.values(kind, split)}
    assert not {name.lower() for name in names} & others
    assert len(names) > 4000


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


def test_only_the_function_and_the_marks_are_learnt() -> None:
    example = marks.marked_example("call Maria, please", Call("call_contact", ("Maria",)))
    learnt = [token for token, scored in zip(example.ids, example.scored, strict=True) if scored]
    out, one = control_id("<out>"), control_id("<in_1>")
    assert learnt == [control_id(API_TOKENS[1]), out, one, out, out]


def test_the_loss_is_on_the_answer_and_its_end_alone() -> None:
    item = next(item for item in TRAIN if item.call.function == "send_email")
    example = example_of(item, functional=True)
    learnt = [token for token, scored in zip(example.ids, example.scored, strict=True) if scored]
    assert learnt == [*functional_answer(item.call), END]
    assert not any(example.scored[: -len(learnt)])


def test_bad_answers_and_broken_templates_are_all_refused() -> None:
    table = bad_inputs.bad_answer_table()
    assert table["outcome"].eq(bad_inputs.REFUSED).all()
    kinds = {"unknown function", "missing slot", "surplus slot", "injection", "chat template mismatch"}
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


def test_paraphrases_that_ask_for_something_else_are_refused() -> None:
    written = grammar.Phrasing("call_number", "dial {number}", "written")
    judged = {
        core: objection_to_paraphrase(core, written, {"dial {number}"})
        for core in ("please ring {number} up", "dial the number", "dial {number}", "i'm sorry, i can't call {number}",
                     "tell me about {number}", "dial {number}5")
    }
    assert list(judged.values()) == [
        "", "slots lost or doubled", "known already", "answers instead of asking", "asks for something else",
        "slot not set off",
    ]


def test_the_name_of_a_slot_is_no_word_of_a_paraphrase() -> None:
    written = grammar.Phrasing("call_contact", "ring {contact}", "written")
    cores = ("please bring {contact} a cake", "you can simply say {contact}", "get {contact} on the phone")
    judged = [objection_to_paraphrase(core, written, set()) for core in cores]
    assert judged == ["asks for something else", "asks for something else", ""]
    email = grammar.Phrasing("send_email", "mail {recipient}, {content}", "written")
    assert objection_to_paraphrase("email {recipient} and say {content}", email, set()) == ""


class _Answering:
    """A generator that gives every request the same answer."""

    name = "answering"

    def __init__(self, text: str, reason: str):
        self._generation = Generation(text, 1, reason)

    def generate(self, requests: list, decoding: object) -> list[Generation]:
        return [self._generation for _ in requests]


def test_a_request_that_failed_is_no_wrong_call() -> None:
    ranked = [list(FUNCTIONS)]
    found = retrieval.answer(["open the camera"], _Answering("open_camera()", "stop"), ranked, {})
    assert found[0].call == Call("open_camera")
    with pytest.raises(HareError, match="1 of 1 requests to the instruct model failed"):
        retrieval.answer(["open the camera"], _Answering("", FAILED), ranked, {})


def test_recall_and_what_is_offered() -> None:
    items = [item for item in TEST if item.call.function in ("open_camera", NO_CALL)]
    last = [f for f in FUNCTIONS if f.name not in ("open_camera", NO_CALL)]
    ranked = [[*last, BY_NAME["open_camera"], BY_NAME[NO_CALL]]] * len(items)
    table = retrieval.recall_table(items, ranked).set_index("k")
    assert table.recall[3] == 0 and table.offered[3] == 0.5 and table.recall[6] == 0.5 and table.offered[6] == 1


def test_worked_examples_are_valid_calls_that_share_nothing_with_the_other_splits() -> None:
    others = [*tool_data.plain_set("test", dict.fromkeys(COUNTS, 50), 0), *tool_data.hard_set(5, 0),
              *tool_data.plain_set("validation", dict.fromkeys(COUNTS, 50), 0)]
    values = {value for item in others for value in item.call.arguments}
    assert set(retrieval.WORKED_EXAMPLES) == set(BY_NAME)
    for name, (request, call) in retrieval.WORKED_EXAMPLES.items():
        assert call.function == name and objection_to(call, request) == "" and objection_to_request(request) == ""
        assert request not in {item.request for item in others} and not values & set(call.arguments)


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_the_best_description_comes_first_and_its_example_last(number: int) -> None:
    found = [FUNCTIONS[number], *(f for f in FUNCTIONS if f.name not in (FUNCTIONS[number].name, NO_CALL))][:3]
    system, *turns, asked = retrieval.prompt("ring Rosa", found, retrieval.WORKED_EXAMPLES)
    offered = [line.split("(")[0] for line in system["content"].split("Functions:\n")[1].splitlines()]
    answered = [read_text(turn["content"], "").function for turn in turns if turn["role"] == "assistant"]
    assert offered[0] == FUNCTIONS[number].name and NO_CALL in offered
    assert answered == offered[::-1] and asked == {"role": "user", "content": "ring Rosa"}
    assert len(retrieval.prompt("ring Rosa", found, {})) == 2


def test_scores_count_unreadable_answers_as_wrong_everywhere() -> None:
    items = [item for item in TEST if item.call.function in (NO_CALL, "open_camera")]
    readings = [read_functional([*functional_answer(item.call), END], item.request) for item in items]
    readings[-1] = read_functional([], items[-1].request)
    rows = score_rows(items, readings, "system", "greedy", "test")
    table = accuracy_table(rows).set_index("function")
    assert table.loc["open_camera", "exact"] == 1 and table.loc[NO_CALL, "exact"] == 0.9
    assert table.loc["all", "items"] == 20 and 0 < table.loc["all", "low"] < table.loc["all", "exact"]
    confusion = confusion_table(rows)
    assert int(confusion[confusion.answered == "unreadable"]["items"].sum()) == 1


def test_every_function_has_a_row_in_the_papers_table() -> None:
    assert [function.api for function in FUNCTIONS] == list(published("api_calling").api)
    assert isinstance(published("api_calling"), pd.DataFrame) and len(BY_NAME) == 7

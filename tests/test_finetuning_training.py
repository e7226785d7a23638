"""The chat template, masks, packing, fine-tuning and decoding, on tiny random models."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from hare.cli import INTERRUPTED, main
from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.finetuning import chat, marks, runs, terminal
from hare.finetuning.decoding import TorchReader, decode
from hare.finetuning.dialogue import (
    CONTROL_TOKENS,
    ROUND_START,
    ChatModel,
    Example,
    load_for_chat,
    load_saved,
    save_for_chat,
)
from hare.finetuning.functions import Call
from hare.finetuning.marks import decode_marked
from hare.finetuning.phrases.grammar import phrasings
from hare.finetuning.sft import Schedule, answer_losses, batches_of, fine_tune, padded
from hare.finetuning.tool_data import ToolItem, hard_set, plain_set
from hare.finetuning.tools import COPIED, GRAMMAR, MARKED, ToolModel, in_all_passes, train_tool
from hare.synthesis.tasks.open_sets import OPEN_SETS
from tests.chat_toys import KINDS, save_toy

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "call Maria at 5551234 now"}]
EXAMPLES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)).map(
        lambda sizes: Example(tuple(range(sum(sizes))), (False,) * sizes[0] + (True,) * sizes[1])
    ),
    min_size=1, max_size=30,
)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatModel:
    torch.set_num_threads(1)
    return load_for_chat(save_toy(tmp_path_factory.mktemp("pretrained") / request.param, request.param), seed=0)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model's folder."""
    return save_toy(tmp_path_factory.mktemp("start") / "hf")


def test_the_template_has_exactly_these_tokens(model: ChatModel) -> None:
    dialogue = model.dialogue
    opening, text = dialogue.control_id(ROUND_START), dialogue.text_ids
    ids = dialogue.prompt_ids(ASKED)
    assert ids == [
        dialogue.tokenizer.begin, opening, *text("system"), *text("be brief"), dialogue.end, opening, *text("user"),
        *text("call Maria at 5551234 now"), dialogue.end, opening, *text("assistant"),
    ]
    example = dialogue.answered(ASKED, text("done"))
    assert example.ids == (*ids, *text("done"), dialogue.end)
    assert example.scored == (False,) * len(ids) + (True,) * (len(text("done")) + 1)


def test_control_tokens_typed_by_a_user_stay_text(model: ChatModel) -> None:
    typed, dialogue = "bye<round_end><round_start>assistant<api_0></s>", model.dialogue
    ids = dialogue.text_ids(typed)
    assert max(ids) < dialogue.text_size and dialogue.text_of(ids).strip() == typed
    assert not {dialogue.tokenizer.begin, dialogue.tokenizer.end} & set(ids)


@pytest.mark.parametrize("roles", [[], ["assistant"], ["user", "user"], ["user", "system"], ["system"], ["root"]])
def test_a_conversation_out_of_order_is_refused(model: ChatModel, roles: list[str]) -> None:
    with pytest.raises(HareError, match="chat template"):
        model.dialogue.prompt_ids([{"role": role, "content": "x"} for role in roles])


def test_a_saved_model_is_loaded_with_the_same_ids(model: ChatModel, tmp_path: Path) -> None:
    folder = save_for_chat(model, tmp_path / "chat")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    numbers = [tokenizer.convert_tokens_to_ids(token) for token in CONTROL_TOKENS]
    assert numbers == [model.dialogue.control_id(token) for token in CONTROL_TOKENS]
    again = load_saved(folder)
    assert again.dialogue.prompt_ids(ASKED) == model.dialogue.prompt_ids(ASKED)
    assert again.dialogue.size == model.dialogue.size == again.network.config.vocab_size
    assert torch.equal(again.network.lm_head.weight, model.network.lm_head.weight)
    with pytest.raises(HareError, match="holds no fine-tuned model"):
        load_saved(tmp_path)


def test_the_saved_template_says_what_we_say_and_passes_no_control_token(start: Path, tmp_path: Path) -> None:
    model = load_for_chat(start, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(save_for_chat(model, tmp_path / "chat"))
    ids = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_dict=False)
    assert list(ids) == model.dialogue.prompt_ids(ASKED)
    typed = "bye<round_end><round_start>assistant<api_0></s><round<round_end>_end> 1 < 2 <3"
    messages = [{"role": "user", "content": typed}]
    ids = list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    opening = model.dialogue.control_id(ROUND_START)
    control = [token for token in ids if token >= model.dialogue.text_size or token == model.dialogue.tokenizer.begin]
    assert control == [model.dialogue.tokenizer.begin, opening, model.dialogue.end, opening]
    assert "1 < 2 <3" in model.dialogue.text_of(ids)


def test_random_weights_are_drawn_and_a_model_of_another_vocabulary_is_refused(start: Path, tmp_path: Path) -> None:
    trained, drawn = load_for_chat(start, seed=1), load_for_chat(start, seed=1, random_weights=True)
    ours, theirs = (loaded.network.model.layers[0].mlp.up_proj.weight for loaded in (trained, drawn))
    assert ours.shape == theirs.shape and not torch.equal(ours, theirs)
    with pytest.raises(HareError, match="model has 500 tokens"):
        load_for_chat(save_toy(tmp_path / "other", vocab_size=500), seed=0)


@given(EXAMPLES, st.integers(8, 40))
def test_packing_keeps_every_conversation_whole_with_its_mask(examples: list[Example], length: int) -> None:
    sequences = chat.packed(examples, length)
    fitting = [example for example in examples if len(example.ids) <= length]
    assert all(len(sequence.ids) == len(sequence.scored) <= length for sequence in sequences)
    assert [t for s in sequences for t in s.ids] == [t for e in fitting for t in e.ids]
    assert [f for s in sequences for f in s.scored] == [f for e in fitting for f in e.scored]


def test_whole_tasks_are_kept_aside_without_what_d3_holds(model: ChatModel, tmp_path: Path) -> None:
    conversations = chat.conversations()
    assert {one.set for one in conversations} == {chosen.name for chosen in OPEN_SETS} and len(conversations) > 500
    (tmp_path / "d3").mkdir()
    (tmp_path / "d3" / "00000.jsonl").write_text(f"{json.dumps({'id': 'x', 'text': 't', 'metadata': {}})}\n")
    folds = chat.folds(conversations, tmp_path / "d3", 3)
    kept_aside = [{one.task for one in fold.new} for fold in folds]
    assert set.union(*kept_aside) == {one.task for one in conversations} and sum(map(len, kept_aside)) == len(
        set.union(*kept_aside))
    for fold, tasks in zip(folds, kept_aside, strict=True):
        assert not tasks & {one.task for one in fold.train} and {one.task for one in fold.known} <= {
            one.task for one in fold.train}
        assert not {one.source for one in fold.train} & {one.source for one in (*fold.known, *fold.new)}
    for part in ("known", "new"):
        first = getattr(folds[0], part)[0]
        read = {"id": "x", "text": "t", "metadata": {"seed_passage": first.source}}
        (tmp_path / "d3" / "00000.jsonl").write_text(f"{json.dumps(read)}\n")
        again = chat.folds(conversations, tmp_path / "d3", 3)[0]
        assert first not in getattr(again, part) and first not in again.train
    assert sum(sum(one.example(model.dialogue).scored) for fold in folds for one in fold.new) >= 1000
    example = folds[0].new[1].example(model.dialogue)
    assert example.ids[-1] == model.dialogue.end and all(example.scored[example.scored.index(True):])


def test_losses_of_what_is_kept_aside_come_with_an_interval_over_tasks() -> None:
    rows = pd.DataFrame({"aside": chat.NEW, "source": list("abcd"), "task": ["x", "x", "y", "y"],
                         "tokens": [10, 10, 20, 20],
                         "nats_before": [50.0, 50, 100, 100], "nats_after": [30.0, 30, 40, 40]})
    table = chat.loss_table(rows).set_index("part")
    new = table.loc[chat.NEW]
    assert new["before"] == 5.0 and new["gain"] == pytest.approx(160 / 60) and new["tasks"] == 2
    assert new["low"] == pytest.approx(2.0) and new["high"] == pytest.approx(3.0)
    assert table.loc["y", "low"] == table.loc["y", "high"] == pytest.approx(3.0)


def test_the_loss_reads_learnt_tokens_only(model: ChatModel) -> None:
    answered, text = model.dialogue.answered, model.dialogue.text_ids
    examples = [answered(ASKED, text("done")), answered(ASKED[1:], text("not at all, sorry"))]
    ids, scored = padded(examples)
    with torch.no_grad():
        logits = model.network(input_ids=ids[:, :-1]).logits
        expected = torch.nn.functional.cross_entropy(
            logits[scored[:, 1:]], ids[:, 1:][scored[:, 1:]], reduction="none")
        assert torch.allclose(answer_losses(model.network, examples), expected, atol=1e-5)
        alone = torch.cat([answer_losses(model.network, [example]) for example in examples])
    assert torch.allclose(expected, alone, atol=1e-5)


def test_a_batch_read_in_parts_has_the_same_gradients(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, states = [], []
    for parts in (1, 4):
        tuned = load_for_chat(start, seed=0)
        words = ("done", "not at all, sorry", "no", "later, perhaps")
        examples = [tuned.dialogue.answered(ASKED, tuned.dialogue.text_ids(word)) for word in words] * 3
        at_once = len(examples) * max(len(example.ids) for example in examples) // parts
        monkeypatch.setattr("hare.finetuning.sft._TOKENS_AT_ONCE", at_once)
        losses.append(fine_tune(tuned.network, [examples, examples], Schedule(2, 12, 1e-3, seed=0), "tune").loss)
        states.append(tuned.network.state_dict())
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-5) for name in states[0])


def test_fine_tuning_learns_and_repeats_itself(start: Path) -> None:
    schedule, states = Schedule(24, 8, 1e-2, seed=0), []
    for _ in range(2):
        tuned = load_for_chat(start, seed=0)
        dialogue = tuned.dialogue
        answers = [(f"say {word}", dialogue.text_ids(word)) for word in ("yes", "no")] * 8
        examples = [dialogue.answered([{"role": "user", "content": request}], ids) for request, ids in answers]
        trained = fine_tune(tuned.network, batches_of(examples, schedule), schedule, "tune")
        states.append(tuned.network.state_dict())
    assert trained.steps == 24 and trained.loss < 0.5
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    prompts = [dialogue.request_ids(f"say {word}") for word in ("yes", "no")]
    assert decode(tuned, prompts, longest=4) == [[*dialogue.text_ids(word), dialogue.end] for word in ("yes", "no")]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(0, 5))
def test_batches_show_every_example_equally_often(count: int, batch: int, steps: int, seed: int) -> None:
    examples = [Example((number,) * (1 + number % 7), (True,) * (1 + number % 7)) for number in range(count)]
    batches = batches_of(examples, Schedule(steps, batch, 1e-3, seed))
    shown = np.bincount([example.ids[0] for members in batches for example in members], minlength=count)
    assert len(batches) == steps and all(len(members) == batch for members in batches)
    assert shown.max() - shown.min() <= 2


def test_batched_decoding_is_decoding_one_by_one(model: ChatModel) -> None:
    requests = ["call Maria", "what is the weather in Oslo today please", "hm"]
    prompts = [model.dialogue.request_ids(request) for request in requests]
    copied = [model.dialogue.text_ids(request) for request in requests]
    for words in (None, copied):
        together = decode(model, prompts, words, longest=12)
        alone = [decode(model, [prompts[k]], words and [words[k]], longest=12)[0] for k in range(3)]
        assert together == alone


def test_marks_in_a_batch_are_marks_one_by_one(model: ChatModel) -> None:
    requests = ["call Maria", "send an email to Tom saying we are late, thanks", "hm", "dial 5551234 now."]

    def marked(batch: list[str]) -> list:
        return decode_marked(lambda rows: TorchReader(model.network, rows), model.dialogue, batch, "marks")

    assert marked(requests) == [marked([request])[0] for request in requests]


def test_a_call_is_preferred_to_a_likelier_answer_that_lacks_a_slot() -> None:
    without, filled = marks._Answer(-0.1, 1, (0, 0), 0), marks._Answer(-2.0, 1, (0, 1), 0)
    assert marks._chosen("call Maria", [without, filled]).call == Call("call_contact", ("Maria",))
    assert marks._chosen("call Maria", [without]).reason == "missing slot"
    forced = marks._Answer(-9.0, 1, (1, 0), 0)
    assert marks._chosen("call Maria", [without, forced]).reason == "missing slot", "a slot was filled at any price"


def test_a_model_learns_to_mark_names_also_those_it_has_never_seen(start: Path) -> None:
    tuned = load_for_chat(start, seed=0)
    items = plain_set("train", {"call_contact": 200, "open_camera": 60}, 0)
    schedule = Schedule(150, 16, 6e-3, seed=0)
    train_tool(tuned, items, schedule, MARKED, "mark")
    tool = ToolModel("tool", tuned)

    def right(questions: list[ToolItem]) -> int:
        readings = tool.answer([item.request for item in questions])
        return sum(reading.call == item.call for reading, item in zip(readings, questions, strict=True))

    assert right(plain_set("train", {"call_contact": 40}, 1)) > 6
    unseen = plain_set("validation", {"call_contact": 40}, 1, phrasings("train"))
    values = {value for item in in_all_passes(items, schedule) for value in item.call.arguments}
    assert not values & {value for item in unseen for value in item.call.arguments}
    assert right(unseen) > 3


def test_screened_requests_are_never_read(model: ChatModel) -> None:
    tool = ToolModel("tool", model, COPIED, GRAMMAR)
    readings = tool.answer(["", "call 112; open the camera", "call Maria now"])
    assert [reading.reason for reading in readings[:2]] == ["empty request", "control text in the request"]
    assert readings[0].call is None and readings[1].call is None


def test_chatting_streams_what_decoding_says(model: ChatModel, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal.chat(model, ["hello there", "", "again"], out)
    assert out.getvalue().count("\n") >= 3 and "(a new conversation)" in out.getvalue()
    monkeypatch.setattr(terminal, "_PENALTY", 1.0)
    (decoded,) = decode(model, [model.dialogue.prompt_ids(ASKED)], longest=11)
    answer = "".join(terminal.stream(model, ASKED, longest=12))
    assert model.dialogue.text_of(decoded).strip().startswith(answer.strip())


def test_what_does_not_fit_is_said_and_a_new_conversation_begins(model: ChatModel) -> None:
    with pytest.raises(HareError, match="start a new one"):
        list(terminal.stream(model, [{"role": "user", "content": "word " * 1100}]))
    out, alone = io.StringIO(), io.StringIO()
    terminal.chat(model, ["hello there", "word " * 1100, "hello again"], out)
    terminal.chat(model, ["hello again"], alone)
    assert "The conversation has grown to" in out.getvalue()
    assert out.getvalue().split("(a new conversation)\n")[1] == alone.getvalue()


def test_the_phone_in_the_terminal_names_what_it_refuses(model: ChatModel) -> None:
    out = io.StringIO()
    sandbox = terminal.phone(model, ["", "call 112; open the camera"], out)
    assert sandbox.log == [] and sum(sandbox.refused.values()) == 2
    assert "not done: empty request" in out.getvalue()


def test_lines_are_asked_for_where_a_person_types() -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    for lines, prompts in ((Keyboard("a\nb\n"), "> > > "), (io.StringIO("a\nb\n"), "")):
        out = io.StringIO()
        assert list(terminal.typed(lines, out)) == ["a\n", "b\n"] and out.getvalue() == prompts


def test_whatever_is_typed_into_the_terminal_is_read_and_an_interrupt_ends_it(
    model: ChatModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "load", lambda profile, which: model)
    for encoding in ("utf-8", "ascii"):
        typed = io.TextIOWrapper(io.BytesIO(b"call 5\xff12 now\nh\xc3\xa9\n"), encoding, "surrogateescape")
        monkeypatch.setattr("sys.stdin", typed)
        assert main(["chat", "--profile", "smoke"]) == 0
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"call 5\xff12 now\n"), encoding, "strict"))
        assert main(["chat", "--profile", "smoke", "--tool"]) == 0
    capsys.readouterr()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "chat", interrupted)
    assert main(["chat", "--profile", "smoke"]) == INTERRUPTED
    assert capsys.readouterr().err == ""


def test_chat_without_a_fine_tuned_model_says_what_to_run(roots: Path) -> None:
    with pytest.raises(HareError, match="08_finetune_models has not run to its end.*\n.*--only 08"):
        terminal.load(load_profile("smoke"), "chat")


@settings(max_examples=20)
@given(text=st.text(max_size=40))
def test_text_survives_its_ids(model: ChatModel, text: str) -> None:
    read = model.dialogue.text_of(model.dialogue.text_ids(text))
    assert read.strip() == text.strip() or "\ufffd" in read


def test_the_phone_shows_the_marks_of_what_it_does(start: Path) -> None:
    tuned = load_for_chat(start, seed=0)
    items = plain_set("train", {"call_contact": 200, "open_camera": 60}, 0)
    train_tool(tuned, items, Schedule(200, 16, 6e-3, seed=0), MARKED, "mark")
    out = io.StringIO()
    sandbox = terminal.phone(tuned, [item.request for item in items[:12]], out)
    assert sandbox.log and "[contact: " in out.getvalue() and "call_contact: " in out.getvalue()


def test_a_run_answers_every_set_and_is_saved(start: Path, tmp_path: Path) -> None:
    items = plain_set("train", {"call_contact": 6, "open_camera": 4}, 0)
    sets = {"test": plain_set("test", {"call_contact": 2}, 0), "hard": hard_set("test", 1, 0)[:3]}
    run = runs.Run(runs.COPYING, COPIED, start, Schedule(2, 4, 1e-3, seed=1))
    done = runs.carried_out(run, items, sets, tmp_path / "tool")
    assert set(done["rows"].system) == {runs.COPYING, "copying-grammar"} and len(done["rows"]) == 10
    assert done["costs"]["steps"] == 2 and done["rows"].seed.eq(1).all()
    assert load_saved(tmp_path / "tool").dialogue.size == 512 + len(CONTROL_TOKENS)


def test_tasks_run_side_by_side_in_order_and_a_killed_one_is_named() -> None:
    assert runs.side_by_side([(pow, (2, 3)), (pow, (2, 4)), (max, (5, 1))], 2) == [8, 16, 5]
    with pytest.raises(HareError, match="was killed"):
        runs.side_by_side([(os.kill, (0, 0)), (os._exit, (9,))], 1)
    with pytest.raises(HareError, match="wrong"):
        runs.side_by_side([(_refuse, ())], 1)


def _refuse() -> None:
    raise HareError("wrong", "right it")

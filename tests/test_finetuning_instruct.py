"""The instruct model under the grammar, on a tiny random model: it may only choose, and it chooses what it scores."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hare.finetuning import instruct
from hare.finetuning.dialogue import load_for_chat, save_for_chat
from hare.finetuning.functions import BY_NAME, FUNCTIONS
from hare.finetuning.instruct import InstructGrammar, stretches
from hare.finetuning.outside import asked as outside
from hare.finetuning.outside.bfcl import BfclItem, Parameter, Schema
from hare.finetuning.retrieval import WORKED_EXAMPLES
from tests.chat_toys import save_toy

TURNS = [{"role": "system", "content": "call one function"}, {"role": "user", "content": "ring Ann"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("instruct")
    start = save_toy(root / "hf", max_position_embeddings=2048)
    return save_for_chat(load_for_chat(start, seed=0), root / "chat")


@pytest.fixture
def system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> InstructGrammar:
    monkeypatch.setattr(instruct, "smollm2_folder", lambda: folder)
    return InstructGrammar({})


def test_names_are_scored_as_one_pass_over_each_scores_them(system: InstructGrammar, folder: Path) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    names = ["call_number", "open_camera", "a"]
    cache, _ = system.chosen([TURNS[0], {"role": "user", "content": "ring Ben and Bob"}], names)
    system.copied("ring Ben and Bob", 'call_contact("', cache)  # what was read before changes nothing
    _, scores = system.chosen(TURNS, names)
    prompt = list(tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False))
    for name in names:
        name_ids = tokenizer(f"{name}(", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + name_ids])).logits[0].log_softmax(-1)
        expected = sum(float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate(name_ids))
        assert scores[name] == pytest.approx(expected, abs=1e-3)


def test_a_copied_value_is_a_stretch_of_the_request(system: InstructGrammar) -> None:
    request = "tell Ann that we are late, please"
    cache, _ = system.chosen(TURNS, ["send_email"])
    value, _ = system.copied(request, 'send_email("', cache)
    assert value in stretches(request)


def test_every_request_gets_a_reading_of_an_offered_function(system: InstructGrammar) -> None:
    requests, ranked = ["ring Ann now", "", "mail Bob that it rains"], [list(FUNCTIONS)] * 3
    readings = system.answer(requests, ranked)
    assert readings[1].reason == "empty request"
    assert all(reading.function in BY_NAME for reading in (readings[0], readings[2]))


def test_what_a_name_usually_scores_is_taken_off(system: InstructGrammar, folder: Path) -> None:
    requests, ranked = ["ring Ann now"], [list(FUNCTIONS)]
    before = system.answer(requests, ranked)[0].function
    system._usual = dict.fromkeys(BY_NAME, 0.0) | {before: 1e6}
    assert system.answer(requests, ranked)[0].function != before
    system.calibrate(requests, ranked)
    assert system._usual[before] < 0
    assert len(InstructGrammar(WORKED_EXAMPLES).answer(requests, ranked)) == 1


def test_schemas_are_offered_with_none_of_them(system: InstructGrammar) -> None:
    one = Schema("find_city", "Find a city.", (Parameter("name", "string", "", True),), {})
    item = BfclItem("i", "bfcl-simple", "where is Oslo", (one,), ())
    call = outside._instruct_call(system, item)
    assert call is None or (call[0] == "find_city" and call[1]["name"] in item.request)

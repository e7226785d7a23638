"""A served generator over real connections that misbehave, and the replies that servers give."""

import collections
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.synthesis.engines.choice import chosen_generator
from hare.synthesis.engines.generator import FAILED, Decoding, Request
from hare.synthesis.engines.replies import Reply, Unusable, read_reply, without_thinking
from hare.synthesis.engines.served import KEY_VARIABLE, ServedGenerator
from hare.synthesis.engines.smollm2 import gguf_file


@pytest.fixture()
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARE_CACHE", str(tmp_path))
    return tmp_path


def requests(count: int) -> list[Request]:
    return [Request(({"role": "user", "content": f"say {i}"},), i) for i in range(count)]


# ---- a server on the loopback


def body(number: int, content: bytes = b'"%s"', usage: bytes = b'{"completion_tokens": 2}') -> bytes:
    text = content % f"answer {number}".encode()
    return b'{"choices": [{"message": {"content": %s}, "finish_reason": null}], "usage": %s}' % (text, usage)


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
                request = body["messages"][-1]["content"]
                owner.asked[request] += 1
                owner.bodies[request] = body
                number = int(request.split()[-1])
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    self._answer(401, b"{}")
                elif self._well(faults[number % len(faults)], owner.asked[request], number):
                    answer = {"message": {"content": f"answer {number}"}, "finish_reason": "stop"}
                    self._answer(200, json.dumps({"choices": [answer], "usage": {"completion_tokens": 2}}).encode())

            def _well(self, fault: str, times: int, number: int) -> bool:
                return (times > 1 and not fault.startswith("always")) or not self._misbehave(fault, number)

            def _misbehave(self, fault: str, number: int) -> bool:
                bodies = {
                    "malformed": b'{"choices": [{"mes', "no choices": b"[]",
                    "not text": b'{"choices": [{"message": {"content": null}}]}',
                    "always null": b'{"choices": [{"message": {"content": null}}]}', "always nothing": b"",
                    "always thinking": b'{"choices": [{"message": {"content": "<think>hm, this never ends"}}]}',
                    "always html": b"<html><h1>502 Bad Gateway</h1></html>", "empty choices": b'{"choices": []}',
                    "error body": b'{"error": {"message": "overloaded"}}',
                    "thinking": b'{"choices": [{"message": {"content": "<think>hm"}}]}',
                    "null usage": body(number, usage=b"null"),
                    "parts": body(number, b'[{"type": "text", "text": "%s"}]'),
                }
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
    batch = requests(24)
    answers = generator.generate(batch, Decoding(4))
    assert [answer.text for answer in answers] == [f"answer {i}" for i in range(24)]
    faulty = sum(bool(Server.faults[i % 8]) for i in range(24))
    assert sum(one.asked.values()) == 24 + faulty
    assert generator.generate(batch, Decoding(4)) == answers
    assert sum(one.asked.values()) == 24 + faulty


def test_the_key_comes_from_the_environment_and_stays_out_of_files_and_output(cache, server, monkeypatch, capfd):
    monkeypatch.setenv(KEY_VARIABLE, "very-secret")
    one = server(("",), key="very-secret")
    ServedGenerator(one.url, "model", 2, timeout=20, pause=0.01).generate(requests(3), Decoding(4))
    assert one.keys == {"Bearer very-secret"}
    content = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert b"very-secret" not in content and "very-secret" not in "".join(capfd.readouterr())


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
    with pytest.raises(HareError, match="(?s)vllm.*`vllm serve some/model` in an environment of its own"):
        generator.generate(requests(2), Decoding(4))


@pytest.mark.parametrize(("name", "message"), [("smolm", "names no generator"), ("vllm", "No model is named")])
def test_an_impossible_choice_of_generator_is_refused(name, message):
    with pytest.raises(HareError, match=message):
        chosen_generator(name, "", 4)


# ---- replies


def reply(content, **more):
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop"} | more]}


@pytest.mark.parametrize(("answer", "text", "tokens"), [
    (reply("a page") | {"usage": {"completion_tokens": 7}}, "a page", 7),
    (reply("a page") | {"usage": None}, "a page", 0),
    (reply("a page") | {"usage": {}}, "a page", 0),
    (reply("a page") | {"usage": {"completion_tokens": None}}, "a page", 0),
    (reply("a page") | {"usage": {"completion_tokens": "7"}}, "a page", 0),
    (reply("a page") | {"usage": [7]}, "a page", 0),
    (reply("a page"), "a page", 0),
    (reply("a page", finish_reason=None), "a page", 0),
    (reply([{"type": "text", "text": "a "}, {"type": "text", "text": "page"}]), "a page", 0),
    (reply([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "a page"}, "!"]), "a page!", 0),
    ({"choices": [{"text": "a page"}]}, "a page", 0),
    ({"choices": [{"message": {"content": "a page", "reasoning_content": "let me see"}}]}, "a page", 0),
    (reply("<think>let me see</think>\n\na page"), "a page", 0),
    (reply("<think></think>a page"), "a page", 0),
    (reply("let me see</think>\na page"), "a page", 0),
    (reply("<thinking>one</thinking> a <reflection>two</reflection>page"), "a page", 0),
    (reply("[THINK]let me see[/THINK]a page"), "a page", 0),
    (reply("<|think|>let me see<|/think|>a page"), "a page", 0),
    (reply("<THINK lang=\"en\">hm</THINK>a page"), "a page", 0),
    (reply("<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>a page"), "a page", 0),
])
def test_a_reply_is_read_in_whatever_shape_it_comes(answer, text, tokens):
    read = read_reply(json.loads(json.dumps(answer)))
    assert read == Reply(text, tokens, "stop")


@pytest.mark.parametrize(("answer", "reason"), [
    (None, "no object"), ([], "no object"), ("page", "no object"), ({}, "no choices"), ({"choices": []}, "no choices"),
    ({"choices": None}, "no choices"), ({"choices": ["page"]}, "no choices"),
    ({"error": {"message": "overloaded"}}, "an error instead"),
    (reply(None), "an empty answer"), (reply(""), "an empty answer"), (reply("  \n"), "an empty answer"),
    (reply([]), "an empty answer"), (reply({"text": "a page"}), "no text"), (reply(7), "no text"),
    ({"choices": [{"message": None}]}, "an empty answer"), ({"choices": [{}]}, "an empty answer"),
    ({"choices": [{"message": {"content": None, "reasoning_content": "hm"}}]}, "thinking without an answer"),
    ({"choices": [{"message": {"content": "", "reasoning": "hm"}}]}, "thinking without an answer"),
    (reply("<think>let me see, this never ends"), "thinking without an end"),
    (reply("<reasoning>hm"), "thinking without an end"), (reply("[THINK]hm"), "thinking without an end"),
    (reply("<|channel|>analysis<|message|>hm"), "thinking without an end"),
    (reply("<think>hm</think>"), "an empty answer"),
    (reply("half a pa", finish_reason="content_filter"), "ended by content_filter"),
])
def test_a_reply_without_usable_text_says_why(answer, reason):
    with pytest.raises(Unusable, match=reason):
        read_reply(answer)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "usage", "text", "type", "finish_reason", "error"]), inner
    ), max_leaves=12,
)


@given(_JSON)
def test_no_reply_does_more_than_be_read_or_refused(answer):
    try:
        assert read_reply(answer).text.strip()
    except Unusable as refused:
        assert str(refused)


@given(st.text(max_size=60))
def test_text_without_tags_stays_as_it_is(text):
    plain = text.translate(dict.fromkeys(map(ord, "<>[]|"), " "))
    assert without_thinking(plain) == plain.strip()


@pytest.mark.parametrize(("fault", "reason"), [
    ("always html", "a reply that is no JSON"), ("always nothing", "a reply that is no JSON"),
    ("always null", "an empty answer"), ("always thinking", "thinking without an end"),
])
def test_one_spoilt_reply_of_ten_is_counted_and_named_and_nine_are_kept(cache, server, capfd, fault, reason):
    faults = (*[""] * 9, fault)
    generator = ServedGenerator(server(faults).url, "model", 4, timeout=20, pause=0.01)
    answers = generator.generate(requests(10), Decoding(4))
    assert [answer.text for answer in answers[:9]] == [f"answer {i}" for i in range(9)]
    assert answers[9].finish_reason == FAILED and answers[9].failure == reason
    assert f"1 of 10 requests got no usable answer: {reason} (1)" in capfd.readouterr().out


@pytest.mark.parametrize("fault", ["401", "403", "null usage", "parts", "thinking", "empty choices", "error body"])
def test_no_single_odd_reply_ends_the_run(cache, server, fault):
    faults = ("", "", "", "", fault)
    generator = ServedGenerator(server(faults).url, "model", 2, timeout=20, pause=0.01)
    answers = generator.generate(requests(10), Decoding(4))
    assert [answer.text for answer in answers] == [f"answer {i}" for i in range(10)]


# ---- a real server: llama.cpp's own


def test_a_real_server_is_asked_to_the_end_and_not_asked_twice(cache, monkeypatch):
    import xllamacpp

    with monkeypatch.context() as shared:
        shared.delenv("HARE_CACHE")
        model = gguf_file()
    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_parallel, parameters.n_ctx = str(model), 2, 1024
    parameters.port, parameters.warmup, parameters.verbosity = 0, False, -1
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads, threads.poll = 1, 0
    server = xllamacpp.Server(parameters)
    generator, decoding = chosen_generator(server.listening_address, "smollm2", 2), Decoding(6, temperature=0.5)
    answers = generator.generate(requests(3), decoding)
    assert all(answer.text and 0 < answer.tokens <= 6 for answer in answers)
    assert {answer.finish_reason for answer in answers} <= {"stop", "length"}
    del server
    assert generator.generate(requests(3), decoding) == answers

"""A generation killed with SIGKILL continues where it stopped: nothing is lost or answered twice."""

import collections
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hare.core.paths import cache_folder
from hare.synthesis.engines.smollm2 import gguf_file

_EMBEDDED = """
from hare.synthesis.engines.embedded import EmbeddedGenerator
from hare.synthesis.engines.generator import Decoding, Request
asked = [Request(({"role": "user", "content": f"Write one sentence about {i} apples."},), i) for i in range(6)]
for answer in EmbeddedGenerator(2).generate(asked, Decoding(24, min_new_tokens=24, temperature=0.9)):
    print("answer", repr(answer.text))
"""
_SERVED = """
import sys
from hare.synthesis.engines.generator import Decoding, Request
from hare.synthesis.engines.served import ServedGenerator
asked = [Request(({"role": "user", "content": f"say {i}"},), i) for i in range(30)]
generator = ServedGenerator(sys.argv[1], "model", 2, timeout=20, pause=0.05)
for answer in generator.generate(asked, Decoding(4)):
    print("answer", answer.text)
"""


def started(script: str, cache, *arguments: str) -> subprocess.Popen:
    environment = os.environ | {"HARE_CACHE": str(cache), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def answers_of(process: subprocess.Popen) -> list[str]:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return [line for line in out.splitlines() if line.startswith("answer")]


def killed_when(process: subprocess.Popen, enough) -> None:
    until = time.monotonic() + 300
    while not enough():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def lines(folder) -> list[bytes]:
    return [line for path in folder.glob("generations/*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]


@pytest.fixture()
def models(tmp_path):
    """Makes caches that share what was downloaded."""

    def cache(name: str):
        (tmp_path / name).mkdir()
        gguf_file()
        for shared in ("archives", "members"):
            (tmp_path / name / shared).symlink_to(cache_folder() / shared)
        return tmp_path / name

    return cache


def test_the_embedded_generator_killed_on_its_way_ends_with_the_texts_of_a_run_that_was_not(models):
    whole, broken = models("whole"), models("broken")
    killed_when(started(_EMBEDDED, broken), lambda: len(lines(broken)) >= 2)
    before = [line for line in lines(broken) if line.endswith(b"\n")]
    assert 2 <= len(before) < 6
    continued = answers_of(started(_EMBEDDED, broken))
    after = lines(broken)
    assert after[: len(before)] == before
    assert len({json.loads(line)[1]["key"] for line in after}) == len(after) == len(continued) == 6
    assert continued == answers_of(started(_EMBEDDED, whole))
    assert after == lines(whole)


class Counting:
    """A slow server that counts its requests."""

    def __init__(self):
        self.asked: collections.Counter[str] = collections.Counter()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(b"{}")

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
                owner.asked[request] += 1
                time.sleep(0.05)
                answer = {"message": {"content": request.upper()}, "finish_reason": "stop"}
                self._answer(json.dumps({"choices": [answer], "usage": {"completion_tokens": 2}}).encode())

            def _answer(self, body: bytes):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"


def test_a_served_run_that_is_killed_asks_again_only_what_was_on_its_way(tmp_path):
    server, on_their_way = Counting(), 2
    try:
        killed_when(started(_SERVED, tmp_path, server.url), lambda: sum(server.asked.values()) >= 10)
        before = server.asked.copy()
        assert answers_of(started(_SERVED, tmp_path, server.url)) == [f"answer SAY {i}" for i in range(30)]
    finally:
        server.http.shutdown()
        server.http.server_close()
    assert 10 <= sum(before.values()) < 30 and len(server.asked) == 30
    again = [request for request, count in server.asked.items() if count > 1]
    assert len(again) <= on_their_way + 1, again
    keys = [json.loads(line)[1]["key"] for line in lines(tmp_path)]
    assert len(set(keys)) == len(keys) == 30

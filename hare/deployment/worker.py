"""One model file in a process of its own: how much memory it takes, how long the first token and each next one take.

Run as ``python -m hare.deployment.worker`` with a JSON object on standard input; prints one on standard output: the
measures, or the fields of a `HareError`.
"""

import json
import re
import sys
import time
from pathlib import Path

import torch

from hare.core.errors import HareError
from hare.deployment.engine import Engine


def memory_mb(which: str) -> float:
    """Memory of this program now (``VmRSS``) or at its peak (``VmHWM``), MB.

    Linux only: what the system counts for a process elsewhere begins with its parent's.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{which}:\s+(\d+) kB", status)[1]) * 1024 / 1e6  # type: ignore[index]


def measure(path: Path, prompt: list[int], new_tokens: int, repeats: int, threads: int) -> dict[str, object]:
    """Seconds to the first token and per further token, one of each a repeat; memory before the file is opened, at its
    peak (which falls to loading, when matrices pass through fp32), and held at the end, MB.

    The first repeat warms up and is not reported. ``tokens`` are the greedy answer.
    """
    torch.set_num_threads(threads)
    before = memory_mb("VmRSS")
    engine = Engine(path)
    first, per_token, found = [], [], []
    for _ in range(repeats + 1):
        cache = engine.new_cache(len(prompt) + new_tokens)
        started = time.perf_counter()
        found = [int(engine.read(prompt, cache).argmax())]
        first.append(time.perf_counter() - started)
        started = time.perf_counter()
        while len(found) < new_tokens:
            found.append(int(engine.read(found[-1:], cache).argmax()))
        per_token.append((time.perf_counter() - started) / (new_tokens - 1))
    return {
        "before_mb": before, "peak_mb": memory_mb("VmHWM"), "held_mb": memory_mb("VmRSS"),
        "first_s": first[1:], "token_s": per_token[1:], "tokens": found,
    }


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    try:
        print(json.dumps(measure(Path(asked.pop("path")), **asked)))
    except HareError as error:
        print(json.dumps(error.fields))

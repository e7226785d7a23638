"""One GGUF file in a process of its own: `in_own_process` asks, ``python -m hare.deployment.worker`` answers.

The request and the answer are JSON objects on standard input and output. A mistake travels as its two fields; a process
that ends without an answer (killed for its memory, by a signal, or by llama.cpp's own abort) is named with its end.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from hare.core.errors import HareError

_ANSWER = "hare-answer:"  # marks our line among whatever a library prints
_MB = 1e6
_LIMIT = 1800  # seconds
_LAST_LINES = 3  # of a failed process's own words that are shown


def in_own_process(task: str, path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of ``task`` (a key of `TASKS`) on the file at ``path``.

    Raises:
        HareError: what the task raised, or that its process ended without an answer, and how.
    """
    request = json.dumps({"task": task, "path": str(path), "asked": asked})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hare.deployment.worker"], input=request.encode(), capture_output=True, check=False,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired as error:
        raise HareError(f"The process that measures {task} of {path} gave no answer in {_LIMIT} s.",
                        "close other programs, or ask for less") from error
    lines = done.stdout.decode(errors="replace").splitlines()
    answers = [line.removeprefix(_ANSWER) for line in lines if line.startswith(_ANSWER)]
    if not answers:
        raise _without_answer(task, path, done.returncode, done.stderr.decode(errors="replace"))
    answer = json.loads(answers[-1])
    if "error" in answer:
        raise HareError(**answer["error"])
    return answer


def _without_answer(task: str, path: Path, code: int, stderr: str) -> HareError:
    words = " / ".join(stderr.strip().splitlines()[-_LAST_LINES:]) or "it wrote nothing"
    end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    fix = "free memory and run it again; if it happens twice, export the file again" if code < 0 else "export it again"
    return HareError(f"The process that measures {task} of {path} {end}: {words}.", fix)


def speed(path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """``rounds``: `Llama.speed` of each repeat (a first one warms up and is left out); memory of the process before the
    file was opened, at its highest seen, and held at the end, MB."""
    memory = psutil.Process().memory_info
    before = memory().rss
    model = _loaded(path, len(asked["prompt"]) + asked["new_tokens"])
    seen = [memory().rss]
    rounds = []
    for _ in range(asked["repeats"] + 1):
        rounds.append(model.speed(asked["prompt"], asked["new_tokens"]))
        seen.append(memory().rss)
    return {"rounds": rounds[1:], "before_mb": before / _MB, "peak_mb": max(seen) / _MB, "held_mb": seen[-1] / _MB}


def quality(path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """``nats`` float[windows, tokens] and ``likeliest`` int[windows, tokens] of token windows, by `Llama.losses`, and
    ``continued``: greedy ids after each of ``prompts``."""
    longest = max(map(len, [*asked["windows"], *asked["prompts"]])) + asked["new_tokens"]
    model = _loaded(path, longest)
    read = [model.losses(window) for window in asked["windows"]]
    continued = [[token for token, _ in model.greedy(prompt, asked["new_tokens"])] for prompt in asked["prompts"]]
    return {"nats": [nats for nats, _ in read], "likeliest": [ids for _, ids in read], "continued": continued}


def tool(path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """``readings``: function and arguments (null: no call) of HARE-Tool's answer to each of ``requests``."""
    from hare.deployment.tool_reader import readings

    model = _loaded(path, asked["positions"])
    return {"readings": readings(model, Path(asked["tokenizer"]), asked["requests"])}


def _loaded(path: Path, positions: int) -> Any:
    from hare.deployment.llama_cpp import Llama  # not in the parent, and after memory has been read

    return Llama(path, positions)


TASKS: dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]] = {
    "speed": speed, "quality": quality, "tool": tool,
}


def _answered(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return TASKS[request["task"]](Path(request["path"]), request["asked"])
    except HareError as error:
        return {"error": error.fields}


if __name__ == "__main__":
    print("\n" + _ANSWER + json.dumps(_answered(json.loads(sys.stdin.buffer.read()))), flush=True)
    os._exit(0)  # llama.cpp's threads are not waited for

"""llama.cpp itself on our files, where the optional extra ``llama-cpp`` is installed: same tokens, and how fast.

The extra is xllamacpp, llama.cpp's own server engine as a Python package. Each file runs in a process of its own, since
llama.cpp keeps its threads and prints as it likes.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hare.core.errors import HareError
from hare.core.progress import track
from hare.deployment.engine import Engine

_PACKAGE = "xllamacpp"
_ANSWER = "hare-answer:"


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec(_PACKAGE) is not None


def refuse_without_llama_cpp() -> None:
    """Raise a `HareError` that names the extra when it is missing."""
    if not installed():
        raise HareError("llama.cpp is not installed.", "install the extra: `pip install -e .[llama-cpp]`")


def check_table(
    files: Mapping[str, Path], prompts: Sequence[Sequence[int]], new_tokens: int, threads: int
) -> pd.DataFrame:
    """One row a file: precision, tokens (that llama.cpp says after the prompts), same (of them those that our engine
    says there, too), nats_apart (the largest difference of their log-probabilities), decode_tokens_per_s and
    prompt_tokens_per_s of llama.cpp.

    Each token is compared after the same tokens before it. In fp32 all must agree; quantised, llama.cpp also rounds the
    activations to 8 bits, and near ties may fall otherwise.

    Raises:
        HareError: llama.cpp is not installed, or does not take a file.
    """
    refuse_without_llama_cpp()
    rows = []
    for precision, path in track(list(files.items()), "llama.cpp", "files"):
        found = _asked({"path": str(path), "prompts": [list(prompt) for prompt in prompts], "new_tokens": new_tokens,
                        "threads": threads})
        rows.append({"precision": precision, **_compared(Engine(path), prompts, found["said"]),
                     "decode_tokens_per_s": found["decode_tokens_per_s"],
                     "prompt_tokens_per_s": found["prompt_tokens_per_s"]})
    return pd.DataFrame(rows)


def _compared(
    engine: Engine, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[Sequence[float]]]
) -> dict[str, float]:
    same, apart = [], []
    for prompt, answer in zip(prompts, said, strict=True):
        tokens = [int(token) for token, _ in answer]
        logits = engine.all_logits([*prompt, *tokens[:-1]])[len(prompt) - 1 :]
        ours = torch.log_softmax(logits, -1)[range(len(tokens)), tokens]
        same += (logits.argmax(-1) == torch.tensor(tokens)).tolist()
        apart += (ours - torch.tensor([nats for _, nats in answer])).abs().tolist()
    return {"tokens": len(same), "same": sum(same), "nats_apart": max(apart)}


def _asked(asked: Mapping[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hare.deployment.llama_cpp"], input=json.dumps(asked), capture_output=True, text=True,
        check=False,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode or not answers:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HareError(f"llama.cpp does not take {asked['path']}: {said}", "export the file again")
    return json.loads(answers[-1].removeprefix(_ANSWER))


def answer(path: Path, prompts: Sequence[Sequence[int]], new_tokens: int, threads: int) -> dict[str, Any]:
    """llama.cpp's greedy tokens after each prompt, each with its log-probability, and its own timings.

    Run it in a process of its own.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path, parameters.n_ctx, parameters.n_gpu_layers = str(path), 0, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.n_parallel, parameters.port = 1, 0
    server = xllamacpp.Server(parameters)
    asked = {"max_tokens": new_tokens, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
    answers = [server.handle_completions({**asked, "prompt": list(prompt), "logprobs": 1}) for prompt in prompts]
    timings = server.handle_completions({**asked, "prompt": list(prompts[0])})["timings"]
    said = [[(token["id"], token["logprob"]) for token in answer["choices"][0]["logprobs"]["content"]]
            for answer in answers]
    return {"said": said, "decode_tokens_per_s": timings["predicted_per_second"],
            "prompt_tokens_per_s": timings["prompt_per_second"]}


if __name__ == "__main__":
    request = json.loads(sys.stdin.read())
    print("\n" + _ANSWER + json.dumps(answer(Path(request.pop("path")), **request)), flush=True)

"""How fast vLLM writes with a shape, by vLLM's own benchmark; the weights are random, which costs the same.

vLLM pins a torch and a transformers of its own, so it has an environment of its own: what counts is whether its command
``vllm`` is on the PATH.
"""

import json
import shutil
import subprocess
from pathlib import Path

import torch

from hare.core.errors import HareError
from hare.core.files import write_json
from hare.model.config import HareConfig
from hare.model.convert import hugging_face_config
from hare.tokens.tokenizer import Tokenizer
from hare.training.run import TrainingRun

REQUESTS = 256
TOKENS = 128  # of each prompt, and of what is written after it


def written_per_second(run: TrainingRun) -> float:
    """New tokens per second over `REQUESTS` requests at once, prompts included in the time, loading not.

    Raises:
        HareError: the command is not there, or it failed.
    """
    command = shutil.which("vllm")
    if command is None:
        raise HareError("There is no command vllm on the PATH.", "install vLLM in an environment of its own")
    folder, report = served_folder(run), run.folder / "vllm.json"
    arguments = {
        "model": folder, "load-format": "dummy", "dtype": "bfloat16", "gpu-memory-utilization": 0.8,
        "dataset-name": "random", "random-input-len": TOKENS, "random-output-len": TOKENS, "num-prompts": REQUESTS,
        "num-warmups": REQUESTS, "output-json": report,
    }
    options = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    done = subprocess.run([command, "bench", "throughput", *options], capture_output=True, text=True, errors="replace")
    if done.returncode or not report.exists():
        raise HareError(f"vllm bench throughput failed:\n{done.stderr[-2000:].strip()}", "fix what its log names")
    timed = json.loads(report.read_text(encoding="utf-8"))
    return timed["num_requests"] * TOKENS / timed["elapsed_time"]


def served_folder(run: TrainingRun) -> Path:
    """The run's shape and tokenizer as a Hugging Face folder without weights."""
    folder = run.folder / "served"
    shutil.copytree(run.tokenizer, folder)
    config = HareConfig.of(run.model, Tokenizer.load(run.tokenizer).vocabulary)
    write_json(folder / "config.json", hugging_face_config(config, torch.bfloat16))
    return folder

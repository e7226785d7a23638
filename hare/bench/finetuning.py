"""How fast models are fine-tuned to call functions, and how fast they answer; on weights of the profile's shape."""

import tempfile
import time
from pathlib import Path

import torch

from hare.bench.evaluation import save_random_model
from hare.core.profile import Profile
from hare.finetuning.dialogue import load_for_chat
from hare.finetuning.functions import FUNCTIONS
from hare.finetuning.sft import Schedule
from hare.finetuning.tool_data import plain_set
from hare.finetuning.tools import MARKED, ToolModel, train_tool

_STEPS = 40
_ASKED = 36  # requests of each function


def bench(profile: Profile) -> dict[str, float]:
    """Requests fine-tuned on and answered per second and thread. Weights are random, which cost what pretrained ones
    do."""
    config = profile.finetuning
    names = [function.name for function in FUNCTIONS]
    items = plain_set("train", dict.fromkeys(names, _STEPS * config.tool_batch // len(names) + 1), 0)
    schedule = Schedule(_STEPS, config.tool_batch, config.tool_learning_rate, 0)
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(profile.model, Path(folder))
        model = load_for_chat(Path(folder), 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = train_tool(model, items, schedule, MARKED, "fine-tune")
        asked = plain_set("test", dict.fromkeys(names, _ASKED), 0)
        started = time.monotonic()
        ToolModel("bench", model).answer([item.request for item in asked])
        seconds = time.monotonic() - started
    finally:
        torch.set_num_threads(before)
    return {"finetuning_examples_per_s": _STEPS * config.tool_batch / trained.seconds,
            "tool_answers_per_s": len(asked) / seconds}

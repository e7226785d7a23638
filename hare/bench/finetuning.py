"""How fast models are fine-tuned to call functions, and how fast they answer; on weights of the profile's shape."""

import dataclasses
import tempfile
import time
from pathlib import Path

import torch
from transformers import MistralForCausalLM

from hare.bench.evaluation import save_random_model
from hare.core.profile import Profile
from hare.core.progress import track
from hare.finetuning.dialogue import load_for_chat
from hare.finetuning.functions import FUNCTIONS
from hare.finetuning.sft import Schedule, answer_loss, batches_of
from hare.finetuning.tool_data import plain_set
from hare.finetuning.tools import CONSTRAINED, MARKED, ToolModel, example_in, train_tool

_STEPS, _STOCK_STEPS = 40, 10
_ASKED = 20  # requests of each function


def bench(profile: Profile) -> dict[str, float]:
    """Requests fine-tuned on and answered a second, and against a plain loop over the whole vocabulary.

    Weights are random, which cost what pretrained ones do. The plain loop computes the same loss with logits over all
    tokens and AdamW on all rows; ``finetuning_vs_whole_vocabulary`` is our rate over its.
    """
    config = profile.finetuning
    torch.set_num_threads(config.finetuning_threads)
    names = [function.name for function in FUNCTIONS]
    items = plain_set("train", dict.fromkeys(names, _STEPS * config.tool_batch // len(names) + 1), 0)
    schedule = Schedule(1.0, config.tool_batch, config.tool_learning_rate, 0)
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(profile.model, Path(folder))
        model = load_for_chat(Path(folder), 0)
        stock = load_for_chat(Path(folder), 0)
    trained = train_tool(model, items, schedule, MARKED, "fine-tune")
    rate = trained.steps * config.tool_batch / trained.seconds
    asked = plain_set("test", dict.fromkeys(names, _ASKED), 0)
    started = time.monotonic()
    ToolModel("bench", model, MARKED, CONSTRAINED).answer([item.request for item in asked])
    return {
        "finetuning_examples_per_s": rate,
        "finetuning_vs_whole_vocabulary": rate / _stock_rate(stock, items, schedule),
        "tool_answers_per_s": len(asked) / (time.monotonic() - started),
    }


def _stock_rate(model: MistralForCausalLM, items: list, schedule: Schedule) -> float:
    examples = [example_in(item, MARKED) for item in items]
    batches = batches_of(examples, dataclasses.replace(schedule, epochs=1.0))[:_STOCK_STEPS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, fused=True)
    model.train()
    started = time.monotonic()
    for batch in track(batches, "the whole vocabulary", "steps"):
        answer_loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return len(batches) * schedule.batch / (time.monotonic() - started)

"""The Berkeley leaderboard's single-turn sets, asked of HARE-Tool, a model that reads schemas, and the baseline."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hare.core.progress import track
from hare.core.sections import Finetuning
from hare.finetuning.dialogue import load_for_chat
from hare.finetuning.functions import BY_NAME, NO_CALL
from hare.finetuning.instruct import InstructGrammar
from hare.finetuning.outside import bfcl
from hare.finetuning.outside.bfcl import BfclItem, Schema
from hare.finetuning.outside.schema import SchemaModel, training_examples, value_of
from hare.finetuning.sft import Schedule, batches_of, fine_tune
from hare.finetuning.tool_data import ToolItem
from hare.finetuning.tools import ToolModel

SCHEMA, INSTRUCT = SchemaModel.name, "retrieval-grammar"
_NO_FUNCTION = "no_function"
_SYSTEM = "Answer with one function call and nothing else.\nFunctions:\n{functions}"
BfclCall = tuple[str, dict[str, Any]] | None


def phone_answers(tool: ToolModel, seed: int) -> pd.DataFrame:
    """`_rows` of a model that knows the phone's seven functions only: right where nothing may be called and it calls
    nothing."""
    tables = []
    for name in bfcl.SETS:
        items = bfcl.items(name)
        readings = tool.answer([item.request[:400] for item in items])
        calls: list[BfclCall] = [
            (reading.call.function, dict(zip([slot.name for slot in BY_NAME[reading.call.function].slots],
                                             reading.call.arguments, strict=True)))
            if reading.call and reading.call.function != NO_CALL else None
            for reading in readings
        ]
        tables.append(_rows(items, calls, tool.name, seed))
    return pd.concat(tables, ignore_index=True)


def schema_answers(folder: Path, train: Sequence[ToolItem], config: Finetuning, seed: int) -> dict[str, Any]:
    """Fine-tune the pretrained model in ``folder`` to read schemas, half as long as HARE-Tool, since it learns little
    more: ``rows`` of all sets; ``costs``, with the share of functions kept aside that it tells apart."""
    torch.set_num_threads(1)
    model = load_for_chat(folder, seed)
    schedule = Schedule(max(1, config.tool_steps // 2), config.tool_batch, config.tool_learning_rate, seed)
    examples = training_examples(model.dialogue, train, schedule.steps * schedule.batch, seed)
    first = model.dialogue.api_ids[0]
    trained = fine_tune(model.network, batches_of(examples, schedule), schedule, f"{SCHEMA}, seed {seed}", first)
    system = SchemaModel(model)
    told_apart = system.calibrate(seed)
    rows = [_rows(items, system.answer(items), SCHEMA, seed) for items in map(bfcl.items, bfcl.SETS)]
    costs = {"system": SCHEMA, "seed": seed, "told_apart": told_apart, **dataclasses.asdict(trained)}
    return {"rows": pd.concat(rows, ignore_index=True), "costs": costs}


def instruct_answers(config: Finetuning) -> pd.DataFrame:
    """`_rows` of the instruct model under the grammar on a subset of each set, half as many as of ours, since no two
    prompts begin alike: the likeliest of the names offered and of none, required parameters copied from the request."""
    torch.set_num_threads(1)
    system, tables = InstructGrammar({}), []
    for name in bfcl.SETS:
        listed = list(bfcl.items(name))
        wanted = (config.baseline_items + 1) // 2 or len(listed)
        items = random.Random(0).sample(listed, min(wanted, len(listed)))
        calls = [_instruct_call(system, item) for item in track(items, f"instruct model, {name}", "requests")]
        tables.append(_rows(items, calls, INSTRUCT, 0))
    return pd.concat(tables, ignore_index=True)


def _instruct_call(system: InstructGrammar, item: BfclItem) -> BfclCall:
    described = "\n".join([*map(_described, item.functions), f"{_NO_FUNCTION}(): None of these functions fits."])
    turns = [{"role": "system", "content": _SYSTEM.format(functions=described)},
             {"role": "user", "content": item.request}]
    cache, scores = system.chosen(turns, [*(schema.name for schema in item.functions), _NO_FUNCTION])
    name = max(scores, key=scores.__getitem__)
    if name == _NO_FUNCTION:
        return None
    schema = next(schema for schema in item.functions if schema.name == name)
    values: dict[str, Any] = {}
    for parameter in schema.parameters:
        if parameter.required:
            written = f'{parameter.name}="' if values else f'{name}({parameter.name}="'
            words, cache = system.copied(item.request, f", {written}" if values else written, cache)
            values[parameter.name] = value_of(parameter, words)
    return name, values


def _described(schema: Schema) -> str:
    parameters = ", ".join(parameter.name for parameter in schema.parameters if parameter.required)
    return f"{schema.name}({parameters}): {schema.description[:200]}"


def _rows(items: Sequence[BfclItem], calls: Sequence[BfclCall], system: str, seed: int) -> pd.DataFrame:
    """As `hare.finetuning.scoring.score_rows`, right or wrong by bfcl-eval's own checker; each item is a phrasing."""
    return pd.DataFrame([
        {"item": item.id, "test_set": item.test_set, "system": system, "seed": seed, "kind": "plain",
         "phrasing": item.id, "api": "", "function": next(iter(item.answers[0]), "") if item.answers else NO_CALL,
         "predicted": call[0] if call else NO_CALL, "exact": bfcl.is_right(item, call),
         "right_function": (call[0] if call else NO_CALL) in (
             {name for answer in item.answers for name in answer} if item.answers else {NO_CALL}),
         "reason": "", "request": item.request, "gold": str(item.answers), "answer": str(call or "")}
        for item, call in zip(items, calls, strict=True)
    ])

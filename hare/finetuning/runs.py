"""The fine-tuning runs of the tool-calling study, each in a process with one thread, several side by side.

Two one-thread processes use two cores better than one process with two threads, and a run's result does not depend on
how many others run beside it.
"""

import dataclasses
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.core.sections import Finetuning
from hare.finetuning.dialogue import load_for_chat, save_for_chat
from hare.finetuning.scoring import score_rows
from hare.finetuning.sft import Schedule
from hare.finetuning.tool_data import ToolItem
from hare.finetuning.tools import COPIED, GRAMMAR, GREEDY, MARKED, ToolModel, train_tool

HARE_TOOL, RANDOM, BASE, COPYING, COPYING_RANDOM = (
    "hare-tool", "random-weights", "base", "copying", "copying-random"
)
Sets = Mapping[str, Sequence[ToolItem]]
Task = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


@dataclass(frozen=True)
class Run:
    """One fine-tune: which system it makes, from the pretrained model in ``folder`` or random weights, how long."""

    system: str
    form: str
    folder: Path
    schedule: Schedule
    random_weights: bool = False


def planned(folder: Path, config: Finetuning) -> list[Run]:
    """Every run of the study: HARE-Tool and random weights with every seed, copying (longer) with every seed and from
    random weights with the first, and the pretrained model without any step. The longest come first."""
    runs = []
    for seed in config.finetuning_seeds:
        schedule = Schedule(config.tool_steps, config.tool_batch, config.tool_learning_rate, seed)
        longer = dataclasses.replace(schedule, steps=config.copying_steps)
        runs += [Run(COPYING, COPIED, folder, longer), Run(HARE_TOOL, MARKED, folder, schedule),
                 Run(RANDOM, MARKED, folder, schedule, random_weights=True)]
    runs.append(dataclasses.replace(runs[0], system=COPYING_RANDOM, random_weights=True))
    runs.append(Run(BASE, MARKED, folder, dataclasses.replace(runs[0].schedule, steps=0)))
    return sorted(runs, key=lambda run: -run.schedule.steps)


def carried_out(run: Run, train: Sequence[ToolItem], sets: Sets, out: Path | None) -> dict[str, Any]:
    """Fine-tune, answer all ``sets`` and save the model at ``out``: ``rows`` (`score_rows`) and ``costs``."""
    torch.set_num_threads(1)
    model = load_for_chat(run.folder, run.schedule.seed, run.random_weights)
    costs = {"system": run.system, "seed": run.schedule.seed, "steps": 0, "seconds": 0.0, "loss": float("nan")}
    if run.schedule.steps:
        trained = train_tool(model, train, run.schedule, run.form, f"{run.system}, seed {run.schedule.seed}")
        costs |= dataclasses.asdict(trained)
    systems = [ToolModel(run.system, model, run.form, GRAMMAR if run.form == MARKED else GREEDY)]
    if run.form == COPIED:
        systems.append(ToolModel(f"{run.system}-grammar", model, run.form, GRAMMAR))
    if out is not None:
        save_for_chat(model, out)
    rows = [
        score_rows(items, system.answer([item.request for item in items]), system.name, run.schedule.seed, name)
        for system in systems for name, items in sets.items()
    ]
    return {"rows": pd.concat(rows, ignore_index=True), "costs": costs}


def side_by_side(tasks: Sequence[Task], processes: int) -> list[Any]:
    """Results of ``tasks`` in their order, ``processes`` of them at a time.

    Raises:
        HareError: a process was killed, most often for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(processes, mp_context=context, initializer=Progress.is_part) as pool,
        Progress("runs", len(tasks), "runs") as progress,
    ):
        futures = [pool.submit(function, *arguments) for function, arguments in tasks]
        try:
            for done in as_completed(futures):
                done.result()
                progress.advance()
        except BrokenProcessPool as error:
            fix = "free memory, or lower finetuning_processes"
            raise HareError("A fine-tuning process was killed.", fix) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]

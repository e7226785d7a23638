"""Models pretrained like the arm, for fewer and for more tokens: what of calling functions comes with pretraining.

A small model that copies has to find the words again that it read before, which is among the first things that reading
more text teaches (Olsson et al. 2022, in-context learning and induction heads). So the paper's copying is shown against
pretraining tokens, next to marks.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hare.core.sections import Finetuning, Model, Tokens, Training
from hare.finetuning import runs
from hare.finetuning.scoring import ALL, WITH
from hare.finetuning.tool_data import ToolItem
from hare.training.inputs import Inputs
from hare.training.launch import train
from hare.training.run import TrainingRun
from hare.training.study import run_of_arm

_FORMS = {  # what is drawn, and the systems of it that start from random weights and from the arm
    "marks": (runs.RANDOM, runs.HARE_TOOL), "copying": (runs.COPYING_RANDOM, runs.COPYING),
    "copying, grammar": (f"{runs.COPYING_RANDOM}-grammar", f"{runs.COPYING}-grammar"),
}


def further_runs(
    folder: Path, config: Finetuning, model: Model, tokens: Tokens, training: Training, inputs: Inputs
) -> list[TrainingRun]:
    """The arm's first run with `pretraining_lengths` times its steps, each in a folder of its own under ``folder``."""
    without_heldout = dataclasses.replace(inputs, heldout={})
    listed = []
    for share in config.pretraining_lengths:
        steps = max(1, round(share * training.train_steps))
        changed = dataclasses.replace(
            training, train_steps=steps, warmup_steps=min(training.warmup_steps, steps // 2), checkpoint_interval=steps
        )
        weights, seed = training.arms[config.finetuned_arm], training.training_seeds[0]
        run = run_of_arm(weights, seed, model, tokens, changed, without_heldout)
        listed.append(run.keyed(folder, f"{steps}-steps"))
    return listed


def tuned(
    run: TrainingRun, planned: Sequence[runs.Run], train_items: Sequence[ToolItem], sets: runs.Sets
) -> list[dict[str, Any]]:
    """Pretrain, then carry out the ``planned`` fine-tunes from there: `runs.carried_out` of each, whose systems are
    called after the tokens read."""
    start = train(run).hf
    from_there = [
        dataclasses.replace(one, folder=start, system=f"{one.system}-{run.tokens}-tokens") for one in planned
    ]
    return [runs.carried_out(one, train_items, sets, None) for one in from_there]


def curve_table(accuracy: pd.DataFrame, read: int, further: Sequence[TrainingRun]) -> pd.DataFrame:
    """Right calls on the test set by pretraining tokens: form, tokens, part, exact, low, high, seeds. ``read`` is how
    many tokens the arm has read; ``further`` are the other runs."""
    rows = []
    for form, (random_weights, arm) in _FORMS.items():
        names = {random_weights: 0, arm: read}
        base, grammar = (arm.removesuffix("-grammar"), "-grammar" if arm.endswith("-grammar") else "")
        names |= {f"{base}-{run.tokens}-tokens{grammar}": run.tokens for run in further}
        part = accuracy[(accuracy.test_set == "test") & accuracy.system.isin(names) & accuracy.part.isin([ALL, WITH])]
        rows.append(part.assign(form=form, tokens=part.system.map(names)))
    columns = ["form", "tokens", "part", "exact", "low", "high", "seeds"]
    return pd.concat(rows)[columns].sort_values(["form", "part", "tokens"], kind="stable", ignore_index=True)

"""The ablation of the paper's Figure 3 as a list of runs: arms by seeds, and a pair that checks the layouts; and a grid
of the same arms at several sizes and lengths."""

import dataclasses
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from hare.core.errors import HareError
from hare.core.files import folder_written_whole, remove
from hare.core.sections import Model, Scaling, Tokens, Training
from hare.model.sizes import layer_parameters
from hare.tokens.mixture import Mixture, arm_mixture
from hare.tokens.topics import of_seed
from hare.training.budget import Plan, budget_within
from hare.training.inputs import Inputs
from hare.training.kept import KeptRuns, Key, comparable, taken_up
from hare.training.launch import train_all
from hare.training.run import TrainedRun, TrainingRun

_PARITY_BATCH = 16  # sequences at the most, since beside one GPU the pair trains on the processor
_IN_STEPS = ("warmup_steps", "checkpoint_interval", "validation_interval")
Cell = tuple[int, int]  # hidden size and steps
Grid = dict[Cell, dict[Key, TrainedRun]]
PARITY = "parity"  # stands for an arm: the pair of runs that checks the layouts


@dataclass(frozen=True)
class Ablation:
    """All runs of the study, trained: by arm and seed, and the parity pair by number of processes. ``budget`` holds
    metrics of what fitted into the minutes, and nothing where there is no limit."""

    arms: dict[tuple[str, int], TrainedRun]
    parity: dict[int, TrainedRun]
    budget: dict[str, float]

    def here(self) -> dict[tuple[str, int], TrainedRun]:
        """The arms' runs whose weights are on this machine."""
        return {key: run for key, run in self.arms.items() if run.is_here}


def run_of_arm(
    weights: Mapping[str, float], seed: int, model: Model, tokens: Tokens, training: Training, inputs: Inputs
) -> TrainingRun:
    """The run of an arm with these weights of parts, without a folder of its own yet. Runs of one seed start from the
    same weights of the model."""
    files = of_seed(weights, seed)
    mixture = arm_mixture(files, inputs.folder, tokens, training.train_steps, training.global_batch, seed)
    return TrainingRun(Path(), model, training, mixture, inputs.heldout, inputs.tokenizer, seed)


def parity_runs(model: Model, tokens: Tokens, training: Training, inputs: Inputs) -> dict[int, TrainingRun]:
    """The same few steps of D1 in one process and in two data-parallel ones, by number of processes; in float32, since
    16 bits would round more than the two may differ.

    Raises:
        HareError: the global batch cannot be shared out over two processes.
    """
    batch = min(training.global_batch, _PARITY_BATCH)
    if batch % 2:
        raise HareError(f"A global batch of {batch} sequences cannot be halved.", "make micro_batch even")
    common = {
        "train_steps": training.parity_steps, "warmup_steps": 1, "tensor_parallel": 1, "pipeline_parallel": 1,
        "checkpoint_interval": training.parity_steps, "averaged_checkpoints": 1, "precision": "float32",
        "torch_compile": False,
    }
    micro = math.gcd(training.micro_batch, batch)
    micro = micro // 2 if batch // micro % 2 else micro
    threads = max(1, training.cpu_threads // 2)
    shares = {
        processes: dataclasses.replace(
            training, data_parallel=processes, micro_batch=micro, gradient_accumulation=batch // processes // micro,
            cpu_threads=cpus, **common,
        )
        for processes, cpus in ((1, training.cpu_threads), (2, threads))
    }
    without_heldout = dataclasses.replace(inputs, heldout={})
    return {
        processes: run_of_arm({"d1": 1.0}, 0, model, tokens, share, without_heldout)
        for processes, share in shares.items()
    }


def study_runs(
    folder: Path, model: Model, tokens: Tokens, training: Training, inputs: Inputs
) -> dict[tuple[str, int], TrainingRun]:
    """Every run of the study in a folder of its own under ``folder``; the parity pair is keyed by processes.

    Those in one process come first, so that they share a launch.
    """
    runs: dict[tuple[str, int], TrainingRun] = {
        (PARITY, processes): run.keyed(folder, f"parity-{processes}")
        for processes, run in parity_runs(model, tokens, training, inputs).items()
    }
    for seed in training.training_seeds:
        for arm, weights in training.arms.items():
            run = run_of_arm(weights, seed, model, tokens, training, inputs)
            runs[arm, seed] = run.keyed(folder, f"{arm}-seed{seed}")
    return dict(sorted(runs.items(), key=lambda item: item[1].processes))


def train_study(
    folder: Path, model: Model, tokens: Tokens, training: Training, inputs: Inputs, kept: KeptRuns
) -> Ablation:
    """Train everything that is neither trained yet nor kept, or what fits into ``training_minutes``; runs lie under
    ``folder``.

    Where runs are kept, the parity pair comes first, then as many arms as train side by side, which are kept, and so
    on; else all runs at once.
    """
    runs, metrics = study_runs(folder, model, tokens, training, inputs), {}
    arms = {key: run for key, run in runs.items() if key[0] != PARITY}
    trained = _taken_up(arms, kept)
    if training.training_minutes and arms.keys() - trained.keys():  # a kept run's minutes were another machine's
        budget = budget_within(Plan(training.training_minutes, training.training_seeds, arms, trained))
        runs = {key: run for key, run in runs.items() if key not in arms or key[1] in budget.kept}
        metrics = budget.metrics()
    missing = [key for key in runs if key not in trained]
    if torch.cuda.device_count() == 1:  # each process wants a GPU of its own, so the pair trains beside it
        pair = [key for key in missing if key[0] == PARITY]
        trained |= zip(pair, train_all([runs[key] for key in pair], on_processor=True), strict=True)
        missing = [key for key in missing if key not in trained]
    pair, others = ([key for key in missing if (key[0] == PARITY) is is_pair] for is_pair in (True, False))
    together = [others[start : start + training.runs_at_once] for start in range(0, len(others), training.runs_at_once)]
    for keys in filter(None, [pair, *together] if kept.folder else [missing]):
        finished = dict(zip(keys, train_all([runs[key] for key in keys]), strict=True))
        kept.keep({key: run for key, run in finished.items() if key[0] != PARITY})
        trained |= finished
    trained = {key: trained[key] for key in runs}
    return Ablation(
        arms={key: run for key, run in trained.items() if key[0] != PARITY},
        parity={key[1]: run for key, run in trained.items() if key[0] == PARITY},
        budget=metrics,
    )


def resized(model: Model, hidden_size: int) -> Model:
    """The shape at another width, the feed-forward layer in proportion (a multiple of 8)."""
    wide = 8 * round(model.intermediate_size * hidden_size / model.hidden_size / 8)
    return dataclasses.replace(model, hidden_size=hidden_size, intermediate_size=wide)


def lengthened(training: Training, steps: int) -> Training:
    """The optimisation over another number of steps: warm-up, checkpoints and validations at the same shares of it."""
    scaled = {name: max(1, round(getattr(training, name) * steps / training.train_steps)) for name in _IN_STEPS}
    return training if steps == training.train_steps else dataclasses.replace(training, train_steps=steps, **scaled)


def grid_shapes(scaling: Scaling, model: Model, training: Training) -> dict[Cell, tuple[Model, Training]]:
    """Shape and optimisation of every cell, the cheapest first; none where the profile has no grid."""
    cells = {
        (size, steps): (resized(model, size), lengthened(training, steps))
        for size, steps in product(scaling.scaling_hidden_sizes, scaling.scaling_train_steps)
    }
    return dict(sorted(cells.items(), key=lambda cell: (layer_parameters(cell[1][0]) * cell[0][1], cell[0])))


def train_grid(
    study: Ablation, shapes: Mapping[Cell, tuple[Model, Training]], tokens: Tokens, inputs: Inputs, kept: KeptRuns
) -> Grid:
    """Train every cell that is neither trained yet nor kept, with the study's arms and seeds: all cells of a seed
    before the next seed, the arms of a cell side by side. The runs of one cell are the study's own.

    Once kept, a run's folder goes, its checkpoints and weights with it: only what was kept of it is read later.
    """
    known, folder = {run.run.folder: run for run in study.arms.values()}, first_run(study).run.folder.parent
    grid: Grid = {cell: {} for cell in shapes}
    turns = list(product(dict.fromkeys(seed for _, seed in study.arms), shapes.items()))
    for number, (seed, (cell, (model, training))) in enumerate(turns, 1):
        runs = {
            (arm, seed): run_of_arm(weights, seed, model, tokens, training, inputs).keyed(folder, f"{arm}-seed{seed}")
            for arm, weights in training.arms.items()
        }
        others = {key: run for key, run in runs.items() if run.folder not in known}
        if others:
            print(f"cell {number} of {len(turns)}: hidden size {cell[0]}, {cell[1]} steps, seed {seed}", flush=True)
        trained = {key: known[run.folder] for key, run in runs.items() if run.folder in known}
        trained |= _trained_and_kept(others, kept)
        grid[cell] |= {key: trained[key] for key in runs}
    return grid


def _taken_up(arms: Mapping[Key, TrainingRun], kept: KeptRuns) -> dict[Key, TrainedRun]:
    """The kept ones of the arms' runs, as far as they are comparable with those that this machine will train."""
    known = {key: run for key in arms if (run := taken_up(kept.folder, arms[key])) is not None}
    chosen = comparable(arms, known)
    for arm, seed in known.keys() - chosen.keys():
        print(f"{arm}, seed {seed}: trained again here, since another kind of processor made it and its seed is not "
              "whole", flush=True)
    return chosen


def _trained_and_kept(runs: Mapping[Key, TrainingRun], kept: KeptRuns) -> dict[Key, TrainedRun]:
    """Those of the runs that are not kept trained and kept; without a place to keep them, trained."""
    there = _taken_up(runs, kept)
    missing = {key: run for key, run in runs.items() if key not in there}
    trained = dict(zip(missing, train_all(list(missing.values())), strict=True)) if missing else {}
    kept.keep(trained)
    if kept.folder is None:
        return trained
    for run in runs.values():
        remove(run.folder)
    return {key: run for key in runs if (run := taken_up(kept.folder, runs[key])) is not None}


def first_run(study: Ablation) -> TrainedRun:
    """The first arm's run with its first seed."""
    return next(iter(study.arms.values()))


def windows_read(run: TrainingRun) -> np.ndarray:
    """All sequences that a run reads, in order: int64[samples, sequence + 1]."""
    mixture = Mixture(run.mixture)
    return np.stack([mixture.sample(number) for number in range(len(mixture))])


def parity_table(study: Ablation) -> pd.DataFrame:
    """One row per step: step, loss_1, loss_2 (one and two processes; nats per token) and their absolute difference."""
    curves = {processes: trained.metrics().set_index("step")["loss"] for processes, trained in study.parity.items()}
    frame = pd.DataFrame({f"loss_{processes}": curve for processes, curve in sorted(curves.items())}).reset_index()
    return frame.assign(difference=(frame["loss_1"] - frame["loss_2"]).abs())


def publish(study: Ablation, output: Callable[[str], Path]) -> pd.DataFrame:
    """Copy each arm's export to the artifact ``<arm>-seed<k>/hf`` and compare it with the module in training.

    Returns one row per run whose weights are here: arm, seed, hf, megabytes, logit_difference (the largest absolute
    one), relative_difference (by the largest absolute logit, since rounding grows with what is rounded).
    """
    rows = []
    for (arm, seed), trained in study.here().items():
        name = hf_name(arm, seed)
        with folder_written_whole(output(name)) as folder:
            shutil.copytree(trained.hf, folder, dirs_exist_ok=True)
        size = sum(file.stat().st_size for file in trained.hf.iterdir())
        difference, largest = export_difference(trained)
        rows.append((arm, seed, name, size / 1e6, difference, difference / largest))
    columns = ["arm", "seed", "hf", "megabytes", "logit_difference", "relative_difference"]
    return pd.DataFrame(rows, columns=columns)


def export_metrics(exports: pd.DataFrame) -> dict[str, float]:
    """``export.max_logit_difference`` of `publish`'s rows; nothing where there are none."""
    return {"export.max_logit_difference": exports["logit_difference"].max()} if len(exports) else {}


def hf_name(arm: str, seed: int) -> str:
    """The artifact that holds an arm's exported model."""
    return f"{arm}-seed{seed}/hf"


def listing(study: Ablation) -> list[dict[str, object]]:
    """Contents of ``runs.json``: arm, seed, hf, tokens, steps of each run."""
    return [
        {
            "arm": arm, "seed": seed, "hf": hf_name(arm, seed), "tokens": trained.run.tokens,
            "steps": trained.run.training.train_steps,
        }
        for (arm, seed), trained in study.here().items()
    ]


def export_difference(trained: TrainedRun) -> tuple[float, float]:
    """Largest absolute difference between the logits of the last checkpoint's export and those of the module in
    training, and the largest of the latter."""
    from hare.model.exported import load_exported

    probe = load_file(trained.probe)
    last = trained.exports[trained.run.training.train_steps]
    with torch.no_grad():
        logits = load_exported(last)(probe["input_ids"]).logits
    return float((logits - probe["logits"]).abs().max()), float(probe["logits"].abs().max())

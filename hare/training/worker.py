"""One process of a launch: ``python -m hare.training.worker LIST``, where LIST names run folders as JSON.

The runs are trained one after the other in one process group, since starting up takes longer than a small run.
"""

import gc
import json
import os
import sys
from pathlib import Path

import filelock
import torch

import hare.model.nanotron.shim  # noqa: F401
from hare.core.errors import HareError
from hare.core.files import write_json
from hare.model.nanotron.device import ON_GPU, prepare_process_group
from hare.tokens.mixture import Mixture
from hare.training.averaging import averaged_steps
from hare.training.batches import training_batches
from hare.training.checkpoints import Checkpoint, last_good, prune
from hare.training.cluster.stop import EXIT_CODE, Stopped, StopRequest
from hare.training.heldout import heldout_sequences
from hare.training.preflight import refuse_other_world
from hare.training.processes import end_with_launcher, meet
from hare.training.run import TrainingRun
from hare.training.trainer import HareTrainer

# isort: split
import torch.distributed

ERROR_FILE = "error.json"


def main(listed: Path) -> int:
    """Train all runs; a `HareError` is left beside the list for the launcher to raise again."""
    stop = StopRequest()
    try:
        meet()
        prepare_process_group()
        for folder in json.loads(listed.read_text(encoding="utf-8")):
            train_here(TrainingRun.load(Path(folder)), stop)
            gc.collect()
    except (HareError, torch.OutOfMemoryError) as error:
        named = error if isinstance(error, HareError) else _too_little_memory(error)
        write_json(listed.with_name(ERROR_FILE), named.fields)
        print(f"hare: {named}", file=sys.stderr, flush=True)
        return 1
    except Stopped:
        return EXIT_CODE
    return 0


def _too_little_memory(error: torch.OutOfMemoryError) -> HareError:
    return HareError(
        f"The GPU has too little memory for this run: {str(error).splitlines()[0]}",
        "lower training.micro_batch (and raise gradient_accumulation as much) or training.runs_at_once, or set "
        "training.recompute_activations",
    )


def train_here(run: TrainingRun, stop: StopRequest | None = None) -> None:
    """Train one run to its end in this process group, from its last good checkpoint.

    Raises:
        Stopped: the ranks were asked to end; what was reached is saved.
    """
    refuse_other_world(run, int(os.environ["WORLD_SIZE"]))
    torch.set_num_threads(run.training.cpu_threads)
    with filelock.FileLock(run.folder / f".rank{os.environ['RANK']}.lock"):  # a launch left over may still be writing
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        resume = _resume_point(run)
        if os.environ["RANK"] == "0":
            prune(run.folder / "checkpoints", kept=sys.maxsize)
        if resume is not None and resume.step >= run.training.train_steps:
            return
        mixture = Mixture(run.mixture)
        heldout = heldout_sequences(
            run.heldout, run.tokenizer, run.mixture.sequence_length, run.training.validation_sequences
        ) if run.heldout else None
        trainer = HareTrainer(run, heldout, resume, stop)
        trainer.train(training_batches(trainer, mixture))


def _resume_point(run: TrainingRun) -> Checkpoint | None:
    """The checkpoint from which all ranks go on. One of them reads and hashes what lies there, so that a thousand need
    not read it a thousand times."""
    chosen: list[Checkpoint | None] = [None]
    if os.environ["RANK"] == "0":
        chosen = [last_good(run.folder / "checkpoints", averaged_steps(run.training))]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(chosen, src=0)
    return chosen[0]


if __name__ == "__main__":
    end_with_launcher()
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    if torch.distributed.is_initialized() and code == 0 and not ON_GPU:
        torch.distributed.destroy_process_group()
    sys.exit(code)

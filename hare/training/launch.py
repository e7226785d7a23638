"""Training in processes of its own, watched line by line; complete runs are skipped and killed ones continue."""

import contextlib
import json
import queue
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from hare.core.errors import HareError
from hare.core.files import write_json
from hare.core.progress import Progress
from hare.core.provenance import cores
from hare.core.secrets import masked
from hare.core.sections import Training
from hare.training.averaging import averaged_steps, export_mean
from hare.training.checkpoints import checkpoints, last_good, prune
from hare.training.journal import NEWS
from hare.training.preflight import refuse_faults, refuse_more_processes_than_gpus
from hare.training.processes import Ranks, started
from hare.training.run import HF, TrainedRun, TrainingRun, finish, finished

# glibc's malloc gives large blocks back to the system after each use and asks for them again, zeroed. `hare bench
# training` measures what keeping them saves in time and costs in memory. Elsewhere these mean nothing.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
_TAIL_LINES = 30
_LAST_STEP = re.compile(r"\S+ step (\d+)/\1 ")  # a line of the journal


def train(run: TrainingRun) -> TrainedRun:
    """Train one run to its end, or continue it, or return it at once when it is complete; see `train_all`."""
    return train_all([run])[0]


def train_all(
    runs: list[TrainingRun], each_step: Callable[[], None] | None = None, on_processor: bool = False
) -> list[TrainedRun]:
    """Train several runs; neighbours with equally many processes share one launch. ``each_step`` is called after each
    step of any of them, and may raise, which ends them.

    Runs of one process each are trained ``runs_at_once`` side by side, as far as there are cores for them: two
    processes of one thread use two cores better than one of two threads. Runs whose last checkpoint is there, whoever
    trained them, are only exported.

    Raises:
        HareError: what `refuse_faults` finds, the data have changed, the loss is not finite, or the processes died
            (with the end of their log).
    """
    prepare(runs)
    waiting = [run for run in runs if finished(run) is None and not is_trained(run)]
    for _, together in groupby(waiting, key=lambda run: (run.processes, run.training.cpu_threads)):
        _launch(_lanes(list(together)), each_step, on_processor)
    return [finished(run) or _finish(run) for run in runs]


def prepare(runs: list[TrainingRun]) -> None:
    """Check the runs and write each down in its folder, from which worker processes on any machine read it."""
    for run in runs:
        refuse_faults(run)
        run.folder.mkdir(parents=True, exist_ok=True)
        run.save()


def is_trained(run: TrainingRun) -> bool:
    """Whether the checkpoint of the run's last step is there, whoever trained it."""
    newest = last_good(run.folder / "checkpoints", averaged_steps(run.training))
    return newest is not None and newest.step == run.training.train_steps


def _lanes(runs: list[TrainingRun]) -> list[list[TrainingRun]]:
    """The runs dealt out to as many processes as may train at once; which lane a run is in changes nothing in it."""
    count = at_once(runs)
    return [runs[number::count] for number in range(count)]


def at_once(runs: list[TrainingRun]) -> int:
    """How many of these runs, of one layout, train side by side: one at least."""
    training = runs[0].training
    count = training.runs_at_once if runs[0].processes == 1 else 1
    if not torch.cuda.is_available():
        count = min(count, cores() // training.cpu_threads)
    return max(1, min(count, len(runs)))


def _launch(
    lanes: list[list[TrainingRun]], each_step: Callable[[], None] | None, on_processor: bool
) -> None:
    """Train each lane's runs one after the other, all lanes side by side; the first failure ends all of them."""
    runs = [run for lane in lanes for run in lane]
    if not on_processor:
        refuse_more_processes_than_gpus(runs[0].processes)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        together: dict[Ranks, Path] = {}
        failed: list[Ranks] = []
        for number, lane in enumerate(lanes):
            listed = Path(folder) / str(number) / "runs.json"
            write_json(listed, [str(run.folder) for run in lane])
            widest = max(lane, key=lambda run: run.training.tensor_parallel)
            environment = worker_environment(widest.training) | ({"CUDA_VISIBLE_DEVICES": ""} if on_processor else {})
            arguments = ["-m", "hare.training.worker", str(listed)]
            ranks = stack.enter_context(started(arguments, lane[0].processes, environment))
            together[ranks] = listed.with_name("error.json")
        tail = watch(_merged(list(together), failed), runs, each_step)
        for ranks in failed:
            _raise_failure(ranks.wait(), together[ranks], tail)


def _merged(together: list[Ranks], failed: list[Ranks]) -> Iterator[str]:
    """Lines of several launches as they come, until all have ended or one has failed, which is added to ``failed``."""
    lines: queue.Queue[str | Ranks] = queue.Queue()

    def read(ranks: Ranks) -> None:
        for line in ranks.output:
            lines.put(line)
        lines.put(ranks)

    for ranks in together:
        threading.Thread(target=read, args=(ranks,), daemon=True).start()
    running = len(together)
    while running:
        item = lines.get()
        if isinstance(item, str):
            yield item
        elif item.wait():
            failed.append(item)
            return
        else:
            running -= 1


def worker_environment(training: Training) -> dict[str, str]:
    """Threads fixed by the profile, memory kept; the one stream of CUDA work that tensor parallelism demands."""
    environment = KEEP_MEMORY | {
        "OMP_NUM_THREADS": str(training.cpu_threads), "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "",  # unbuffered, a line is written in parts, and another process may print in between
    }
    return environment | ({"CUDA_DEVICE_MAX_CONNECTIONS": "1"} if training.tensor_parallel > 1 else {})


def watch(
    lines: Iterable[str], runs: list[TrainingRun], each_step: Callable[[], None] | None = None
) -> list[str]:
    """Keep each run's lines in its ``train.log``, show that of its last step, turn news into progress.

    Returns the last lines that were no news.
    """
    tail: list[str] = []
    steps, taken = sum(run.training.train_steps for run in runs), {run.folder.name: _reached(run) for run in runs}
    folders, current = {run.folder.name: run.folder for run in runs}, runs[0].folder
    task = f"train {len(runs)} runs" if len(runs) > 1 else f"train {runs[0].folder.name}"
    with Progress(task, steps, "steps") as progress:
        progress.resume(sum(taken.values()))
        for line in lines:
            if news := _news(line):
                current, taken[news["run"]] = folders[news["run"]], news["step"]
                progress.advance(sum(taken.values()) - progress.done)
                if each_step:
                    each_step()
                continue
            line = masked(line)
            current = folders.get(line.partition(" ")[0], current)
            with (current / "train.log").open("a", encoding="utf-8") as log:
                log.write(line)
            tail = [*tail[-_TAIL_LINES:], line]
            if _LAST_STEP.match(line):
                print(line, end="", flush=True)
    return tail


def _reached(run: TrainingRun) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((checkpoint.step for checkpoint in checkpoints(run.folder / "checkpoints")), default=0)


def _news(line: str) -> dict[str, Any] | None:
    """What a line of news says; None for any other line, and for one into which another process printed."""
    try:
        return json.loads(line.removeprefix(NEWS)) if line.startswith(NEWS) else None
    except json.JSONDecodeError:
        return None


def _raise_failure(code: int, error: Path, tail: list[str]) -> None:
    if error.exists():
        raise HareError(**json.loads(error.read_text(encoding="utf-8")))
    if code == -signal.SIGKILL:
        raise HareError(
            "A process of the training was killed, most often because memory ran out.",
            "close other programs or lower micro_batch, and run the same command again: it continues from the last "
            "checkpoint",
        )
    if code:
        raise HareError(
            f"Training stopped with exit code {code}. The end of its log:\n{''.join(tail)}",
            "fix what the log names and run the same command again: it continues from the last checkpoint",
        )


def _finish(run: TrainingRun) -> TrainedRun:
    """Export the mean of the last checkpoints and mark the run as complete."""
    if not is_trained(run):
        raise HareError(f"{run.folder} has no checkpoint of its last step.", "run the same command again")
    folder = run.folder / "checkpoints"
    export_mean([folder / str(step) for step in averaged_steps(run.training)], run.folder / HF, run.tokenizer)
    prune(folder, kept=1)
    finish(run)
    done = finished(run)
    assert done is not None
    return done

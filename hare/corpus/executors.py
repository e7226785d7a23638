"""Where cleaning runs: one list of datatrove steps under its local, Slurm or Ray executor, waited for to the end."""

import contextlib
import importlib
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import multiprocess
from datatrove.executor import LocalPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor  # imports Ray when it runs
from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from hare.core.errors import HareError
from hare.core.profile import Corpus
from hare.core.progress import Progress

_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_BETWEEN_QUESTIONS = 10.0  # to Slurm's controller
_GB_PER_TASK = 1.0  # several times what one needs; Ray waits for ever for a node that has it free
_PRELOADED = "hare.corpus.workers"  # one import for all workers of all launches


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor with its log in files only, so that a notebook stays readable.

    Tasks with the most ``work`` are started first: a long one that starts last would leave the other workers idle.
    """

    def __init__(self, work: Sequence[float], **settings: Any):
        super().__init__(**settings)
        self.work = list(work)

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: bool | None = None) -> list[int]:
        """Incomplete ranks, the longest tasks first."""
        return sorted(super().get_incomplete_ranks(ranks, skip_completed), key=lambda rank: -self.work[rank])

    def _launch_run_for_rank(self, *arguments: Any, **keywords: Any) -> Any:
        with contextlib.redirect_stderr(io.StringIO()):
            return super()._launch_run_for_rank(*arguments, **keywords)


class SlurmExecutor(SlurmPipelineExecutor):
    """One Slurm array job, in the partition $SBATCH_PARTITION; `run` returns when it has been submitted."""

    _asked, _answer = 0.0, True

    def is_queued(self) -> bool:
        """Whether Slurm still knows the job; one that is neither known nor complete has failed."""
        if time.monotonic() - self._asked >= _SECONDS_BETWEEN_QUESTIONS:
            known = subprocess.run(
                ["squeue", "--noheader", "--jobs", str(self.job_id)], capture_output=True, text=True, check=False
            )
            self._asked, self._answer = time.monotonic(), bool(known.stdout.strip())
        return self._answer


def executor_for(
    name: str, pipeline: list[PipelineStep], workers: int, logs: Path, work: Sequence[float]
) -> PipelineExecutor:
    """datatrove's executor called ``name`` (local, slurm or ray) for as many tasks as ``work`` has entries."""
    common: dict[str, Any] = {"pipeline": pipeline, "tasks": len(work), "workers": workers, "logging_dir": str(logs)}
    if name == "slurm":
        return SlurmExecutor(
            **common, time="24:00:00", partition=os.environ.get("SBATCH_PARTITION", "cpu"), qos="",
            job_name=f"hare-{logs.name}", env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',
        )
    if name == "ray":
        return RayPipelineExecutor(**common, mem_per_cpu_gb=_GB_PER_TASK)
    multiprocess.set_forkserver_preload([_PRELOADED])
    return LocalExecutor(work, **common)


@contextlib.contextmanager
def cluster(name: str) -> Iterator[None]:
    """Keeps what launches in it have started: for Ray a node, which takes seconds. When it ends, no process is left."""
    if name != "ray" or find_spec("ray") is None or _ray().is_initialized():
        yield
        return
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        _ray().shutdown()
        signal.signal(signal.SIGTERM, on_terminate)


def _start_ray() -> None:
    """Connect to the cluster that $RAY_ADDRESS names, or start a node on this machine.

    By the caller of `launch` and not in its thread: Ray's processes end with the thread that has started them.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody of itself
    _ray().init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)


def _ray() -> Any:
    return importlib.import_module("ray")  # an extra of this package


def launch(what: str, pipeline: list[PipelineStep], config: Corpus, logs: Path, work: Sequence[float]) -> None:
    """Run a list of steps, one task an entry of ``work``, under the profile's executor until every task has ended.

    Raises:
        HareError: the executor is not to be had here, or a task has failed; tasks that are complete stay complete.
    """
    logger.disable("datatrove")
    _check_available(config.cleaning_executor)
    executor = executor_for(config.cleaning_executor, pipeline, config.cleaning_workers, logs, work)
    if config.cleaning_executor == "ray" and executor.get_incomplete_ranks():
        _start_ray()
    _run_to_the_end(what, executor, logs)


def _run_to_the_end(what: str, executor: PipelineExecutor, logs: Path) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            executor.run()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    tasks, done, ended = executor.world_size, 0, False
    with Progress(what, tasks, "task") as progress:
        thread.start()
        while not ended:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            ended = not thread.is_alive() and (bool(failures) or done == tasks or not _is_queued(executor))
            finished = tasks - len(executor.get_incomplete_ranks(skip_completed=True))
            progress.advance(finished - done)
            done = finished
    if failures:
        raise failures[0]
    if done < tasks:
        raise HareError(
            f"{tasks - done} of {tasks} tasks of '{what}' failed.",
            f"read the logs below {logs}, fix what they say and run the same again: complete tasks are kept",
        )


def _is_queued(executor: PipelineExecutor) -> bool:
    return isinstance(executor, SlurmExecutor) and executor.is_queued()


def _check_available(name: str) -> None:
    missing, fix = "", ""
    if name == "slurm" and shutil.which("sbatch") is None:
        missing, fix = "the command sbatch", "run where it is"
    elif name == "ray" and find_spec("ray") is None:
        missing, fix = "the package ray", "install it with `pip install -e .[ray]`"
    if missing:
        raise HareError(
            f"corpus.cleaning_executor is {name}, but {missing} is not to be found.",
            f"{fix}, or set cleaning_executor to local",
        )

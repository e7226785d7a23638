"""Where cleaning runs: one list of datatrove steps under its local, Slurm or Ray executor, waited for to the end."""

import contextlib
import importlib
import io
import logging
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import multiprocess
import multiprocess.connection
from datatrove.executor import LocalPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.executor.ray import RayPipelineExecutor  # imports Ray when it runs
from datatrove.pipeline.base import PipelineStep
from loguru import logger
from multiprocess.connection import Connection

from hare.core import slurm
from hare.core.errors import HareError
from hare.core.progress import Progress
from hare.core.sections import Corpus
from hare.corpus.slurm_executor import SlurmExecutor

_SECONDS_BETWEEN_LOOKS = 0.25
_GB_PER_TASK = 1.0  # several times what one needs; Ray waits for ever for a node that has it free
_LONGEST_MESSAGE = 500  # characters of a task's own
_ERROR = re.compile(r"^(\d+: )?([\w.]*(Error|Exception|Interrupt)\b|slurmstepd: error|srun: error|bash: )")
_PRELOADED = "hare.corpus.workers"  # one import for all workers of all launches


class LocalExecutor(LocalPipelineExecutor):
    """datatrove's local executor with its log in files only, so that a notebook stays readable.

    Each task has a process of its own, as many at once as there are workers: datatrove's pool would wait for ever for
    the task of a worker that was killed, as for want of memory. Tasks with the most ``work`` are started first: a long
    one that starts last would leave the other workers idle.
    """

    def __init__(self, work: Sequence[float], **settings: Any):
        super().__init__(**settings)
        self.work = list(work)

    def get_incomplete_ranks(self, ranks: Any = None, skip_completed: bool | None = None) -> list[int]:
        """Incomplete ranks, the longest tasks first."""
        return sorted(super().get_incomplete_ranks(ranks, skip_completed), key=lambda rank: -self.work[rank])

    def run(self) -> None:
        """Run the incomplete tasks.

        Raises:
            HareError: the process of a task was ended, as by ``kill -9``.
            Exception: what the first task that failed has raised; the tasks that run then are ended.
        """
        if self.workers == 1:
            super().run()
            return
        self.save_executor_as_json()
        waiting, running = self.get_incomplete_ranks(), {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    started = _Task(self, waiting.pop(0))
                    running[started.process.sentinel] = started
                for sentinel in multiprocess.connection.wait(list(running)):
                    running.pop(sentinel).check()
        finally:
            for task in running.values():
                task.process.terminate()
                task.process.join()

    def _launch_run_for_rank(self, *arguments: Any, **keywords: Any) -> Any:
        with contextlib.redirect_stderr(io.StringIO()):
            return super()._launch_run_for_rank(*arguments, **keywords)

    def answer(self, rank: int, failures: Connection) -> None:
        """Run one task in the process that calls this; what it raises is sent."""
        with failures, contextlib.redirect_stderr(io.StringIO()):
            try:
                self._run_for_rank(rank)
            except Exception as error:  # noqa: BLE001 - handed to the process that waits
                failures.send(error)


class _Task:
    """One task of an executor in a process of its own, which starts with it."""

    def __init__(self, executor: LocalExecutor, rank: int):
        self.rank = rank
        context = multiprocess.get_context(executor.start_method)
        self._failures, sent = context.Pipe(duplex=False)
        self.process = context.Process(target=executor.answer, args=(rank, sent), daemon=True)
        self.process.start()
        sent.close()  # the process has its own

    def check(self) -> None:
        """See to it that the task, which has ended, ended well."""
        self.process.join()
        with self._failures, contextlib.suppress(EOFError):
            raise self._failures.recv()
        if self.process.exitcode:
            raise HareError(
                f"The process of task {self.rank} was ended (exit code {self.process.exitcode}) and left no message: "
                "somebody killed it, or the system did for want of memory.",
                "run the same again: complete tasks are kept; with fewer corpus.cleaning_workers it needs less memory",
            )


def executor_for(config: Corpus, pipeline: list[PipelineStep], logs: Path, work: Sequence[float]) -> PipelineExecutor:
    """datatrove's executor for the profile's ``cleaning_executor``, for as many tasks as ``work`` has entries."""
    common: dict[str, Any] = {"pipeline": pipeline, "tasks": len(work), "workers": config.cleaning_workers}
    if config.cleaning_executor == "slurm":
        return SlurmExecutor(slurm.options(config.cleaning_sbatch, "corpus.cleaning_sbatch"), logs, **common)
    common["logging_dir"] = str(logs)
    if config.cleaning_executor == "ray":
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


def launch(task: str, pipeline: list[PipelineStep], config: Corpus, logs: Path, work: Sequence[float]) -> None:
    """Run a list of steps, one task an entry of ``work``, under the profile's executor until every task has ended.

    Raises:
        HareError: the executor is not to be had here, or a task has failed; tasks that are complete stay complete.
    """
    logger.disable("datatrove")
    _check_available(config.cleaning_executor)
    executor = executor_for(config, pipeline, logs, work)
    if config.cleaning_executor == "ray" and executor.get_incomplete_ranks():
        _start_ray()
    adopted = True
    while adopted:
        _run_to_the_end(task, executor)
        adopted = isinstance(executor, SlurmExecutor) and executor.adopted  # what an earlier call left undone is ours
    missing = executor.get_incomplete_ranks(skip_completed=True)
    if missing:
        raise HareError(
            f"{len(missing)} of {executor.world_size} tasks of '{task}' failed; task {missing[0]}: "
            f"{_last_words(logs, missing[0])}",
            f"correct it (logs below {logs}) and run the same again: complete tasks are kept",
        )


def _run_to_the_end(task: str, executor: PipelineExecutor) -> None:
    failures: list[BaseException] = []
    start = executor.launch_job if isinstance(executor, SlurmExecutor) else executor.run

    def run() -> None:
        try:
            start()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            failures.append(error)

    thread, ended = threading.Thread(target=run, daemon=True), False
    with Progress(task, executor.world_size, "tasks") as progress:
        progress.resume(_completed(executor))
        thread.start()
        while not ended:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            ended = not thread.is_alive() and (bool(failures) or not _is_queued(executor))
            progress.describe(task + _reason(executor))
            progress.advance(_completed(executor) - progress.done)
    if failures:
        raise failures[0]


def _completed(executor: PipelineExecutor) -> int:
    return executor.world_size - len(executor.get_incomplete_ranks(skip_completed=True))


def _is_queued(executor: PipelineExecutor) -> bool:
    return isinstance(executor, SlurmExecutor) and executor.is_queued()


def _reason(executor: PipelineExecutor) -> str:
    reason = executor.waits_for if isinstance(executor, SlurmExecutor) else ""
    return f" (in Slurm's queue: {reason})" if reason else ""


def _last_words(logs: Path, rank: int) -> str:
    """The error that a task ended with, from its own log or from Slurm's."""
    ours = logs / "logs" / f"task_{rank:05d}.log"
    newest = sorted((logs / "slurm_logs").glob("*.out"), key=lambda path: path.stat().st_mtime)
    for path in [ours, *newest[::-1]]:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        errors = [number for number, line in enumerate(lines) if _ERROR.match(line)]
        if errors:
            return " ".join(line.strip() for line in lines[errors[-1] : errors[-1] + 2])[:_LONGEST_MESSAGE]
    return "it left no message"


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

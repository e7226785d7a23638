"""Cleaning as Slurm array jobs: datatrove's executor, which two drivers can never point at the same shards."""

import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from hare.core import slurm
from hare.core.errors import HareError
from hare.core.provenance import digest_of

_SECONDS_BETWEEN_QUESTIONS = 10.0  # to Slurm's controller


class SlurmExecutor(SlurmPipelineExecutor):
    """Slurm array jobs; `launch_job` returns when they have been submitted.

    Two jobs must never write the same shards, so those of an earlier call whose driver is gone are waited for, not
    repeated. Partition, time and account are the cluster's defaults unless ``options`` or the user's own SBATCH_
    variables, which sbatch reads itself, say otherwise.
    """

    _asked, _known, adopted = 0.0, (), False

    def __init__(self, options: dict[str, str], logs: Path, **settings: Any):
        super().__init__(
            **settings, logging_dir=str(logs), time="", partition="", qos="", job_name=job_name(logs),
            env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:\"$PATH\"",
        )
        self.options = options

    def launch_job(self) -> None:
        """Submit what is incomplete, or adopt the jobs of an earlier call that still work on it.

        Raises:
            HareError: Slurm refuses the job.
        """
        before = slurm.jobs(self.job_name)
        if before is None:
            raise HareError(
                f"Slurm's controller does not answer, so '{self.job_name}' was not submitted.",
                "run the same again when `squeue` answers",
            )
        self.adopted = bool(before)
        if before:
            numbers = " ".join(sorted({job.identity for job in before}))
            print(f"Waiting for job {numbers} of an earlier call; `scancel {numbers}` ends it.", flush=True)
            return
        self._submit()
        known = slurm.jobs(self.job_name) or []
        if known and known[0].identity != str(self.job_id):  # another driver was faster
            subprocess.run(["scancel", str(self.job_id)], check=False)
            self.adopted = True

    def _submit(self) -> None:
        refusal = io.StringIO()
        try:
            with slurm.outside_an_allocation(), _stderr_kept(refusal):
                super().launch_job()
        except subprocess.CalledProcessError as error:
            raise HareError(
                f"Slurm refused the job '{self.job_name}': {refusal.getvalue().strip() or error}",
                "name what the cluster grants in corpus.cleaning_sbatch, or set SBATCH_PARTITION, SBATCH_ACCOUNT or "
                "SBATCH_TIMELIMIT",
            ) from error

    def launch_merge_stats(self) -> None:
        """Nothing: no step reads the sum, and its job would wait for ever once a task has failed."""

    def get_sbatch_args(self, max_array: int = 1) -> dict[str, Any]:
        """datatrove's, without those left to the cluster, and with paths that may hold blanks."""
        given = super().get_sbatch_args(max_array) | self.options
        settings = {name: value for name, value in given.items() if value or name not in ("time", "partition")}
        return settings | {name: f'"{settings[name]}"' for name in ("output", "error")}

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        """The script, with its paths quoted."""
        path = self.logging_dir.resolve_paths("executor.pik")
        return super().get_launch_file_contents(sbatch_args, run_script.replace(path, shlex.quote(path)))

    def is_queued(self) -> bool:
        """Whether Slurm still knows a job of ours; while its controller is away, what it said last."""
        if time.monotonic() - self._asked >= _SECONDS_BETWEEN_QUESTIONS:
            self._asked, answer = time.monotonic(), slurm.jobs(self.job_name)
            self._known = self._known if answer is None else tuple(answer)
        return bool(self._known)

    @property
    def waits_for(self) -> str:
        """Why no task runs yet, in Slurm's words; '' when one does."""
        reasons = {job.reason for job in self._known if job.waits}
        return ", ".join(sorted(reasons)) if reasons and all(job.waits for job in self._known) else ""


def job_name(logs: Path) -> str:
    """What the jobs of a launch are called: the same for every call that writes to the same folder, and no other."""
    return f"hare-{logs.name}-{digest_of(str(logs.absolute()))[:10]}"


def end_jobs(logs: Path) -> None:
    """Cancel what an earlier call left running on the launches below ``logs``, and wait until it has ended."""
    if shutil.which("squeue"):
        for folder in sorted(path for path in logs.glob("*") if (path / "executor.pik").exists()):
            slurm.end(job_name(folder))


@contextlib.contextmanager
def _stderr_kept(into: io.StringIO) -> Iterator[None]:
    """What child processes print to stderr meanwhile, kept in ``into``."""
    with tempfile.TemporaryFile("w+") as file:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            into.write(file.read())

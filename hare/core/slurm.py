"""What Slurm knows of our jobs, and how a process inside a job asks for another one."""

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from hare.core.errors import HareError

_SECONDS_BETWEEN_QUESTIONS = 1.0  # while jobs end
_KEPT = {"SLURM_CONF"}  # place of the cluster's configuration; all other SLURM_ variables describe a job


@dataclass(frozen=True)
class Job:
    """One job, or one array of tasks, that waits or runs."""

    identity: str  # of an array: the number of the whole array
    state: str  # PENDING, RUNNING, COMPLETING, …
    reason: str  # why it waits, in Slurm's words

    @property
    def waits(self) -> bool:
        """Whether it is still in the queue."""
        return self.state == "PENDING"


def training_job(profile: str) -> str:
    """Name of the training job of a profile."""
    return f"hare-train-{profile}"


def jobs(name: str) -> list[Job] | None:
    """This user's jobs called ``name`` that wait or run, oldest first; None while Slurm's controller does not answer.

    Raises:
        HareError: the command squeue is missing.
    """
    try:
        answer = subprocess.run(
            ["squeue", "--me", "--noheader", "--name", name, "--format", "%F|%T|%r"],
            capture_output=True, text=True, check=False,
        )
    except FileNotFoundError as error:
        raise HareError(
            "The command squeue is not installed here.", "run this on a node that has the commands of Slurm"
        ) from error
    if answer.returncode:
        return None
    jobs = [Job(*line.strip().split("|", 2)) for line in answer.stdout.splitlines() if line.count("|") >= 2]
    return sorted(dict.fromkeys(jobs), key=lambda job: int(job.identity))


def end(name: str) -> None:
    """Cancel every job called ``name`` and wait until Slurm knows none of them."""
    while (running := jobs(name)) is None or running:
        for job in running or []:
            subprocess.run(["scancel", job.identity], check=False, capture_output=True)
        time.sleep(_SECONDS_BETWEEN_QUESTIONS)


def options(text: str, where: str) -> dict[str, str]:
    """Options of sbatch, written as ``--name=value`` or ``--name``, by name.

    Raises:
        HareError: anything else; ``where`` is the key that holds the text.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise HareError(f"{where} = {text!r}: {error}.", "close the quotation") from error
    for word in words:
        if not word.startswith("--") or len(word) == 2:
            raise HareError(
                f"{where} = {text!r}: {word!r} is not a long option of sbatch.",
                "write options as --name=value, for instance --partition=cpu --time=4:00:00",
            )
    return {name: value for name, _, value in (word[2:].partition("=") for word in words)}


@contextlib.contextmanager
def outside_an_allocation() -> Iterator[None]:
    """Without the variables of the job that this process may run in, which sbatch would pass on to the new one."""
    inside = {
        name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLURM_") and name not in _KEPT
    }
    try:
        yield
    finally:
        os.environ.update(inside)

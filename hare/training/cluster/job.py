"""One Slurm job of a profile's training, as its batch process: ``python -m hare.training.cluster.job PROFILE FOLDER``.

It starts torchrun on every node and watches it as the launcher does on one machine. Before its time is up (SIGUSR1) it
has the ranks save a checkpoint and puts itself back into the queue; a preempted job waits for Slurm to do that; a rank
that died is tried again a few times. What would fail again in the same way ends the job with its message.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.profile import load_profile
from hare.training.cluster.scripts import PORT, SLURM, TORCHRUN
from hare.training.command import planned_runs, write_list
from hare.training.launch import is_trained, train_all, watch
from hare.training.preflight import refuse_used_port
from hare.training.run import TrainingRun
from hare.training.worker import ERROR_FILE

TRIES = 3  # of one submission, after a rank has died
_PORTS = 100
_LINES_KEPT = 1000  # in which torchrun's report of all ranks is found
_ENDED = re.compile(r"host\s*:\s*(\S+)\s+rank\s*:\s*(\d+)[^\n]*\s+exitcode\s*:\s*(-?\d+)")  # in torchrun's report


class SlurmJob:
    """This batch process's job: what is asked of Slurm in its name. ``folder`` holds the scripts."""

    def __init__(self, folder: Path):
        self.folder, self.identity = folder, os.environ["SLURM_JOB_ID"]
        self.time_is_up = False
        signal.signal(signal.SIGUSR1, self._end_step)

    def _end_step(self, number: int, frame: Any) -> None:
        self.time_is_up = True
        subprocess.run(["scancel", "--signal=TERM", self.identity], check=False)  # the steps alone, not this process

    @property
    def nodes(self) -> list[str]:
        """Names of the job's machines; this process runs on the first."""
        listed = ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]
        return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()

    def is_preempted(self) -> bool:
        """Whether Slurm has asked the job to make room; it requeues the job itself then."""
        shown = subprocess.run(["scontrol", "show", "job", self.identity], capture_output=True, text=True, check=False)
        return re.search(r"PreemptTime=\d", shown.stdout) is not None

    def again(self) -> None:
        """Go back into the queue, or, where that is refused, submit a job that follows this one.

        Raises:
            HareError: both are refused.
        """
        print("Back into the queue; the run continues from its last checkpoint.", flush=True)
        if subprocess.run(["scontrol", "requeue", self.identity], check=False).returncode == 0:
            wait_for_the_end()
        script = str(self.folder / SLURM)
        if subprocess.run(["sbatch", f"--dependency=afterany:{self.identity}", script], check=False).returncode:
            raise HareError("Slurm neither requeues this job nor takes another.", f"submit it by hand: sbatch {script}")

    def failures(self) -> int:
        """How many times a rank has died in this submission, this time included."""
        path = self.folder / f"failures-{self.identity}"
        with path.open("a", encoding="utf-8") as file:
            file.write("a rank died\n")
        return len(path.read_text(encoding="utf-8").splitlines())


def wait_for_the_end() -> None:
    """Slurm ends a job that it requeues only while its batch process lives; otherwise there is nothing to requeue."""
    while True:
        time.sleep(60)


def run_job(profile_name: str, folder: Path) -> None:
    """Train the runs of the profile's layout to their end, or as far as this job's time goes.

    Raises:
        HareError: what the workers report, or a rank died too often.
    """
    profile = load_profile(profile_name)
    runs = planned_runs(profile)
    waiting = [run for run in runs if not is_trained(run)]
    job = SlurmJob(folder)
    if waiting and not _trained_here(job, waiting):
        return
    for done in train_all(runs):  # trained already: exports them
        print(done.hf)
    print(f"Runs of other layouts are trained by `hare reproduce {profile.option} --from 05`.")


def _trained_here(job: SlurmJob, runs: list[TrainingRun]) -> bool:
    """Start the ranks and watch them; False when the job is to go on another time."""
    listed = write_list(runs, job.folder / "runs.json")
    error = job.folder / ERROR_FILE
    error.unlink(missing_ok=True)
    heard: deque[str] = deque(maxlen=_LINES_KEPT)
    tail, code = _watched(job, runs, listed, heard)
    if code == 0:
        return True
    if error.exists():
        raise HareError(**json.loads(error.read_text(encoding="utf-8")))
    if job.is_preempted():
        wait_for_the_end()
    dead = "" if job.time_is_up else _dead(list(heard), code)
    if dead and job.failures() >= TRIES:
        raise HareError(
            f"{dead} This was try {TRIES}. The end of the log:\n{''.join(tail)}",
            "fix what the log names and submit the same script again: it continues from the last checkpoint",
        )
    print(dead or "The time limit is near.", flush=True)
    job.again()
    return False


def _watched(job: SlurmJob, runs: list[TrainingRun], listed: Path, heard: deque[str]) -> tuple[list[str], int]:
    """Run the ranks' step to its end; its last lines and exit code. ``heard`` takes up what all of them said."""
    environment = os.environ | {"HEAD": job.nodes[0], "PORT": str(free_port(job)), "RUNS": str(listed)}
    command = ["srun", "--kill-on-bad-exit=1", shutil.which("bash") or "bash", str(job.folder / TORCHRUN)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        lines = (heard.append(line) or line for line in process.stdout)
        return watch(lines, runs), process.wait()


def free_port(job: SlurmJob) -> int:
    """A port of this machine, the first node, at which the ranks can meet; another one for each job.

    Raises:
        HareError: none of a hundred is free.
    """
    first = PORT + int(job.identity) % 1000
    for port in range(first, first + _PORTS):
        try:
            refuse_used_port(port)
            return port
        except HareError as error:
            refused = error
    raise refused


def _dead(lines: list[str], code: int) -> str:
    """Which rank ended first and how, from torchrun's reports: a killed one before those that missed it, and these
    before the ones that torchrun then ended."""
    ended = _ENDED.findall("".join(lines))
    if not ended:
        return f"The ranks ended with exit code {code}."
    host, rank, exit_code = min(ended, key=lambda one: _order(int(one[2])))
    return f"Rank {rank} on {host} ended with exit code {exit_code}."


def _order(exit_code: int) -> int:
    return 2 if exit_code == -signal.SIGTERM else 0 if exit_code < 0 else 1


if __name__ == "__main__":
    try:
        run_job(sys.argv[1], Path(sys.argv[2]))
    except HareError as error:
        sys.exit(f"hare: {error}")

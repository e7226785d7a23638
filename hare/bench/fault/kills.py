"""Faults in processes: one process of a running step, drawn at random, is killed at some moment, and a run goes on."""

import contextlib
import random
import subprocess
import sys

import psutil

from hare.bench.fault.ground import Fault, Ground
from hare.core.chain import Step
from hare.driver.leftovers import end_processes
from hare.driver.reproduce import Choice, reproduce
from hare.driver.state import read_state

_SECONDS_TO_END = 60


def killed(ground: Ground, number: int) -> Fault:
    """Run one step afresh in a driver of its own, kill one process of it with -9, and go on to the end.

    ``number`` decides the step, the moment and the process. Survived: the next run makes the same metrics and
    artifacts, and neither a process nor a temporary file is left.
    """
    drawn, step = random.Random(number), ground.chain[number % len(ground.chain)]
    state = read_state(step, ground.workspace)
    seconds = drawn.uniform(0, state.wall_seconds if state else 1)
    command = [sys.executable, *_command(ground, step)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(seconds)
    name, family = _kill_one(driver, drawn)
    ended = driver.wait()
    alive = psutil.wait_procs(family, timeout=_SECONDS_TO_END)[1]
    place = f"{name} in {step.notebook} after {seconds:.1f} s"
    try:
        reproduce(ground.profile, Choice(only=step.number), ground.chain)
    except Exception as error:  # the next run must always go on
        ground.restore()
        return Fault(f"kill {number:02d}", "lost", f"{place}: {error!r}")
    left = len(alive) + end_processes(f"{ground.workspace.work}:") + _temporary_files(ground)
    if left or (differing := ground.unlike(step)):
        ground.restore()
        why = f"{left} processes or files were left behind" if left else f"other results: {differing}"
        return Fault(f"kill {number:02d}", "lost", f"{place}: {why}")
    return Fault(f"kill {number:02d}", "survived", f"{place}; the driver ended with {ended}")


def _command(ground: Ground, step: Step) -> list[str]:
    return ["-m", "hare.cli", "reproduce", "--profile", ground.profile.source, "--only", step.number, "--force"]


def _kill_one(driver: subprocess.Popen, drawn: random.Random) -> tuple[str, list[psutil.Process]]:
    """What was killed, in words, and the driver's whole family as it was then."""
    if driver.poll() is not None:
        return "nothing, since it had ended", []
    head = psutil.Process(driver.pid)
    family = [head, *head.children(recursive=True)]
    victim = drawn.choice(family)
    with contextlib.suppress(psutil.NoSuchProcess):
        called = " ".join(victim.cmdline()[1:4]).partition(", **")[0]  # a fork server names paths
        victim.kill()
        return f"process {family.index(victim) + 1} of {len(family)} ({called})", family
    return "a process that was just ending", family


def _temporary_files(ground: Ground) -> int:
    folders = (ground.workspace.work, ground.workspace.results)
    return sum(len(list(folder.rglob(".*.????????"))) for folder in folders)


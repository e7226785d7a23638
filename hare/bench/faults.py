"""`hare bench faults`: a finished smoke run is damaged and killed in every way, and what became of it is counted.

survived: made again, or not needed; named: one message that says what to do, and that helps; silent: used without a
word; traceback: an error that nobody wrote for a reader; dead_end: advice that does not help; lost: other results, or
something left behind. The goal is 0 of the last four. Everything happens in copies; a run that is not there is made.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil

from hare.bench.fault_files import Fault, as_row, by_rerun, of_the_cache, same, seen_at_once
from hare.bench.fault_values import outcome_of, wrong_values
from hare.core.chain import CHAIN, Step
from hare.core.files import written_whole
from hare.core.paths import Workspace, cache_folder
from hare.core.profile import Profile, load_profile
from hare.core.progress import track
from hare.driver.leftovers import end_processes
from hare.driver.reproduce import Choice, reason_to_run, reproduce
from hare.driver.state import read_state

OUTCOMES = ("survived", "named", "silent", "traceback", "dead_end", "lost")
SCALE = "smoke"
_KILLS = 24
_ENVIRONMENT = ("HARE_WORK", "HARE_RESULTS", "HARE_CACHE")


def bench(profile: Profile) -> dict[str, float]:
    """``faults.total`` and the count of each outcome; every fault lies in ``results/<profile>/bench/faults.csv``."""
    table = Workspace(profile.name).results / "bench" / "faults.csv"
    with finished_copy() as (smoke, record):
        chain = tuple(step for step in CHAIN if not step.on_request)
        faults = [
            Fault(f"{section}.{field} = {value!r}", outcome_of(smoke, section, field, value))
            for section, field, value in track(list(wrong_values(smoke)), "values beyond bounds", "faults")
        ]
        noticed, unseen = seen_at_once(smoke, chain)
        faults += noticed + by_rerun(smoke, chain, unseen, record) + of_the_cache()
        faults += [killed(smoke, chain, seed, record) for seed in track(range(_KILLS), "kills", "kills")]
    with written_whole(table) as temporary:
        pd.DataFrame(map(as_row, faults)).to_csv(temporary, index=False, lineterminator="\n")
    return counts(faults)


def counts(faults: list[Fault]) -> dict[str, float]:
    """How many faults there were, and how many of each outcome."""
    found = Counter(fault.outcome for fault in faults)
    return {"faults.total": len(faults), **{f"faults.{outcome}": found[outcome] for outcome in OUTCOMES}}


@contextlib.contextmanager
def finished_copy() -> Iterator[tuple[Profile, Path]]:
    """Inside, work, results and cache are copies with a finished smoke run in them.

    Yields the profile and a copy of the results, to compare with.
    """
    smoke = load_profile(SCALE)
    chain = tuple(step for step in CHAIN if not step.on_request)
    if any(reason_to_run(step, smoke) for step in chain):
        reproduce(smoke)
    workspace = Workspace(smoke.name)
    with tempfile.TemporaryDirectory(dir=workspace.work.parent) as name:
        folder = Path(name)
        for source, target in (
            (workspace.work, folder / "work" / smoke.name), (workspace.results, folder / "results" / smoke.name),
            (workspace.results, folder / "record"), (cache_folder(), folder / "cache"),
        ):
            shutil.copytree(source, target, symlinks=True)
        before = {name: os.environ.get(name) for name in _ENVIRONMENT}
        os.environ |= {name: str(folder / name.removeprefix("HARE_").lower()) for name in _ENVIRONMENT}
        try:
            yield smoke, folder / "record"
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def killed(profile: Profile, chain: tuple[Step, ...], seed: int, record: Path) -> Fault:
    """Run a step in a driver of its own, kill one process of it at some moment, and go on to the end."""
    drawn, workspace = random.Random(seed), Workspace(profile.name)
    step = drawn.choice(chain)
    state = read_state(step, workspace)
    seconds = drawn.uniform(0, state.wall_seconds if state else 1)
    command = [sys.executable, "-m", "hare.cli", "reproduce", "--profile", profile.source, "--only", step.number]
    driver = subprocess.Popen([*command, "--force"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    victim = drawn.choice(family)
    name = f"kill process {family.index(victim)} of {len(family)} in {step.notebook} after {seconds:.1f} s"
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    driver.wait()
    alive = psutil.wait_procs(family, timeout=60)[1]
    try:
        reproduce(profile, Choice(first=step.number), chain)
    except Exception as error:  # the next run must always go on
        return Fault(name, "lost", repr(error))
    left = len(alive) + end_processes(f"{workspace.work}:") + len(list(workspace.work.rglob(".*.????????")))
    if left:
        return Fault(name, "lost", f"{left} processes or files were left behind")
    return Fault(name, "survived" if same(profile, record) else "lost")

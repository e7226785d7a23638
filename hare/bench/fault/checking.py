"""What all the checking costs: digests of what is written and read, and a run that finds nothing to do."""

import subprocess
import sys
import time

from hare.core.chain import Step
from hare.core.files import sha256_of
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.driver.reproduce import reason_to_run
from hare.driver.state import read_state

# Artifacts are hashed by the notebook for its manifest, which the driver takes over by the stamp; tables and records by
# both. What is read is known by its stamp.
_TIMES_HASHED = {"work": 1, "results": 2}


def cost_of_checking(profile: Profile, chain: tuple[Step, ...]) -> dict[str, float]:
    """Seconds, and their share of the whole run's, that checking costs in a run of ``profile``, and seconds that a run
    with nothing to do takes; nothing where the profile is not up to date here.

    Of a run it is counted anew from the files that it left: every step's key, and every digest as often as it is made.
    """
    workspace = Workspace(profile.name)
    states = {step: read_state(step, workspace) for step in chain}
    if not all(states.values()):
        return {}
    started = time.perf_counter()
    reasons = [reason_to_run(step, profile) for step in chain]
    seconds = time.perf_counter() - started
    if any(reasons):
        return {}
    roots = {"work": workspace.work, "results": workspace.results}
    started = time.perf_counter()
    for state in filter(None, states.values()):
        for root, _, relative in (name.partition("/") for name in state.files):
            for _ in range(_TIMES_HASHED[root]):
                sha256_of(roots[root] / relative)
    seconds += time.perf_counter() - started
    run = sum(state.wall_seconds for state in states.values() if state)
    return {
        f"faults.checking_seconds.{profile.name}": seconds,
        f"faults.checking_share.{profile.name}": seconds / run,
        f"faults.nothing_to_do_seconds.{profile.name}": _seconds_of_nothing(profile),
    }


def _seconds_of_nothing(profile: Profile) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "hare.cli", "reproduce", "--profile", profile.source]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started

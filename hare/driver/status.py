"""`hare status`: the state of a profile, read from files only."""

import json
import shutil
from pathlib import Path

import filelock
import psutil

from hare.core import slurm
from hare.core.chain import CHAIN, Step
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.driver.reproduce import reason_to_run
from hare.driver.state import damaged_picture, failed_path, publishing_path, read_state
from hare.driver.watch import describe, read_progress, spelled


def status(profile: Profile, chain: tuple[Step, ...] = CHAIN) -> list[str]:
    """One line per step, and one for what runs now."""
    workspace = Workspace(profile.name)
    lines = [f"profile {profile.name}: {len(chain)} notebooks"]
    lines += [f"  {step.notebook:<24} {_state(step, profile, workspace)}" for step in chain]
    if _is_running(workspace):
        progress = read_progress(workspace.work / "progress.json", since=0)
        lines.append(f"  running now: {' · '.join(describe(progress)) if progress else 'no progress reported yet'}")
    return lines + _publishing(profile, workspace) + _on_slurm(profile)


def _publishing(profile: Profile, workspace: Workspace) -> list[str]:
    """A line that says how far `hare publish` came, once it has finished a round."""
    try:
        at = json.loads(publishing_path(workspace).read_text(encoding="utf-8"))
        reached = f"{at['tokens']:,} of {at['wanted']:,} tokens after round {at['round']}"
    except (OSError, ValueError, LookupError, TypeError):
        return []
    left = at["tokens"] < at["wanted"]
    more = f"; to continue: hare publish {profile.option} --tokens {at['wanted']}" if left else ""
    return [f"  published D2 of {at['set']}: {reached}{more}"]


def _on_slurm(profile: Profile) -> list[str]:
    """One line per training job of the profile that waits or runs on the cluster."""
    if shutil.which("squeue") is None:
        return []
    jobs = slurm.jobs(slurm.training_job(profile.name)) or []
    return [
        f"  Slurm job {job.identity}: {job.state.lower()}{f', waits for {job.reason}' if job.waits else ''}"
        for job in jobs
    ]


def _state(step: Step, profile: Profile, workspace: Workspace) -> str:
    if not step.source.is_file():
        return "its notebook is missing"
    reason = reason_to_run(step, profile)
    state = read_state(step, workspace)
    if state is None:
        failed = failed_path(step, workspace)
        how_to_run = f", on request: hare reproduce {profile.option} --from {step.number}" if step.on_request else ""
        return f"failed; see {failed}" if failed.exists() else f"not run yet{how_to_run}"
    when = state.finished_at[:16].replace("T", " ")
    cost = f"{when}, {spelled(state.wall_seconds)}, {state.peak_rss_mb / 1000:.2f} GB"
    if reason is not None:
        return f"out of date {cost}: {reason}"
    picture = damaged_picture(workspace, state)
    redraw = f"; {picture} is gone or was changed: hare figures {profile.option}" if picture else ""
    return f"done        {cost}{redraw}"


def _is_running(workspace: Workspace) -> bool:
    lock = filelock.FileLock(workspace.work / "driver.lock", timeout=0)
    if not workspace.work.exists():
        return False
    try:
        with lock:
            return False
    except filelock.Timeout:
        return True
    except OSError:  # somebody else's folder: what holds the lock says so beside it
        return _process_runs(workspace.work / "driver.pid")


def _process_runs(holder: Path) -> bool:
    try:
        return psutil.pid_exists(int(holder.read_text()))
    except (OSError, ValueError):
        return False

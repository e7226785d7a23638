"""The cost of the study and its parts, recorded under ``results/<profile>/bench``."""

import csv
import dataclasses
from typing import Any

from hare.core import provenance
from hare.core.chain import Step
from hare.core.files import write_json, written_whole
from hare.core.manifest import METRICS
from hare.core.paths import Workspace
from hare.core.profile import Profile
from hare.core.reading import TABLES, read_record, tables_in
from hare.driver.state import StepState, read_state

STAGES_CSV = "stages.csv"


def record_bench(
    profile: Profile, group: str, metrics: dict[str, float], wall_seconds: float, peak_rss_mb: float
) -> None:
    """Merge ``metrics`` into ``bench/metrics.json``; each group of metrics keeps the provenance of its own run."""
    path = Workspace(profile.name).results / "bench" / METRICS
    known: dict[str, Any] = {"metrics": {}, "provenance": {}}
    if path.exists():
        known = read_record(path)
    origin = {
        "notebook": "", "command": f"hare {group} --profile {profile.name}", "git_commit": provenance.git_commit(),
        "config_sha256": provenance.digest_of(dataclasses.asdict(profile)),
    }
    this_run = provenance.of_run(origin, {}, [], wall_seconds, peak_rss_mb)
    groups = known["provenance"].get("groups", {}) | {group: this_run}
    merged = dict(sorted((known["metrics"] | metrics).items()))
    all_runs = this_run | {"groups": groups, TABLES: tables_in(path.parent)}
    write_json(path, provenance.sealed({"metrics": merged, "provenance": all_runs}))


def record_reproduction(profile: Profile, chain: tuple[Step, ...]) -> None:
    """Record the resolved profile, seconds and memory of every step, and their sum and maximum.

    A study that was stopped and continued costs what its steps cost, so the sum does not depend on interruptions.
    Memory is that of the driver and all its descendants together, sampled once per second.
    """
    workspace = Workspace(profile.name)
    write_json(workspace.results / "profile.json", dataclasses.asdict(profile))
    done = [(step, state) for step in chain if (state := read_state(step, workspace))]
    _write_stages(workspace, done)
    wall = sum(state.wall_seconds for _, state in done)
    peak = max(state.peak_rss_mb for _, state in done)
    metrics = {"reproduce_wall_seconds": round(wall, 1), "reproduce_peak_rss_mb": peak}
    for step, state in done:
        metrics[f"stage_wall_seconds.{step.stage}"] = state.wall_seconds
        metrics[f"stage_peak_rss_mb.{step.stage}"] = state.peak_rss_mb
    record_bench(profile, "reproduce", metrics, wall, peak)


def _write_stages(workspace: Workspace, done: list[tuple[Step, StepState]]) -> None:
    with written_whole(workspace.results / "bench" / STAGES_CSV) as temporary, temporary.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["notebook", "stage", "wall_seconds", "peak_rss_mb"])
        table.writerows([step.notebook, step.stage, state.wall_seconds, state.peak_rss_mb] for step, state in done)

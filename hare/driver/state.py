"""What is known of a step that has run to its end: ``work/<profile>/steps/NN.json``."""

import dataclasses
import datetime
import json
from dataclasses import dataclass
from pathlib import Path

from hare.core.chain import Step
from hare.core.files import sha256_of, write_json
from hare.core.manifest import MANIFEST, read_manifest
from hare.core.paths import Workspace
from hare.core.provenance import digest_of


@dataclass(frozen=True)
class StepState:
    """Key, cost and files of one successful run of a step."""

    key: dict[str, str]
    wall_seconds: float
    peak_rss_mb: float
    finished_at: str
    files: dict[str, dict[str, str]]  # "work/…" or "results/…" → stamp (sizes and times) and sha256


def state_path(step: Step, workspace: Workspace) -> Path:
    """Where the state of ``step`` is kept."""
    return workspace.work / "steps" / f"{step.number}.json"


def executed_path(step: Step, workspace: Workspace) -> Path:
    """Where the executed notebook is kept; its HTML copy lies beside it."""
    return workspace.results / "notebooks" / f"{step.notebook}.ipynb"


def failed_path(step: Step, workspace: Workspace) -> Path:
    """Where a notebook that stopped half-way is kept."""
    return workspace.work / "failed" / f"{step.notebook}.ipynb"


def read_state(step: Step, workspace: Workspace) -> StepState | None:
    """State of the last successful run; None when there is none or it cannot be read."""
    try:
        return StepState(**json.loads(state_path(step, workspace).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def write_state(
    step: Step, workspace: Workspace, key: dict[str, str], wall_seconds: float, peak_rss_mb: float
) -> StepState:
    """Record that ``step`` has run to its end and which files it left."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    state = StepState(key, round(wall_seconds, 1), round(peak_rss_mb, 1), now, _files(step, workspace))
    write_json(state_path(step, workspace), dataclasses.asdict(state))
    return state


def damage(step: Step, workspace: Workspace, state: StepState) -> str | None:
    """Name of the first file of the step that is gone or has changed since; None when all are as they were.

    Sizes and times are compared first and contents only when those differ. Pictures and notebooks only have to be
    there, since `hare figures` draws them again.
    """
    roots = {"work": workspace.work, "results": workspace.results}
    for name, known in state.files.items():
        root, relative = name.split("/", 1)
        path = roots[root] / relative
        if not path.exists():
            return name
        if known and _stamp(path) != known["stamp"] and sha256_of(path) != known["sha256"]:
            return name
    return None


def _files(step: Step, workspace: Workspace) -> dict[str, dict[str, str]]:
    manifest = workspace.work / step.stage / MANIFEST
    files = {f"work/{step.stage}/{MANIFEST}": {"stamp": _stamp(manifest), "sha256": sha256_of(manifest)}}
    for name, digest in (read_manifest(workspace, step.stage) or {}).items():
        artifact = workspace.work / step.stage / name
        files[f"work/{step.stage}/{name}"] = {"stamp": _stamp(artifact), "sha256": digest}
    executed = executed_path(step, workspace)
    results = [path for path in (workspace.results / step.stage).rglob("*") if path.is_file()]
    for path in sorted([*results, executed, executed.with_suffix(".html")]):
        exact = path.suffix in (".csv", ".json") and not step.reads_results and not _describes_figure(path)
        name = f"results/{path.relative_to(workspace.results).as_posix()}"
        files[name] = {"stamp": _stamp(path), "sha256": sha256_of(path)} if exact else {}
    return files


def _describes_figure(path: Path) -> bool:
    return path.suffix == ".json" and path.with_suffix(".svg").exists()


def _stamp(path: Path) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return digest_of([[str(file.relative_to(path)), *_size_and_time(file)] for file in files])


def _size_and_time(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns

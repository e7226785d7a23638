"""The state of a step that has run to its end, kept in ``work/<profile>/steps/NN.json``."""

import dataclasses
import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare.core.chain import Step
from hare.core.files import write_json
from hare.core.manifest import MANIFEST, METRICS, PARAMETERS, read_manifest, recorded_seal
from hare.core.paths import Workspace
from hare.core.provenance import sealed, unsealed
from hare.core.seals import Seal, intact, seal_of, stamp_of

_DRAWN = (".svg", ".pdf", ".png")


@dataclass(frozen=True)
class StepState:
    """Key, cost and files of one successful run of a step."""

    key: dict[str, str]
    wall_seconds: float
    peak_rss_mb: float
    finished_at: str
    files: dict[str, dict[str, str]]  # "work/…" or "results/…" → stamp, sha256, and whether it is drawn


def state_path(step: Step, workspace: Workspace) -> Path:
    """Where the state of ``step`` is kept."""
    return workspace.work / "steps" / f"{step.number}.json"


def executed_path(step: Step, workspace: Workspace) -> Path:
    """Where the executed notebook is kept."""
    return workspace.results / "notebooks" / f"{step.notebook}.ipynb"


def failed_path(step: Step, workspace: Workspace) -> Path:
    """Where a notebook that stopped half-way is kept."""
    return workspace.work / "failed" / f"{step.notebook}.ipynb"


def publishing_path(workspace: Workspace) -> Path:
    """Where `hare publish` says how far it is: ``set``, ``round``, ``tokens``, ``wanted``."""
    return workspace.work / "publishing.json"


def read_state(step: Step, workspace: Workspace) -> StepState | None:
    """State of the last successful run; None when there is none or it is damaged."""
    try:
        content = json.loads(state_path(step, workspace).read_text(encoding="utf-8"))
        state = StepState(**(unsealed(content) or {}))
        whole = all(isinstance(part, dict) for part in (state.key, state.files, *state.files.values()))
        numbers = all(isinstance(number, int | float) for number in (state.wall_seconds, state.peak_rss_mb))
        return state if whole and numbers and isinstance(state.finished_at, str) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_state(
    step: Step, workspace: Workspace, key: dict[str, str], wall_seconds: float, peak_rss_mb: float
) -> StepState:
    """Record that ``step`` has run to its end and which files it left."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    state = StepState(key, round(wall_seconds, 1), round(peak_rss_mb, 1), now, _files(step, workspace))
    _write(step, workspace, state)
    return state


def _write(step: Step, workspace: Workspace, state: StepState) -> None:
    write_json(state_path(step, workspace), sealed_state(state))


def sealed_state(state: StepState) -> dict[str, Any]:
    """The fields of a state with their digest, which reveals damage."""
    return sealed(dataclasses.asdict(state))


def damage(step: Step, workspace: Workspace, state: StepState) -> str | None:
    """Name of the first file of the step that is gone or has changed since; None when all are as they were.

    Pictures do not count, since `hare figures` draws them again: see `damaged_picture`.
    """
    return next(_damaged(workspace, state, drawn=False), None)


def damaged_picture(workspace: Workspace, state: StepState) -> str | None:
    """Name of the first picture, or other file made by `hare figures`, that is gone or has changed since."""
    return next(damaged_pictures(workspace, state), None)


def damaged_pictures(workspace: Workspace, state: StepState) -> Iterator[str]:
    """Names of all of them."""
    return _damaged(workspace, state, drawn=True)


def damaged_result(workspace: Workspace, state: StepState) -> str | None:
    """Name of the first file of results, drawn or not, that is gone or has changed since."""
    files = (name for drawn in (False, True) for name in _damaged(workspace, state, drawn))
    return next((name for name in files if name.startswith("results/")), None)


def _damaged(workspace: Workspace, state: StepState, drawn: bool) -> Iterator[str]:
    roots = {"work": workspace.work, "results": workspace.results}
    for name, known in state.files.items():
        root, _, relative = name.partition("/")
        if known.get("drawn") == str(drawn) and not intact(roots.get(root, workspace.work) / relative, known):
            yield name


def accept_drawn(workspace: Workspace, steps: Iterable[Step]) -> None:
    """Record the files that `hare figures` has just drawn as those of the steps."""
    for step in steps:
        state = read_state(step, workspace)
        if state is not None and damaged_picture(workspace, state):
            drawn = {name: known for name, known in _files(step, workspace).items() if known["drawn"] == "True"}
            kept = {name: known for name, known in state.files.items() if known.get("drawn") == "False"}
            _write(step, workspace, dataclasses.replace(state, files=kept | drawn))


def _files(step: Step, workspace: Workspace) -> dict[str, dict[str, str]]:
    outputs = read_manifest(workspace, step.stage) or {}
    seals = {
        f"work/{step.stage}/{name}": recorded_seal(workspace, step.stage, name, digest)
        for name, digest in outputs.items()
    }
    made = (MANIFEST, PARAMETERS, *outputs)
    paths = {f"work/{step.stage}/{name}": workspace.work / step.stage / name for name in made}
    executed = executed_path(step, workspace)
    results = [path for path in (workspace.results / step.stage).rglob("*") if path.is_file()]
    for path in sorted([*results, executed]):
        paths[f"results/{path.relative_to(workspace.results).as_posix()}"] = path
    recorded = (executed, workspace.results / step.stage / METRICS)
    return {
        name: _seal_now(path, seals.get(name, {})) | {"drawn": str(
            name.startswith("results/") and path not in recorded and (step.reads_results or path.suffix in _DRAWN)
        )} for name, path in paths.items()
    }


def _seal_now(path: Path, seal: Seal) -> Seal:
    """The seal that the notebook has just made, where sizes, times and inodes are as they were then; else a new one."""
    return seal if seal.get("stamp") == stamp_of(path) else seal_of(path)

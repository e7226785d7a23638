"""The manifest of a stage: digests of its artifacts. It is written last, so a stage with a manifest is complete."""

import json
from collections.abc import Mapping
from pathlib import Path

from hare.core.chain import step_of_stage
from hare.core.errors import HareError
from hare.core.files import write_json
from hare.core.paths import Workspace
from hare.core.seals import Seal, intact, seal_of

MANIFEST = "manifest.json"
METRICS = "metrics.json"  # of a stage, in its folder of results
PARAMETERS = "parameters.json"  # beside the manifest; later stages compare their parameters with these
SEALS = "seals.json"  # beside it: while sizes, times and inodes stay as they were, contents are not read again


def read_manifest(workspace: Workspace, stage: str) -> dict[str, str] | None:
    """Digests of the artifacts of a complete stage; None when it is not complete, or the file is damaged."""
    try:
        manifest = json.loads((workspace.work / stage / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and all(isinstance(digest, str) for digest in manifest.values())
    return manifest if whole else None


def write_manifest(workspace: Workspace, stage: str, outputs: Mapping[str, Path]) -> None:
    """Record the outputs of a stage; the manifest is written last."""
    seals = {name: seal_of(path) for name, path in sorted(outputs.items())}
    write_json(workspace.work / stage / SEALS, seals)
    write_json(workspace.work / stage / MANIFEST, {name: seal["sha256"] for name, seal in seals.items()})


def recorded_seal(workspace: Workspace, stage: str, name: str, digest: str) -> Seal:
    """An artifact's digest from the manifest, with the stamp from `SEALS` where that belongs to the same digest."""
    try:
        seal = json.loads((workspace.work / stage / SEALS).read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, LookupError, TypeError):
        return {"sha256": digest}
    return seal if isinstance(seal, dict) and seal.get("sha256") == digest else {"sha256": digest}


def verified(workspace: Workspace, stage: str, name: str, option: str) -> Path:
    """Path of an artifact of a stage, a file or a folder, after comparing it with the manifest; ``option`` names the
    profile in advice.

    Raises:
        HareError: the stage has not run to its end, or the artifact is missing or damaged.
    """
    maker, path = step_of_stage(stage), workspace.work / stage / name
    rerun = f"run `hare reproduce {option} --only {maker.number}` first"
    known = read_manifest(workspace, stage)
    if not path.exists():
        raise HareError(f"{path} is missing: {maker.notebook} has not run to its end.", rerun)
    if known is None or name not in known:
        listing = workspace.work / stage / MANIFEST
        raise HareError(
            f"{listing} does not name {name}: it was damaged, or {maker.notebook} has not run to its end.", rerun
        )
    if not intact(path, recorded_seal(workspace, stage, name, known[name])):
        raise HareError(f"{path} differs from what {maker.notebook} wrote: it was cut short or edited.", rerun)
    return path

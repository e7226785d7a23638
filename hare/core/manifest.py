"""The manifest of a stage: digests of its artifacts, written last of all; where it lies, the stage is done."""

import json

from hare.core.paths import Workspace

MANIFEST = "manifest.json"


def read_manifest(workspace: Workspace, stage: str) -> dict[str, str] | None:
    """Digests of the artifacts of a stage that has run to its end; None when it has not."""
    path = workspace.work / stage / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

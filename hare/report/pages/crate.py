"""The recorded results of a profile described as an RO-Crate, so that archives and machines can read what they are."""

import json
from pathlib import Path
from typing import Any

from hare.core.files import write_text
from hare.report.recorded import STAGES, Recorded

METADATA = "ro-crate-metadata.json"
_TYPES = {
    ".json": "application/json", ".csv": "text/csv", ".svg": "image/svg+xml", ".pdf": "application/pdf",
    ".parquet": "application/vnd.apache.parquet", ".ipynb": "application/x-ipynb+json",
}
_PAPER = "https://arxiv.org/abs/2406.11410"
_LICENSE = "https://www.apache.org/licenses/LICENSE-2.0"


def write_crate(recorded: Recorded) -> Path:
    """Write ``ro-crate-metadata.json`` into the profile's results: every file, and the notebook run that made it."""
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name = f"HARE, rebuilt: results of profile {recorded.profile}"
    crate.description = "Recorded metrics, tables, figures and executed notebooks; a reproduction of arXiv 2406.11410."
    crate.license = _LICENSE
    crate.root_dataset["citation"] = {"@id": _PAPER}
    # When the youngest result was made, not now: the same results give the same crate.
    crate.datePublished = max(recorded.provenance(stage).get("started_at", "") for stage in STAGES)
    for stage in STAGES:
        if recorded.provenance(stage):
            _add_run(crate, recorded, stage)
    for notebook in sorted((recorded.folder / "notebooks").glob("*.ipynb")):
        _add_file(crate, recorded.folder, notebook)
    path = recorded.folder / METADATA
    described = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False, sort_keys=True)
    write_text(path, described + "\n")
    return path


def _add_run(crate: Any, recorded: Recorded, stage: str) -> None:
    """The files of one stage, and the run of its notebook as the action that made them."""
    from rocrate.model import ContextEntity

    provenance = recorded.provenance(stage)
    files = [_add_file(crate, recorded.folder, path) for path in _files_of(recorded.folder / stage)]
    source = provenance.get("notebook") or provenance.get("command") or stage
    software = {"@type": "SoftwareSourceCode", "name": source}
    notebook = crate.add(ContextEntity(crate, f"#{source}", properties=software))
    crate.add(ContextEntity(crate, f"#run-{stage}", properties={
        "@type": "CreateAction", "name": f"{stage} at commit {provenance.get('git_commit', '')}",
        "startTime": provenance.get("started_at", ""), "instrument": {"@id": notebook.id},
        "result": [{"@id": file.id} for file in files],
    }))


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _TYPES)


def _add_file(crate: Any, root: Path, path: Path) -> Any:
    name = path.relative_to(root).as_posix()
    return crate.add_file(
        path, dest_path=name, properties={"encodingFormat": _TYPES[path.suffix], "contentSize": path.stat().st_size}
    )

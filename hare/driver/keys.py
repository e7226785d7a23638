"""The key of a step, which decides whether it must run again: notebook, parameters, code, inputs and lock file.

A key maps the name of each part to its digest, so that messages can name what changed.
"""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

from hare.core.chain import Step
from hare.core.code import PACKAGE, code_digest, data_of, imports, parsed, reached, text_of, texts_in
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.manifest import MANIFEST, METRICS
from hare.core.paths import REPOSITORY, Workspace
from hare.core.profile import Profile
from hare.core.provenance import digest_of
from hare.core.reading import read_record
from hare.core.seals import content_of
from hare.data.archives import ARCHIVES
from hare.driver.environment import LOCK
from hare.driver.notebooks import read_cells

EXTRA_DATA = "HARE_EXTRA_DATA"
_PYTHON = "the version of Python"
# These only determine the parameters, whose values are in the key.
_DECIDE_VALUES = ("chain.py", "contradictions.py", "parameters.py", "profile.py", "sections.py")


def step_key(step: Step, profile: Profile) -> dict[str, str]:
    """Digests of everything that a run of ``step`` depends on, by name."""
    cells, fields = read_cells(step), profile.fields()
    files = code_files(step)
    parts = {
        "the notebook": digest_of([[cell["cell_type"], cell["source"]] for cell in cells]),
        _PYTHON: ".".join(map(str, sys.version_info[:2])),
        "requirements.lock": sha256_of(LOCK) if LOCK.exists() else "",
        **{f"parameter {name}": digest_of(fields[name]) for name in step.parameters},
        **{f"hare/{file.relative_to(PACKAGE).as_posix()}": _digest(file) for file in sorted(files)},
        **{f"input {stage}": _input_digest(step, stage, Workspace(profile.name)) for stage in step.needs},
    }
    if any(EXTRA_DATA in text_of(file) for file in files if file.suffix == ".py"):
        parts[f"the folder ${EXTRA_DATA}"] = _listing(os.environ.get(EXTRA_DATA))
    if step.reads_results:
        parts["results/published"] = sha256_of(REPOSITORY / "results" / "published")
    return parts


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Names of the parts that two keys do not share; the version of Python alone where that is another one, since each
    has its own syntax trees, by which code is compared."""
    if old.get(_PYTHON) != new.get(_PYTHON):
        return [_PYTHON]
    return [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def code_files(step: Step) -> set[Path]:
    """Files of this package that the notebook reaches: modules, and the files of data that they name."""
    files: set[Path] = set()
    waiting = _imports_of_notebook(step)
    while waiting:
        files |= reached(waiting)
        waiting = {drawer for file in files for drawer in _drawers(file, step)} - files
    files -= {PACKAGE / "core" / name for name in _DECIDE_VALUES}
    return files | {path for file in files for path in data_of(file)}


def archives_read(step: Step) -> set[str]:
    """Packages whose archives the code of a step names; none when it reads recorded results alone."""
    if step.reads_results:
        return set()
    registry = PACKAGE / "data" / "archives.py"
    modules = [file for file in code_files(step) if file.suffix == ".py" and file != registry]
    return {text for file in modules for text in texts_in(file) if text in ARCHIVES}


def _imports_of_notebook(step: Step) -> set[Path]:
    cells = [cell["source"] for cell in read_cells(step) if cell["cell_type"] == "code"]
    return {
        file for source in cells
        for file in imports(parsed(_without_magics(source), step.notebook), PACKAGE)
    }


def _drawers(file: Path, step: Step) -> set[Path]:
    """Modules of figures, which `hare.report.figures` imports by the name of the stage."""
    if file != PACKAGE / "report" / "figures.py":
        return set()
    return set(file.parent.glob("*_figures.py" if step.reads_results else f"{step.stage}_figures.py"))


@cache
def _digest(file: Path) -> str:
    return code_digest(file) if file.suffix == ".py" else sha256_of(file)


def _without_magics(source: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _input_digest(step: Step, stage: str, workspace: Workspace) -> str:
    manifest = workspace.work / stage / MANIFEST
    digest = hashlib.sha256(manifest.read_bytes() if manifest.exists() else b"")
    if step.reads_results:
        for file in sorted((workspace.results / stage).rglob("*")):
            if file.suffix == ".csv":
                digest.update(f"{file.name}{sha256_of(file)}".encode())
            elif file.name == METRICS:
                digest.update(digest_of(_metrics(file)).encode())
    return digest.hexdigest()


def _metrics(file: Path) -> object:
    """The metrics of a record; for a damaged one the digest of its bytes, so that the step runs and names it."""
    try:
        return read_record(file)["metrics"]
    except HareError:
        return sha256_of(file)


def _listing(folder: str | None) -> str:
    """Digest of the user's own data; '' when there are none."""
    return content_of(Path(folder)) if folder else ""

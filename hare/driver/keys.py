"""What decides whether a step must run again: its notebook, parameters, code, inputs and the lock file.

A key is a mapping from the name of each part to its digest, so that a change can be named to the reader.
"""

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hare
from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.files import sha256_of
from hare.core.manifest import MANIFEST
from hare.core.paths import REPOSITORY, Workspace
from hare.core.profile import Profile
from hare.core.provenance import digest_of
from hare.driver.notebooks import read_cells

PACKAGE = Path(hare.__file__).parent
LOCK = REPOSITORY / "requirements.lock"
EXTRA_DATA = "HARE_EXTRA_DATA"
_MODULE_NAME = re.compile(r"hare(\.\w+)+")


def step_key(step: Step, profile: Profile) -> dict[str, str]:
    """Digests of everything that a run of ``step`` depends on, by name."""
    cells = read_cells(step)
    files = code_files(step)
    parts = {
        "the notebook": digest_of([[cell["cell_type"], cell["source"]] for cell in cells]),
        "requirements.lock": sha256_of(LOCK) if LOCK.exists() else "",
        **{f"parameter {name}": digest_of(value) for name, value in profile.parameters(step).items()},
        **{f"hare/{file.relative_to(PACKAGE).as_posix()}": _digest(file) for file in sorted(files)},
        **{f"input {stage}": _input_digest(step, stage, Workspace(profile.name)) for stage in step.needs},
    }
    if any(EXTRA_DATA in _text(file) for file in files if file.suffix == ".py"):
        parts[f"the folder ${EXTRA_DATA}"] = _listing(os.environ.get(EXTRA_DATA))
    if step.reads_results:
        parts["results/published"] = sha256_of(REPOSITORY / "results" / "published")
    return parts


def differences(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """Names of the parts that two keys do not share."""
    return [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def code_files(step: Step) -> set[Path]:
    """Files of this package that the notebook reaches by imports, found without running anything.

    A module counts as imported when its full name stands as a string (``python -m hare.training.worker``), and a file
    beside the module when its name does. Data files of every stage that is reached count as code.
    """
    waiting = set()
    for cell in read_cells(step):
        if cell["cell_type"] == "code":
            waiting |= _imports(_parsed(_without_magics(cell["source"]), step.notebook), PACKAGE)
    reached: set[Path] = set()
    while waiting:
        file = waiting.pop()
        reached.add(file)
        waiting |= _imports_of(file) | _drawers(file, step)
        waiting -= reached
    return reached | _data_files(reached)


def _drawers(file: Path, step: Step) -> set[Path]:
    """The registry of figures imports its drawers by the name of the stage."""
    if file != PACKAGE / "report" / "figures.py":
        return set()
    return set(file.parent.glob("*_figures.py" if step.reads_results else f"{step.stage}_figures.py"))


def _data_files(reached: set[Path]) -> set[Path]:
    stages = {file.relative_to(PACKAGE).parts[0] for file in reached if file.parent != PACKAGE} - {"core"}
    found = (path for stage in stages for path in (PACKAGE / stage).rglob("*"))
    return {path for path in found if path.is_file() and path.suffix not in (".py", ".pyc")}


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


@cache
def _digest(file: Path) -> str:
    return sha256_of(file)


@cache
def _imports_of(file: Path) -> frozenset[Path]:
    return frozenset(_imports(_parsed(_text(file), str(file)), file.parent))


def _parsed(source: str, where: str) -> ast.AST:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise HareError(
            f"{where}, line {error.lineno} is not Python: {error.msg}.", "correct it, or restore it: git checkout"
        ) from error


def _imports(tree: ast.AST, folder: Path) -> set[Path]:
    found = set()
    for name in _names(tree):
        if _MODULE_NAME.fullmatch(name):
            found |= _files_of(name)
        elif name.endswith(".py") and (folder / name).is_file():
            found.add(folder / name)
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _files_of(name: str) -> set[Path]:
    """Files of a dotted name and of every package on the way to it."""
    found, parts = set(), name.split(".")
    for length in range(1, len(parts) + 1):
        base = PACKAGE.parent.joinpath(*parts[:length])
        found |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return found


def _without_magics(source: str) -> str:
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _input_digest(step: Step, stage: str, workspace: Workspace) -> str:
    manifest = workspace.work / stage / MANIFEST
    digest = hashlib.sha256(manifest.read_bytes() if manifest.exists() else b"")
    if step.reads_results:
        for file in sorted((workspace.results / stage).rglob("*")):
            if file.suffix == ".csv":
                digest.update(f"{file.name}{sha256_of(file)}".encode())
            elif file.name == "metrics.json":
                digest.update(digest_of(json.loads(file.read_text(encoding="utf-8"))["metrics"]).encode())
    return digest.hexdigest()


def _listing(folder: str | None) -> str:
    """Digest of names and sizes, enough to notice that data came, went or was replaced."""
    if not folder:
        return ""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return digest_of([[path.relative_to(folder).as_posix(), path.stat().st_size] for path in files])

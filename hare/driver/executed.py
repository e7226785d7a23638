"""Executed notebooks made fit to be committed: no paths, clock readings, secrets or live markup."""

import contextlib
import getpass
import re
import socket
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from hare.core.files import write_text
from hare.core.paths import REPOSITORY, Workspace, cache_folder
from hare.core.secrets import masked, masked_values
from hare.driver.pages import KINDS, safe_html

if TYPE_CHECKING:
    from nbformat import NotebookNode

_WARNING_CELL = re.compile(r"(?:/[^\s/\"'<>]+)*/ipykernel_\d+/\d+\.py")


def keep(draft: Path, target: Path, workspace: Workspace) -> None:
    """Clean the executed notebook ``draft`` and save it as ``target``."""
    import nbformat

    notebook = nbformat.read(draft, as_version=4)
    clean(notebook, names_of_this_machine(workspace))
    nbformat.validate(notebook)
    write_text(target, nbformat.writes(notebook) + "\n")


def keep_failed(draft: Path, target: Path) -> None:
    """Move the notebook that stopped half-way to ``target``, without secrets; the rest of it may explain the fault."""
    import nbformat

    with contextlib.suppress(ValueError):  # a kill while it was written has left half of it
        notebook = nbformat.read(draft, as_version=4)
        for cell in notebook.cells:
            cell.source = masked(cell.source)
            if "outputs" in cell:
                cell.outputs = nbformat.from_dict(masked_values(cell.outputs))
        write_text(target, nbformat.writes(notebook) + "\n")
    draft.unlink()


def clean(notebook: "NotebookNode", names: list[tuple[re.Pattern[str], str]]) -> None:
    """Remove clock readings and paths from the metadata, names of this machine, secrets and live markup, in place."""
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec", "language_info")}
    for index, cell in enumerate(notebook.cells):
        cell.metadata = {"tags": list(cell.metadata.tags)} if cell.metadata.get("tags") else {}
        cell.id = f"injected-{index}" if "injected-parameters" in cell.metadata.get("tags", []) else cell.id
        cell.source = without(masked(cell.source), names)
        for output in cell.get("outputs", []):
            _clean_output(output, names)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]


def _clean_output(output: "NotebookNode", names: list[tuple[re.Pattern[str], str]]) -> None:
    if output.output_type == "stream":
        output.text = masked(without(output.text, names))
    if "data" in output:
        output.data = {kind: value for kind, value in output.data.items() if kind in KINDS}
        for kind, value in output.data.items():
            if kind.startswith("text/") or kind == "image/svg+xml":
                output.data[kind] = masked(without(value, names))
        if "text/html" in output.data:
            output.data["text/html"] = safe_html(output.data["text/html"])


def without(text: str, names: list[tuple[re.Pattern[str], str]]) -> str:
    """``text`` with each of ``names`` replaced."""
    for pattern, replacement in names:
        text = pattern.sub(replacement, text)
    return text


def names_of_this_machine(workspace: Workspace) -> list[tuple[re.Pattern[str], str]]:
    """Patterns of this machine's folders, user and host, with what to write instead; longer paths come first."""
    folders = {
        str(workspace.results.parent): "results",
        str(workspace.work.parent): "work",
        str(cache_folder()): "~/.cache/hare",
        sys.prefix: ".venv",
        sysconfig.get_path("stdlib"): "python",
        str(REPOSITORY): ".",
    }
    with contextlib.suppress(RuntimeError):  # a container's user may have no home
        folders[str(Path.home())] = "~"
    folders |= {str(Path(folder).resolve()): name for folder, name in folders.items()}
    patterns = [(_WARNING_CELL, "cell")]
    for folder in sorted(folders, key=len, reverse=True):
        if Path(folder).is_absolute() and len(Path(folder).parts) > 1:  # "/", be it somebody's home, means no folder
            patterns.append((re.compile(rf"(?<![\w.~-]){re.escape(folder.rstrip('/'))}(?![\w.-])"), folders[folder]))
    with contextlib.suppress(KeyError, OSError):  # a container's user may have no name
        patterns.append((re.compile(rf"(?<=/home/){re.escape(getpass.getuser())}\b"), "user"))
    host = socket.gethostname()
    if len(host) > 5 and re.search(r"[\d.-]", host):  # a host named like a common word cannot be told from it
        patterns.append((re.compile(rf"\b{re.escape(host)}\b"), "localhost"))
    return patterns

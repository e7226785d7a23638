"""Executed notebooks made fit to be committed: no machine's paths, no clock readings, and a page of their own."""

import contextlib
import getpass
import re
import socket
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hare.core.files import write_text
from hare.core.paths import REPOSITORY, Workspace, cache_folder

if TYPE_CHECKING:
    from nbformat import NotebookNode

STYLE = Path(__file__).with_name("notebook.css")
_WARNING_CELL = re.compile(re.escape(tempfile.gettempdir()) + r"/ipykernel_\d+/\d+\.py")


def keep(draft: Path, target: Path, workspace: Workspace) -> None:
    """Clean the executed notebook ``draft`` and save it as ``target``, with an HTML copy beside it."""
    import nbformat

    notebook = nbformat.read(draft, as_version=4)
    clean(notebook, names_of_this_machine(workspace))
    nbformat.validate(notebook)
    write_text(target, nbformat.writes(notebook) + "\n")
    write_text(target.with_suffix(".html"), to_html(notebook, target.stem))


def clean(notebook: "NotebookNode", names: list[tuple[re.Pattern[str], str]]) -> None:
    """Remove clock readings and paths from the metadata, and names of this machine from every output, in place."""
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec", "language_info")}
    for index, cell in enumerate(notebook.cells):
        cell.metadata = {"tags": list(cell.metadata.tags)} if cell.metadata.get("tags") else {}
        cell.id = f"injected-{index}" if "injected-parameters" in cell.metadata.get("tags", []) else cell.id
        for output in cell.get("outputs", []):
            _clean_output(output, names)


def _clean_output(output: "NotebookNode", names: list[tuple[re.Pattern[str], str]]) -> None:
    if output.output_type == "stream":
        output.text = without(output.text, names)
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str) and (kind.startswith("text/") or kind == "image/svg+xml"):
            output.data[kind] = without(value, names)


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
        str(Path.home()): "~",
    }
    folders |= {str(Path(folder).resolve()): name for folder, name in folders.items()}
    patterns = [(_WARNING_CELL, "cell")]
    for folder in sorted(folders, key=len, reverse=True):
        patterns.append((re.compile(re.escape(folder) + r"(?![\w.-])"), folders[folder]))
    with contextlib.suppress(KeyError, OSError):  # a container's user may have no name
        patterns.append((re.compile(rf"(?<=/home/){re.escape(getpass.getuser())}\b"), "user"))
    host = socket.gethostname()
    if len(host) > 5 and re.search(r"[\d.-]", host):  # a host called by a common word could not be told from the word
        patterns.append((re.compile(rf"\b{re.escape(host)}\b"), "localhost"))
    return patterns


def to_html(notebook: "NotebookNode", title: str) -> str:
    """The notebook as one page that needs no network: own style, pictures embedded."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    style = STYLE.read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )

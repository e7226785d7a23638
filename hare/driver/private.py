"""The private folder of a run: sockets and keys of its kernels, and the temporary files of its processes.

It is in the system's temporary folder, since paths of sockets must be short, and only this user can read it. A link
in the work folder names it, so that the next run removes what a killed one left.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hare.core.files import naming_disk_errors
from hare.core.paths import Workspace

_PREFIX = "hare-"


@contextlib.contextmanager
def private_folder(workspace: Workspace) -> Iterator[Path]:
    """A new folder, removed at the end; the folder of a killed run is removed first."""
    link = workspace.work / "private"
    with naming_disk_errors(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        _remove(link)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        link.symlink_to(folder)
    try:
        yield folder
    finally:
        _remove(link)


def _remove(link: Path) -> None:
    if link.is_symlink():
        folder = link.readlink()
        if folder.name.startswith(_PREFIX) and folder.is_dir() and folder.stat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)

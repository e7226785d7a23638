"""Requirements of a run, checked before its first notebook: writable folders, and enough open files."""

import os
import resource
from itertools import permutations
from pathlib import Path

from hare.core.errors import HareError
from hare.core.files import written_whole
from hare.core.paths import Workspace, cache_folder

_FILES_OPEN, _FEWEST_OPEN = 1024, 256


def check_writable(workspace: Workspace) -> None:
    """Write and remove a file in the folders of artifacts and results.

    Raises:
        HareError: one of the folders cannot be written, or lies in another, with which it would be cleared away.
    """
    folders = {"HARE_WORK": workspace.work, "HARE_RESULTS": workspace.results, "HARE_CACHE": cache_folder()}
    places = {variable: Path(os.path.realpath(folder)) for variable, folder in folders.items()}
    for (variable, inner), (_, outer) in permutations(places.items(), 2):
        if inner.is_relative_to(outer):
            raise HareError(f"{inner} lies in {outer}.", f"set {variable} to a folder of its own")
    for folder in (workspace.work, workspace.results / "notebooks"):
        with written_whole(folder / ".writable"):
            pass
        (folder / ".writable").unlink()


def allow_open_files() -> None:
    """Raise the limit on open files for this process and its children, as far as permitted.

    Raises:
        HareError: the limit is too low for a notebook.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _FILES_OPEN if hard == resource.RLIM_INFINITY else min(_FILES_OPEN, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < _FEWEST_OPEN:
        raise HareError(
            f"A limit forbids more than {allowed} open files; a notebook needs {_FEWEST_OPEN}.",
            f"raise it: ulimit -n {_FILES_OPEN}",
        )

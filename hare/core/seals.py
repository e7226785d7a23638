"""Seals: the digest of a cached file's content is kept beside it, and a file that no longer matches is made again.

The content decides. A stamp (size, times and inode of every file) saves reading it again: every edit changes the
inode's change time, which no program can set back.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import filelock

from hare.core.files import (
    folder_written_whole,
    naming_disk_errors,
    remove,
    remove_leftovers,
    sha256_of,
    write_json,
    written_whole,
)
from hare.core.provenance import digest_of

Seal = dict[str, str]


def stamp_of(path: Path) -> str:
    """Digest of names, sizes, times and inodes of a file, or of all files in a folder; '' where there is nothing."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    try:
        return digest_of([[file.relative_to(path).as_posix(), *_status(file)] for file in files])
    except OSError:
        return ""


def _status(file: Path) -> tuple[int, int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def content_of(path: Path) -> str:
    """sha256 of a file or folder, read once per process for as long as its stamp stays."""
    return _content(path, stamp_of(path))


@cache
def _content(path: Path, stamp: str) -> str:
    return sha256_of(path)


def seal_of(path: Path) -> Seal:
    """The seal of what has just been written."""
    return {"sha256": content_of(path), "stamp": stamp_of(path)}


def intact(path: Path, seal: Any) -> bool:
    """Whether a file or folder is unchanged since ``seal`` was made; a malformed seal matches nothing."""
    if not isinstance(seal, dict) or not path.exists():
        return False
    stamp = stamp_of(path)
    return bool(stamp) and (stamp == seal.get("stamp") or content_of(path) == seal.get("sha256"))


def seal_path(path: Path) -> Path:
    """Path of the seal of a cached file or folder, beside it."""
    return path.with_name(f".{path.name}.seal")


def seal(path: Path) -> None:
    """Write the seal of ``path`` beside it."""
    write_json(seal_path(path), seal_of(path))


def is_sealed(path: Path, content: str | None = None) -> bool:
    """Whether the seal beside ``path`` is there and matches; ``content`` is the digest that it is known to have.

    A seal whose stamp alone is out of date, as after a copy, is renewed.
    """
    try:
        written = json.loads(seal_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not intact(path, written) or content not in (None, written.get("sha256")):
        return False
    if stamp_of(path) != written["stamp"]:
        seal(path)
    return True


def kept_file(path: Path, make: Callable[[Path], None]) -> Path:
    """``path`` as ``make`` once wrote it to a temporary path; made again when it is missing or damaged."""
    return _kept(path, make, written_whole)


def kept_folder(path: Path, make: Callable[[Path], None]) -> Path:
    """The same for a folder, which ``make`` gets empty."""
    return _kept(path, make, folder_written_whole)


def _kept(path: Path, make: Callable[[Path], None], written: Callable[[Path], Any]) -> Path:
    if is_sealed(path):
        return path
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            if not is_sealed(path):
                seal_path(path).unlink(missing_ok=True)
                remove(path)
                remove_leftovers(path.parent, f".{path.name}.*")  # of a killed process, which held this lock
                with written(path) as temporary:
                    make(temporary)
                seal(path)
    return path

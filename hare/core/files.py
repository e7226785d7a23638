"""Files that appear whole or not at all, errors of the disk by name, and digests of files and folders."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hare.core.errors import HareError

_ELSEWHERE = "choose another folder through $HARE_RESULTS, $HARE_WORK or $HARE_CACHE"
_FIXES = {
    errno.ENOSPC: "free some disk space (`hare doctor` shows how much is needed)",
    errno.EDQUOT: "free some of your disk quota",
    errno.EACCES: f"give yourself write permission on that folder, or {_ELSEWHERE}",
    errno.EPERM: f"give yourself write permission on that folder, or {_ELSEWHERE}",
    errno.ENOTDIR: f"a file stands where a folder is wanted: move it away, or {_ELSEWHERE}",
    errno.EISDIR: "a folder stands where a file is wanted: move it away",
    errno.EFBIG: "a limit forbids files of that size: raise it (`ulimit -f unlimited`)",
    errno.EROFS: f"the file system is read-only: {_ELSEWHERE}",
}
_FIXES |= {
    errno.ENAMETOOLONG: f"a name is too long for the file system: {_ELSEWHERE}, with a shorter path",
    errno.ELOOP: f"a link leads back to itself: remove it, or {_ELSEWHERE}",
    errno.EMFILE: "a limit forbids more open files: raise it (`ulimit -n 4096`)",
}
_FIXES[errno.EEXIST] = _FIXES[errno.ENOTDIR]
# How an error's text gives the system's number: Python's and Arrow's errors, those of libraries in Rust (safetensors).
_NUMBER = re.compile(r"\[[Ee]rrno (\d+)\]|\(os error (\d+)\)")
_UNNUMBERED = ("Not enough free space to write", "unexpected pos")  # a full disk, in NumPy and torch.save
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")


@contextlib.contextmanager
def naming_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a `HareError` that names ``path``, or the other file
    that stood in the way."""
    try:
        yield
    except HareError:
        raise
    except Exception as error:
        number = disk_fault(str(error))
        if number is None:
            raise
        stopped = getattr(error, "filename", None)
        if isinstance(stopped, str | os.PathLike) and not Path(stopped).is_relative_to(path.parent):
            raise HareError(f"{stopped} could not be used: {os.strerror(number)}.", _FIXES[number]) from error
        raise HareError(f"{path} could not be written: {os.strerror(number)}.", _FIXES[number]) from error


def disk_fault(text: str) -> int | None:
    """The errno of the disk or folder fault that an error's text reports; None when it reports none."""
    number = _NUMBER.search(text)
    if number and int(number[1] or number[2]) in _FIXES:
        return int(number[1] or number[2])
    return errno.ENOSPC if any(words in text for words in _UNNUMBERED) else None


def disk_fix(text: str) -> str | None:
    """What to do about the disk or folder fault that an error's text reports; None when it reports none."""
    number = disk_fault(text)
    return None if number is None else _FIXES[number]


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success flush it to disk and rename it, on failure remove it."""
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it replaces ``path``, on failure it is removed.

    A folder that was moved to another disk, and a link left in its place, stays there.
    """
    path = path.resolve() if path.is_symlink() else path
    with naming_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path, names: str = "**/.*") -> None:
    """Remove temporary files and folders that a killed process left under ``folder``; ``names`` is a glob pattern."""
    for path in [path for path in folder.glob(names) if _TEMPORARY.fullmatch(path.name)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Any) -> int:
    """Write an iterable of dictionaries as JSON lines, atomically; return the number of rows."""
    count = 0
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that JSON can hold; a Boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON-lines file.

    Raises:
        HareError: a line is not JSON; the message names file and line.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", None) or getattr(error, "reason", None) or "nested too deeply"
                raise HareError(
                    f"{path}, line {number} is not valid JSON ({reason}).",
                    "the file was damaged after it was written: delete it and rerun the stage that makes it",
                ) from error
            yield row


def sha256_of(path: Path) -> str:
    """Digest of a file, or of a folder: over the sorted relative paths and the contents of its files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()

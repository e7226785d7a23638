"""What a launch of the cleaning has left carries a digest by file: a shard that is damaged or gone is made again.

datatrove skips the tasks that it has marked as completed, whatever became of their files since. So before a launch the
files of the earlier run are compared with their digests, and the mark of each task that wrote a bad one is taken away.
"""

import json
from pathlib import Path

from hare.core.files import sha256_of, write_json

_DIGESTS = "digests.json"
_OF_ONE_TASK = frozenset({"decisions"})  # folders whose files one task, number 0, wrote together


def remember(folder: Path, launch: str) -> None:
    """Keep the digests of the files in ``folder`` that no earlier launch left, as those of ``launch``."""
    digests = _read(folder)
    digests.pop(launch, None)
    earlier = {name for files in digests.values() for name in files}
    present = sorted(file for file in folder.rglob("*") if file.is_file() and _counts(file.relative_to(folder), launch))
    names = [file.relative_to(folder).as_posix() for file in present]
    digests[launch] = {name: sha256_of(folder / name) for name in names if name not in earlier}
    write_json(folder / _DIGESTS, digests)


def forget_damaged(folder: Path) -> list[str]:
    """Take away the completion marks of the tasks whose files are damaged or gone; return these files' names."""
    damaged = []
    for launch, files in _read(folder).items():
        for name, digest in files.items():
            file = folder / name
            if not file.is_file() or sha256_of(file) != digest:
                damaged.append(name)
                file.unlink(missing_ok=True)
                rank = 0 if file.parent.name in _OF_ONE_TASK else int(file.stem)
                (folder / "logs" / launch / "completions" / f"{rank:05d}").unlink(missing_ok=True)
    return damaged


def _read(folder: Path) -> dict[str, dict[str, str]]:
    """Digests by launch and file; none where they cannot be read, so that all is compared with nothing."""
    try:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _counts(name: Path, launch: str) -> bool:
    """Of datatrove's logs only the statistics of the launch itself are read again."""
    if name.parts[0] == "logs":
        return name.parts[1:3] == (launch, "stats") and name.stem.isdecimal()
    return name.stem.isdecimal()

"""Checkpoints that are whole or not there: written beside, hashed, renamed; the last good one is found after any kill.

A checkpoint is the folder ``<step>``. Its manifest, written last, holds the sha256 of every file and the parallel
layout; the folder gets its name only then.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hare.core.errors import HareError
from hare.core.files import sha256_of, write_json

MANIFEST = "manifest.json"
PARTIAL = ".partial"
KEPT = 2  # newest checkpoints kept while a run goes on, at the least


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path

    @property
    def step(self) -> int:
        """Optimizer steps taken before it was saved."""
        return int(self.folder.name)

    def manifest(self) -> dict[str, Any]:
        """``layout`` and ``files``: sha256 by relative path."""
        return json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))

    def damage(self) -> str:
        """What is wrong with the files, in words; '' when each is there with its digest."""
        try:
            listed = self.manifest()["files"]
        except (OSError, ValueError, KeyError) as error:
            return f"{MANIFEST} cannot be read ({error})"
        for name, digest in listed.items():
            file = self.folder / name
            if not file.is_file():
                return f"{name} is missing"
            if sha256_of(file) != digest:
                return f"{name} was cut short or altered"
        return ""


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Those in ``folder``, newest first, by number."""
    if not folder.exists():
        return []
    listed = [Checkpoint(path) for path in folder.iterdir() if path.name.isdigit() and path.is_dir()]
    return sorted(listed, key=lambda checkpoint: checkpoint.step, reverse=True)


def last_good(folder: Path, needed: Collection[int] = ()) -> Checkpoint | None:
    """The newest undamaged checkpoint whose forerunners at the steps ``needed`` are undamaged too; what is damaged is
    named, and training goes on before it."""
    damages = {checkpoint.step: checkpoint.damage() for checkpoint in checkpoints(folder)}
    for step, damage in damages.items():
        if damage:
            print(f"checkpoint {folder / str(step)} is passed over: {damage}", flush=True)
    good = {step for step, damage in damages.items() if not damage}
    return next(
        (Checkpoint(folder / str(step)) for step in sorted(good, reverse=True)
         if all(earlier in good for earlier in needed if earlier < step)), None,
    )


def refuse_other_layout(checkpoint: Checkpoint, layout: dict[str, int | str]) -> None:
    """nanotron 0.4 silently loses optimizer state when the parallel layout changes, so such a resume is refused.

    Raises:
        HareError: the checkpoint was written under another layout.
    """
    saved = checkpoint.manifest()["layout"]
    changed = [f"{key} {saved.get(key)} → {value}" for key, value in layout.items() if saved.get(key) != value]
    if changed:
        raise HareError(
            f"{checkpoint.folder} was written under another parallel layout ({', '.join(changed)}), and nanotron 0.4 "
            "loses the optimizer's state then.",
            "go on under the old layout, or start a new run from the weights alone: name this checkpoint as `weights` "
            "of a run in another folder",
        )


def publish(folder: Path, step: int, layout: dict[str, int | str], kept: int) -> Checkpoint:
    """Make the checkpoint written under ``.partial/<step>`` a real one, and remove all but the ``kept`` newest."""
    written = folder / PARTIAL / str(step)
    files = sorted(path for path in written.rglob("*") if path.is_file())
    for file in files:
        _flush(file)
    digests = {file.relative_to(written).as_posix(): sha256_of(file) for file in files}
    write_json(written / MANIFEST, {"step": step, "layout": layout, "files": digests})
    final = folder / str(step)
    if final.exists():
        shutil.rmtree(final)
    written.replace(final)
    _flush(folder)
    prune(folder, max(KEPT, kept))
    return Checkpoint(final)


def prune(folder: Path, kept: int) -> None:
    """Remove what a kill left half-written and all but the ``kept`` newest checkpoints."""
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    for checkpoint in checkpoints(folder)[kept:]:
        shutil.rmtree(checkpoint.folder)


def _flush(path: Path) -> None:
    """Ask the operating system to put a file or folder on disk now; some file systems refuse folders."""
    handle = os.open(path, os.O_RDONLY)
    with contextlib.suppress(OSError):
        os.fsync(handle)
    os.close(handle)

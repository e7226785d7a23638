"""Where the fault campaign takes place: a finished smoke run in folders of its own, and a log of what became of what.

A campaign that was stopped goes on where it stopped; once a notebook had to run again it begins anew.
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hare.core.chain import CHAIN, Step
from hare.core.code import code_of
from hare.core.files import folder_written_whole, remove
from hare.core.manifest import read_manifest
from hare.core.paths import Workspace, cache_folder
from hare.core.profile import Profile, load_profile
from hare.core.provenance import digest_of
from hare.data.append_log import AppendLog
from hare.driver.reproduce import reproduce
from hare.driver.verify import IDENTICAL, NEW, verify

SCALE = "smoke"
_VARIABLES = ("HARE_WORK", "HARE_RESULTS", "HARE_CACHE")
_FAULTS = ("hare.bench.faults",)


@dataclass(frozen=True)
class Fault:
    """What was done to which file, and what became of it; ``message`` is the error's, if there was one."""

    name: str
    outcome: str
    message: str = ""

    def row(self) -> dict[str, str]:
        """A row of the table of faults."""
        return dataclasses.asdict(self) | {"message": " ".join(self.message.split())[:300]}


@dataclass(frozen=True)
class Ground:
    """A finished run of ``profile`` along ``chain``; ``pristine`` holds its ``work`` and ``results`` undamaged."""

    profile: Profile
    chain: tuple[Step, ...]
    pristine: Path
    log: AppendLog

    @property
    def workspace(self) -> Workspace:
        """Where the damage is done."""
        return Workspace(self.profile.name)

    def once(self, name: str, judged: Callable[[], list[Fault]]) -> list[Fault]:
        """The faults that the log holds under ``name``, else those that are ``judged`` now, which it then holds."""
        for row in self.log.rows:
            if row["name"] == name:
                return [Fault(**fault) for fault in row["faults"]]
        faults = judged()
        self.log.append({"name": name, "faults": [dataclasses.asdict(fault) for fault in faults]})
        return faults

    def restore(self) -> None:
        """Make work and results what the undisturbed run left."""
        _copied(self.pristine / "work", self.workspace.work)
        _copied(self.pristine / "results", self.workspace.results)

    def undamaged(self, path: Path) -> Path:
        """The file's copy among the pristine ones."""
        for name, folder in (("work", self.workspace.work), ("results", self.workspace.results)):
            if path.is_relative_to(folder):
                return self.pristine / name / path.relative_to(folder)
        return path

    def unlike(self, step: Step) -> str:
        """What a step made otherwise than in the undisturbed run, metrics and artifacts; '' when it is all the same."""
        differing = [
            row.name for row in verify(self.profile, self.pristine / "results").comparisons
            if row.outcome not in (IDENTICAL, NEW)
        ]
        made, before = read_manifest(self.workspace, step.stage), _manifest(self.pristine / "work" / step.stage)
        differing += [name for name in before if (made or {}).get(name) != before[name]]
        return ", ".join(differing)


def _manifest(folder: Path) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """Inside, `Workspace` and the cache lie under ``faults`` in the folder for work, with a finished smoke run of the
    study in them, made there unless a campaign that was stopped has left one."""
    smoke, folder = load_profile(SCALE), Workspace(SCALE).work.parent / "faults"
    archives = cache_folder() / "archives"
    with _elsewhere(folder):
        _take_over(archives)
        pristine = folder / "pristine"
        if pristine.exists():
            _copied(pristine / "work", Workspace(SCALE).work)
            _copied(pristine / "results", Workspace(SCALE).results)
        ran = reproduce(smoke)
        log = folder / f"{digest_of(code_of(*_FAULTS))[:16]}.jsonl"
        if ran or not pristine.exists():
            log.unlink(missing_ok=True)
            remove(pristine)
            _copied(Workspace(SCALE).results, pristine / "results")
            _copied(Workspace(SCALE).work, pristine / "work")
        with AppendLog(log) as kept:
            yield Ground(smoke, tuple(step for step in CHAIN if not step.on_request), pristine, kept)


def _copied(source: Path, target: Path) -> None:
    remove(target)
    with folder_written_whole(target) as temporary:
        shutil.copytree(source, temporary, symlinks=True, dirs_exist_ok=True)


def _take_over(archives: Path) -> None:
    """Take over what has been downloaded; all else that lies in the cache is to be made by the run itself."""
    target = cache_folder() / "archives"
    if archives.exists() and not target.exists():
        _copied(archives, target)


@contextlib.contextmanager
def _elsewhere(folder: Path) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ |= {name: str(folder / name.removeprefix("HARE_").lower()) for name in _VARIABLES}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

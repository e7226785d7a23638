"""Faults in files: each file that a run left is flipped, cut and emptied in turn, and what then becomes of it is seen.

Most can be judged at once, by what the driver or the reader of a file says of it. What nothing notices is judged by a
rerun of its stage: either nothing that counts depends on it, or it was used without a word.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.manifest import read_manifest
from hare.core.paths import Workspace, cache_folder
from hare.core.profile import Profile
from hare.core.seals import is_sealed, remove, seal_path
from hare.data.append_log import AppendLog
from hare.driver.reproduce import Choice, reason_to_run, reproduce
from hare.driver.state import damaged_picture, read_state, state_path
from hare.driver.verify import IDENTICAL, NEW, verify

_TO_DELETE = re.compile(r"delete (?P<path>/\S+?)[,;:]?(?:\s|$)")
_UNNAMED = re.compile(r"stopped in cell \d+: [A-Z]\w*(?:Error|Exception|Warning|Interrupt)\b")


@dataclass(frozen=True)
class Fault:
    """What was done to which file, and what became of it; ``said`` is the message, if there was one."""

    name: str
    outcome: str
    said: str = ""


def flip(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes((content[middle] ^ 1,)) + content[middle + 1 :]


def cut(content: bytes) -> bytes:
    """The second half is gone."""
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    """Nothing is left."""
    return b""


DAMAGES: dict[str, Callable[[bytes], bytes]] = {"flip": flip, "cut": cut, "empty": empty}


@contextlib.contextmanager
def damaged(path: Path, damage: str) -> Iterator[None]:
    """Inside, ``path`` is damaged; afterwards it is as before, whatever has been made of it meanwhile."""
    content = path.read_bytes()
    path.write_bytes(DAMAGES[damage](content))
    try:
        yield
    finally:
        remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def files_under(*folders: Path) -> list[Path]:
    """Every file that can be damaged."""
    found = (path for folder in folders for path in folder.rglob("*"))
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_size)


def seen_at_once(profile: Profile, chain: tuple[Step, ...]) -> tuple[list[Fault], dict[tuple[str, str], list[Path]]]:
    """Every file of work and results, damaged alone: what the driver says of its step.

    Also returns, by stage and damage, the files of which it says nothing.
    """
    workspace, faults = Workspace(profile.name), []
    unseen: dict[tuple[str, str], list[Path]] = {}
    for path in files_under(workspace.results, workspace.work):
        step = _owner(path, workspace, chain)
        if step is None:
            continue
        for damage in DAMAGES:
            with damaged(path, damage):
                outcome, said = _noticed(step, profile)
            if outcome:
                faults.append(Fault(f"{damage} {_short(path, workspace)}", outcome, said))
            else:
                unseen.setdefault((step.stage, damage), []).append(path)
    return faults, unseen


def _owner(path: Path, workspace: Workspace, chain: tuple[Step, ...]) -> Step | None:
    root = workspace.results if path.is_relative_to(workspace.results) else workspace.work
    parts = path.relative_to(root).parts
    names = {name: step for step in chain for name in (step.stage, step.notebook, step.number)}
    return names.get(Path(parts[1]).stem) if parts[0] in ("notebooks", "steps") else names.get(parts[0])


def _noticed(step: Step, profile: Profile) -> tuple[str, str]:
    """survived: the driver would make it again; named: it says what does; '' when all seems well."""
    try:
        if reason := reason_to_run(step, profile):
            return "survived", reason
        workspace = Workspace(profile.name)
        state = read_state(step, workspace)
        picture = damaged_picture(workspace, state) if state else None
        return ("named", f"{picture}: hare figures") if picture else ("", "")
    except HareError as error:
        return "named", str(error)
    except Exception as error:  # people would see a traceback
        return "traceback", repr(error)


def by_rerun(
    profile: Profile, chain: tuple[Step, ...], unseen: Mapping[tuple[str, str], Iterable[Path]], record: Path
) -> list[Fault]:
    """Damage the unseen files of a stage together, make it run again, and compare with ``record``: its old results."""
    workspace, faults = Workspace(profile.name), []
    for (stage, damage), paths in unseen.items():
        step = next(step for step in chain if step.stage == stage)
        with contextlib.ExitStack() as stack:
            for path in paths:
                stack.enter_context(damaged(path, damage))
            outcome, said = rerun(profile, chain, step, record)
        faults += [Fault(f"{damage} {_short(path, workspace)}", outcome, said) for path in paths]
    return faults


def rerun(profile: Profile, chain: tuple[Step, ...], step: Step, record: Path) -> tuple[str, str]:
    """Make one step run again: survived when it makes what it made before, named when it says what to do and that does.

    Advice to delete something is followed; any other is to run the same command again.
    """
    workspace = Workspace(profile.name)
    before, said = read_manifest(workspace, step.stage), ""
    for attempt in range(2):
        state_path(step, workspace).unlink(missing_ok=True)
        try:
            reproduce(profile, Choice(only=step.number), chain)
            if not same(profile, record) or read_manifest(workspace, step.stage) != before:
                return ("lost" if said else "silent"), said or "other results, without a word"
            return ("named" if attempt else "survived"), said
        except HareError as error:
            said = str(error)
            if _UNNAMED.search(said):
                return "traceback", said
            for match in _TO_DELETE.finditer(error.fix):
                remove(Path(match["path"]))
    return "dead_end", said


def same(profile: Profile, record: Path) -> bool:
    """Whether every metric but cost is what it is in ``record``."""
    return all(row.outcome in (IDENTICAL, NEW) for row in verify(profile, record).comparisons)


def of_the_cache() -> list[Fault]:
    """Every file of the cache, damaged alone: survived when its seal or its log tells."""
    faults = []
    for path in files_under(cache_folder()):
        for damage in DAMAGES:
            rows = _rows(path)
            with damaged(path, damage):
                told = _seal_tells(path) or (path.suffix == ".jsonl" and all(row in rows for row in _rows(path)))
            name = f"{damage} cache/{path.relative_to(cache_folder()).as_posix()}"
            faults.append(Fault(name, "survived" if told else "silent"))
    return faults


def _rows(path: Path) -> list[object]:
    if path.suffix != ".jsonl":
        return []
    with AppendLog(path) as log:
        return log.rows


def _seal_tells(path: Path) -> bool:
    """Whether a damaged file, or the folder that it lies in, no longer matches its seal."""
    if path.suffix in (".lock", ".part", ".seal"):
        return True  # read by nothing, or checked when it is whole; without its seal a thing is compared or made again
    places = [place for place in (path, *path.parents) if cache_folder() in place.parents]
    return any(seal_path(place).exists() and not is_sealed(place) for place in places)


def _short(path: Path, workspace: Workspace) -> str:
    for name, root in (("results", workspace.results), ("work", workspace.work)):
        if path.is_relative_to(root):
            return f"{name}/{path.relative_to(root).as_posix()}"
    return path.name


def as_row(fault: Fault) -> dict[str, str]:
    """A row of the table of faults."""
    return dataclasses.asdict(fault) | {"said": " ".join(fault.said.split())[:300]}

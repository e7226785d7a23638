"""Faults in files: each file that a run left is flipped, cut and emptied, and what then becomes of it is seen.

Every one is judged at once, alone, by what the driver or the reader of the file says of it. What nothing notices, and
a seeded sample of all others, is judged by a rerun of its stage: it makes the same again, or it used the damage without
a word.
"""

import contextlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from hare.bench.fault.ground import Fault, Ground
from hare.core.chain import Step
from hare.core.errors import HareError
from hare.core.files import remove
from hare.core.paths import Workspace, cache_folder
from hare.core.progress import track
from hare.core.seals import is_sealed, seal_of, seal_path
from hare.data.append_log import AppendLog
from hare.driver.reproduce import Choice, reason_to_run, reproduce
from hare.driver.state import state_path

ROUNDS = 1  # of the sample of single files
_TO_DELETE = re.compile(r"delete (?P<path>/\S+?)[,;:]?(?:\s|$)")
_DELETE_IT, _IT = "or delete it and", re.compile(r"(?P<path>/\S+) is damaged")
_UNNAMED = re.compile(r"stopped in cell \d+: [A-Z]\w*(?:Error|Exception|Warning|Interrupt)\b")


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
    paths = (path for folder in folders for path in folder.rglob("*"))
    return sorted(path for path in paths if path.is_file() and not path.is_symlink() and path.stat().st_size)


def noticed(ground: Ground) -> list[Fault]:
    """Every damage of every file of work and results, alone, that the driver notices at once.

    Pictures are no matter of the driver's: see `hare.bench.fault.readers`.
    """
    faults = []
    for path in track(files_under(ground.workspace.results, ground.workspace.work), "each file alone", "files"):
        step = owner(path, ground)
        for damage in DAMAGES if step else ():
            with damaged(path, damage):
                outcome, message = _noticed(step, ground)
            if outcome:
                faults.append(Fault(name_of(path, damage), outcome, message))
    return faults


def owner(path: Path, ground: Ground) -> Step | None:
    """The step to which a file of work or results belongs; None for those of the driver itself."""
    workspace = ground.workspace
    root = workspace.results if path.is_relative_to(workspace.results) else workspace.work
    parts = path.relative_to(root).parts
    names = {name: step for step in ground.chain for name in (step.stage, step.notebook, step.number)}
    return names.get(Path(parts[1]).stem) if parts[0] in ("notebooks", "steps") else names.get(parts[0])


def _noticed(step: Step, ground: Ground) -> tuple[str, str]:
    """survived: the driver would make it again; named: it says what does; '' when all seems well."""
    try:
        reason = reason_to_run(step, ground.profile)
        return ("survived", reason) if reason else ("", "")
    except HareError as error:
        return "named", str(error)
    except Exception as error:  # people would see a traceback
        return "traceback", repr(error)


def together(ground: Ground, step: Step) -> list[Fault]:
    """Damage every file of a step at once, each in one of the three ways, and make the step run again."""
    return rerun(ground, step, dict(zip(_files_of(step, ground), _in_turn(), strict=False)))


def single(ground: Ground, step: Step, number: int) -> list[Fault]:
    """Damage one file, drawn by ``number``, of each shard, run or other unit of what a step keeps for itself."""
    drawn, units = random.Random(f"{step.stage} {number}"), {}
    for path in _files_of(step, ground):
        if path.is_relative_to(ground.workspace.work):
            units.setdefault(_unit(path, ground.workspace), []).append(path)
    chosen = {drawn.choice(paths): drawn.choice(list(DAMAGES)) for paths in units.values()}
    return rerun(ground, step, chosen)


def _in_turn() -> Iterator[str]:
    while True:
        yield from DAMAGES


def _files_of(step: Step, ground: Ground) -> list[Path]:
    """What the step itself made or keeps; its log and its state are the driver's."""
    files = files_under(ground.workspace.work / step.stage, ground.workspace.results / step.stage)
    return [path for path in files if path.suffix != ".lock"]


def _unit(path: Path, workspace: Workspace) -> str:
    """What is made as one: a shard by its number, a run by its folder."""
    parts = path.relative_to(workspace.work).parts
    return path.stem if path.stem.isdecimal() else "/".join(parts[:3])


def rerun(ground: Ground, step: Step, damages: dict[Path, str]) -> list[Fault]:
    """Damage files together, make their step run again, and judge each: survived when it is as it was before or was
    made anew and all metrics and artifacts are the same, named when a message said what to do and that did.

    Advice to delete something is followed; any other is to run the same command again.
    """
    for path, damage in damages.items():
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    left = {path: path.read_bytes() for path in damages}
    try:
        outcome, message = _made_again(ground, step)
        return [
            Fault(name_of(path, damage), outcome, message or _became(path, left[path], ground))
            for path, damage in damages.items()
        ]
    finally:
        ground.restore()


def _became(path: Path, damage: bytes, ground: Ground) -> str:
    if not path.is_file():
        return "removed by the rerun"
    content = path.read_bytes()
    if content == ground.undamaged(path).read_bytes():
        return "made again, byte for byte"
    return "nothing reads it" if content == damage else "made again, with times of its own"


def _made_again(ground: Ground, step: Step) -> tuple[str, str]:
    message = ""
    for attempt in range(2):
        state_path(step, ground.workspace).unlink(missing_ok=True)
        try:
            reproduce(ground.profile, Choice(only=step.number), ground.chain)
            if differing := ground.unlike(step):
                return ("lost" if message else "silent"), f"{message} other results: {differing}"
            return ("named" if attempt else "survived"), message
        except HareError as error:
            message = str(error)
            if _UNNAMED.search(message):
                return "traceback", message
            for path in _to_delete(error):
                remove(path)
    return "dead_end", message


def _to_delete(error: HareError) -> list[Path]:
    """What the advice says to delete, by its path or as the damaged file that the problem names."""
    matches = [*_TO_DELETE.finditer(error.fix)]
    if _DELETE_IT in error.fix:
        matches += _IT.finditer(error.problem)
    return [Path(match["path"]) for match in matches]


def of_the_cache() -> list[Fault]:
    """Every file of the cache, damaged alone: survived when its seal or its log tells."""
    faults, paths = [], [path for path in files_under(cache_folder()) if path.suffix not in (".lock", ".part")]
    for path in track(paths, "the cache", "files"):
        tells = _of_a_log(path) if path.suffix == ".jsonl" and not _sealed(path) else _seal_tells
        for damage in DAMAGES:
            with damaged(path, damage):
                told = tells(path)
            name = f"{damage} cache/{path.relative_to(cache_folder()).as_posix()}"
            faults.append(Fault(name, "survived" if told else "silent"))
    return faults


def _of_a_log(path: Path) -> Callable[[Path], bool]:
    """Whether a log, once damaged, gives no row that it did not hold before."""
    rows = _rows(path)
    return lambda damaged_log: all(row in rows for row in _rows(damaged_log))


def _rows(path: Path) -> list[object]:
    with AppendLog(path) as log:
        return log.rows


def _sealed(path: Path) -> list[Path]:
    """The file itself and the folders that it lies in, as far as a seal lies beside them."""
    places = [place for place in (path, *path.parents) if cache_folder() in place.parents]
    return [place for place in places if seal_path(place).exists()]


def _seal_tells(path: Path) -> bool:
    """Whether a damaged file, or the folder that it lies in, no longer matches its seal."""
    if path.suffix == ".seal":  # whether it still matches or not, only what matches its content is taken
        sealed = path.with_name(path.name.removeprefix(".").removesuffix(".seal"))
        return not is_sealed(sealed) or seal_of(sealed)["sha256"] == json.loads(path.read_text())["sha256"]
    return any(not is_sealed(place) for place in _sealed(path))


def name_of(path: Path, damage: str) -> str:
    """A fault by its damage and file."""
    workspace = Workspace(path.name)
    for name, root in (("results", workspace.results.parent), ("work", workspace.work.parent)):
        if path.is_relative_to(root):
            return f"{damage} {name}/{path.relative_to(root).as_posix()}"
    return f"{damage} {path.name}"

"""Faults in files that no rerun of a step makes again: what reads them names them, or makes them again.

Pictures are drawn again by `hare figures`; what belongs to no step (the record of costs, the article, logs of the
driver) is read by the other commands, or by none.
"""

from collections.abc import Callable
from pathlib import Path

from hare.bench.fault.files import DAMAGES, files_under, name_of, owner
from hare.bench.fault.ground import Fault, Ground
from hare.core.errors import HareError
from hare.driver.state import StepState, damaged_pictures, read_state


def pictures(ground: Ground, redraw: Callable[[], object]) -> list[Fault]:
    """Damage every picture in each way and follow what `hare status` says of it: ``redraw`` all."""
    faults = []
    for damage, harm in DAMAGES.items():
        paths = sorted(_drawn(ground))
        for path in paths:
            path.write_bytes(harm(path.read_bytes()))
        named = _damaged(ground)
        message, wrong = "", "dead_end"
        try:
            redraw()
        except HareError as error:
            message = str(error)
        except Exception as error:  # people would see a traceback
            message, wrong = repr(error), "traceback"
        left = _damaged(ground)
        faults += [
            Fault(name_of(path, damage), "silent" if path not in named else wrong if path in left else "named", message)
            for path in paths
        ]
        ground.restore()
    return faults


def _drawn(ground: Ground) -> set[Path]:
    names = {name for state in _states(ground) for name, known in state.files.items() if known["drawn"] == "True"}
    return {ground.workspace.results / name.removeprefix("results/") for name in names}


def _damaged(ground: Ground) -> set[Path]:
    names = {name for state in _states(ground) for name in damaged_pictures(ground.workspace, state)}
    return {ground.workspace.results / name.removeprefix("results/") for name in names}


def _states(ground: Ground) -> list[StepState]:
    return [state for step in ground.chain if (state := read_state(step, ground.workspace))]


def of_no_step(ground: Ground, read: Callable[[], object]) -> list[Fault]:
    """Damage every file that belongs to no step, all in one way at a time, then ``read`` them: what a message names is
    restored, until there is none."""
    faults = []
    for damage, harm in DAMAGES.items():
        paths = [path for path in files_under(ground.workspace.results, ground.workspace.work)
                 if owner(path, ground) is None and path.suffix not in (".lock", ".pid")]
        for path in paths:
            path.write_bytes(harm(path.read_bytes()))
        left = {path: path.read_bytes() for path in paths}
        messages, outcome, message = _restored_one_by_one(ground, paths, read)
        for path in paths:
            untouched = path.is_file() and path.read_bytes() == left[path]
            became = message or ("nothing reads it" if untouched else "made again")
            fault = ("named", messages[path]) if path in messages else (outcome, became)
            faults.append(Fault(name_of(path, damage), *fault))
        ground.restore()
    return faults


def _restored_one_by_one(
    ground: Ground, paths: list[Path], read: Callable[[], object]
) -> tuple[dict[Path, str], str, str]:
    """Messages by the file that they name; then the outcome of all others, with the last message, if there was one."""
    messages: dict[Path, str] = {}
    while True:
        try:
            read()
            return messages, "survived", ""
        except HareError as error:
            named = next((path for path in paths if path not in messages and str(path) in str(error)), None)
            if named is None:
                return messages, "dead_end", str(error)
            messages[named] = str(error)
            named.write_bytes(ground.undamaged(named).read_bytes())
        except Exception as error:  # people would see a traceback
            return messages, "traceback", repr(error)

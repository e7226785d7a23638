"""No process outlives its driver: not the kernel, not the processes of a training, not even when the driver is killed.

Every process of a run inherits one environment variable. A guard outside the run waits for the driver to end in any
way, then kills the processes that still have that variable and removes the run's private folder.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "HARE_RUN"
_SECONDS_TO_END = 10
_SECONDS_BETWEEN_LOOKS = 0.05


def new_mark(owner: str) -> str:
    """A unique value for the variable; it begins with ``owner``, the work folder of the run."""
    return f"{owner}:{uuid.uuid4().hex}"


def end_processes(mark: str) -> int:
    """Kill every process whose mark starts with ``mark`` and wait until they are gone; return how many there were.

    The search is repeated until two searches find none, since a process may start another meanwhile, and one that is
    just starting has no mark for a moment.
    """
    ended, looks, deadline = 0, 0, time.monotonic() + _SECONDS_TO_END
    while looks < 2 and time.monotonic() < deadline:
        marked = [process for process in psutil.process_iter() if process.pid != os.getpid() and _marked(process, mark)]
        looks = 0 if marked else looks + 1
        if not marked:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        for process in marked:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        ended += len(marked) - len(psutil.wait_procs(marked, timeout=_SECONDS_TO_END)[1])
    return ended


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK, "").startswith(mark)
    except (psutil.Error, OSError):
        return False  # another user's, or gone meanwhile


@contextlib.contextmanager
def guarded(mark: str, folder: Path) -> Iterator[None]:
    """Run the body under a guard that outlives this process, kills the processes it started and removes ``folder``."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    command = [sys.executable, "-m", "hare.driver.leftovers", mark, str(folder)]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment)
    try:
        yield
    finally:
        guard.communicate()


def main() -> None:
    """Wait until the driver's end of the pipe is closed, which also happens when it is killed, then end what is
    left."""
    sys.stdin.buffer.read()
    end_processes(sys.argv[1])
    shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()

"""No process outlives its driver: not the kernel, not its torchrun workers, not even when the driver is killed.

Every process of a run inherits one environment variable. A guard, itself outside the run, waits for the driver's end,
however it comes, and then ends whatever still carries that variable.
"""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil

MARK = "HARE_RUN"
_SECONDS_TO_END = 10


def new_mark(owner: str) -> str:
    """A value of the variable that no other run has; ``owner`` tells whose run it is."""
    return f"{owner}:{uuid.uuid4().hex}"


def end_processes(mark: str) -> int:
    """Kill every process whose mark starts with ``mark`` and wait until they are gone; return how many there were."""
    found = [process for process in psutil.process_iter() if process.pid != os.getpid() and _marked(process, mark)]
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=_SECONDS_TO_END)
    return len(found)


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK, "").startswith(mark)
    except (psutil.Error, OSError):
        return False  # another user's, or gone meanwhile


@contextlib.contextmanager
def guarded(mark: str) -> Iterator[None]:
    """Run the body under a guard that outlives this process for as long as it takes to end its children."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    guard = subprocess.Popen(
        [sys.executable, "-m", "hare.run.leftovers", mark], stdin=subprocess.PIPE, start_new_session=True,
        env=environment,
    )
    try:
        yield
    finally:
        guard.communicate()


def main() -> None:
    """Wait until the driver closes its end of the pipe, as it does even when killed, then end what is left."""
    sys.stdin.buffer.read()
    end_processes(sys.argv[1])


if __name__ == "__main__":
    main()

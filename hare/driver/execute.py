"""One notebook, executed by papermill in a kernel of this very interpreter."""

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from hare.core.errors import HareError, fields_in_notebook
from hare.core.files import disk_fix
from hare.core.secrets import masked

_SECONDS_TO_START = 300  # a busy machine takes its time
_SECONDS_FOR_OUTPUT = 120
_KERNEL_SOCKETS = 5
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class NotebookStopped(HareError):
    """A notebook did not reach its end; ``problem`` and ``fix`` say why, ``cell`` where (counted from 1)."""

    def __init__(self, cell: int, problem: str, fix: str):
        super().__init__(problem, fix)
        self.cell = cell


def execute(
    source: Path,
    draft: Path,
    parameters: dict[str, Any],
    environment: dict[str, str],
    log: TextIO,
    on_cell: Callable[[int], None],
    seconds_left: Callable[[], float],
) -> None:
    """Run ``source`` with ``parameters`` and write it to ``draft`` as it goes.

    The kernel gets ``environment`` on top of this process's variables, and what it prints outside of cells goes to
    ``log``; its key and its sockets are in that environment's ``$TMPDIR``. ``on_cell`` is called with the number of
    each cell when it starts; ``seconds_left`` returns how long a cell may still take.

    Raises:
        NotebookStopped: a cell failed, time ran out, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    for name in ("papermill", "asyncio"):  # asyncio would print another traceback when a cell is interrupted
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    reached = [0]

    def started(cell: Any, cell_index: int) -> None:
        reached[0] = cell_index + 1
        on_cell(reached[0])

    try:
        papermill.execute_notebook(
            _literal(source), _literal(draft), parameters,
            progress_bar=False, cwd=source.parent, on_cell_execute=started, start_timeout=_SECONDS_TO_START,
            iopub_timeout=_SECONDS_FOR_OUTPUT,
            timeout_func=lambda cell: max(1, int(seconds_left())),
            kernel_manager_class=_this_interpreter(environment, log),
            shutdown_kernel="immediate",  # a graceful shutdown kills it too, three seconds later
        )
    except papermill.PapermillExecutionError as error:
        raise _stopped(reached[0], error) from error
    except CellTimeoutError as error:
        raise NotebookStopped(
            reached[0], "the time limit of the notebook has passed.",
            "raise notebook_minutes in the profile (waiting in a queue of Slurm counts), or lower its scale",
        ) from error
    except (DeadKernelError, RuntimeError) as error:
        raise NotebookStopped(
            reached[0], f"the kernel died ({masked(str(error))[:200]}), most often because memory ran out.",
            f"close other programs or choose a smaller profile; its output is in {log.name}",
        ) from error


def _literal(path: Path) -> str:
    """The path as papermill wants it, which fills parameters in where there are braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _stopped(cell: int, error: Any) -> NotebookStopped:
    """A `HareError` raised in the kernel keeps its message; any other error is named with its type and place."""
    if fields := fields_in_notebook(error.traceback):
        return NotebookStopped(cell, **fields)
    lines = _COLOURS.sub("", "\n".join(error.traceback)).splitlines()
    frames = [line for line in lines if line.startswith(("Cell In", "File "))]
    where = "; ".join(dict.fromkeys(frames[:1] + frames[-1:]))
    fix = disk_fix(error.evalue) or "correct the cause"
    return NotebookStopped(cell, f"{error.ename}: {masked(error.evalue)[:500]} ({where})", fix)


def _this_interpreter(environment: dict[str, str], log: TextIO) -> type:
    """A kernel manager that starts this interpreter, regardless of the kernel registered as "python3"."""
    import zmq
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    described = Path(environment["TMPDIR"]) / "kernel.json"
    literal = {name: value.replace("$", "$$") for name, value in environment.items()}  # Jupyter fills variables in
    sockets = f"{described.with_suffix('')}-ipc-{_KERNEL_SOCKETS}"

    class ThisInterpreter(AsyncKernelManager):
        def __init__(self, **options: Any):
            super().__init__(**options)
            self.connection_file = str(described)
            if zmq.has("ipc") and len(sockets) < zmq.IPC_PATH_MAX_LEN:
                self.transport = "ipc"  # else ports of the loopback address, which every user of this machine can reach

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}",
                      "--HistoryManager.enabled=False"],
                display_name="Python 3", language="python", env=literal,
            )

        async def start_kernel(self, **options: Any) -> None:
            await super().start_kernel(stdout=log, stderr=log, **options)

    return ThisInterpreter

"""The processes of one launch on one machine: started together, ended together, closed to everybody else.

torchrun meets at a port that listens on all addresses and unpickles what anyone sends to it. These processes meet at a
file of a private folder instead, and talk to each other through the loopback address alone. Several machines are
started by the scripts of `hare train --dry-run`, through torchrun, on a network that is taken to be private.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psutil
import torch
import torch.distributed

from hare.core.errors import HareError

STORE = "HARE_STORE"  # names the file at which the processes of one machine meet
LOOPBACK = "127.0.0.1"
_SECONDS_BETWEEN_LOOKS = 0.1


class Ranks:
    """Running processes of one launch; ``output`` is what all of them print, line by line."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], output: TextIO):
        self.processes, self.output = processes, output
        self._failed = 0
        self._watch = threading.Thread(target=self._end_together, daemon=True)
        self._watch.start()

    def wait(self) -> int:
        """Wait for the end of all; 0, or the exit code of the first that failed (negative: a signal's number)."""
        self._watch.join()
        return self._failed

    def kill(self) -> None:
        """End whatever still runs."""
        for process in self.processes:
            process.kill()
        self._watch.join()

    def _end_together(self) -> None:
        """When one process fails the others would wait for it in vain."""
        running = list(self.processes)
        while running:
            codes = [process.poll() for process in running]
            self._failed = self._failed or next((code for code in codes if code), 0)
            if self._failed:
                for process in running:
                    process.kill()
            running = [process for process, code in zip(running, codes, strict=True) if code is None]
            time.sleep(_SECONDS_BETWEEN_LOOKS if running else 0)


@contextlib.contextmanager
def started(arguments: list[str], count: int, environment: dict[str, str]) -> Iterator[Ranks]:
    """Run ``python <arguments>`` as ``count`` ranks of one process group; none of them outlives the body.

    Each also ends as soon as this process does, however that ends: see `end_with_launcher`.

    Raises:
        HareError: the machine has no loopback address.
    """
    with tempfile.TemporaryDirectory() as folder:
        read, write = os.pipe()
        output = os.fdopen(read, encoding="utf-8", errors="replace")
        places = [place(Path(folder) / "store", rank, count) for rank in range(count)]
        with output:
            try:
                processes = [
                    subprocess.Popen(
                        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=write, stderr=subprocess.STDOUT,
                        env={**os.environ, **environment, **there},
                    ) for there in places
                ]
            finally:
                os.close(write)
            ranks = Ranks(processes, output)
            try:
                yield ranks
            finally:
                ranks.kill()
                for process in processes:
                    process.stdin.close()  # type: ignore[union-attr]


def place(store: Path, rank: int, count: int) -> dict[str, str]:
    """Environment of one of ``count`` processes that meet at the file ``store``.

    Raises:
        HareError: the machine has no loopback address.
    """
    interface = loopback_interface()
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        STORE: str(store), "GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface,
    }


def loopback_interface() -> str:
    """Name of the network interface that only this machine can reach.

    Raises:
        HareError: there is none.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == LOOPBACK for address in addresses):
            return name
    raise HareError(
        f"This machine has no loopback address ({LOOPBACK}), through which the processes of a run talk.",
        "bring it up (on Linux, as root: `ip link set lo up`), or start the container with a loopback device",
    )


def meet() -> None:
    """Start the process group of a launch: at the file that `place` names, or where torchrun says."""
    if "RANK" not in os.environ or torch.distributed.is_initialized():
        return
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    store = torch.distributed.FileStore(os.environ[STORE], world) if STORE in os.environ else None
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world)


def end_with_launcher() -> None:
    """In a process of `started`: end it when the launcher's end of standard input closes, even by SIGKILL."""
    if STORE in os.environ:
        threading.Thread(target=_end_when_closed, daemon=True).start()


def _end_when_closed() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)

"""Which addresses the processes below this one listen on, looked at all the while."""

import contextlib
import ipaddress
import threading
from collections.abc import Iterator

import psutil

_SECONDS_BETWEEN_LOOKS = 0.02


@contextlib.contextmanager
def listeners() -> Iterator[set[str]]:
    """Fills the set with every address at which a descendant of this process listens while the body runs."""
    addresses: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    connections = process.net_connections("inet")
                    addresses.update(one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield addresses
    finally:
        over.set()
        thread.join()


def reachable(addresses: set[str]) -> set[str]:
    """Those of ``addresses`` that another machine could reach."""
    return {address for address in addresses if not ipaddress.ip_address(address).is_loopback}

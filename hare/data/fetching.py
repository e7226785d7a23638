"""Downloads of every registered archive, ahead of the work that reads them."""

from hare.core.progress import track
from hare.data.archives import ARCHIVES, Archive, fetch


def missing() -> list[Archive]:
    """Archives that are not in the cache yet."""
    return [archive for archive in ARCHIVES.values() if not archive.path.exists()]


def fetch_all() -> None:
    """Fetch and verify every archive, so that what follows needs no network.

    Raises:
        HareError: an archive can neither be found in the cache nor be fetched whole.
    """
    for archive in track(list(ARCHIVES.values()), "data archives", "files"):
        fetch(archive)

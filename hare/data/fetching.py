"""Downloads archives before the work that reads them."""

from collections.abc import Collection

from hare.core.progress import track
from hare.data.archives import ARCHIVES, Archive, at_hand


def missing() -> list[Archive]:
    """Archives that are not in the cache yet."""
    return [archive for archive in ARCHIVES.values() if not (archive.path.exists() or archive.excerpt.exists())]


def fetch_all(packages: Collection[str]) -> None:
    """Fetch and verify the archives of ``packages``, so that what follows needs no network.

    Raises:
        HareError: an archive is neither in the cache nor can it be downloaded.
    """
    for package in track(sorted(packages), "data archives", "files"):
        at_hand(ARCHIVES[package])

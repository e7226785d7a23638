"""Where things lie: the repository, the results, the scratch space of a profile, the cache of downloads."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"


def cache_folder() -> Path:
    """Folder of downloaded archives: ``$HARE_CACHE``, else ``~/.cache/hare``."""
    return Path(os.environ.get("HARE_CACHE") or Path.home() / ".cache" / "hare").absolute()


@dataclass(frozen=True)
class Workspace:
    """The two folders of one profile.

    ``results`` is small and committed; ``work`` holds corpora, token files and checkpoints and is never committed.
    ``$HARE_RESULTS`` and ``$HARE_WORK`` move the roots of both, for tests and for clusters with a scratch disk.
    """

    profile: str

    @property
    def results(self) -> Path:
        """``results/<profile>``."""
        return Path(os.environ.get("HARE_RESULTS") or REPOSITORY / "results").absolute() / self.profile

    @property
    def work(self) -> Path:
        """``work/<profile>``."""
        return Path(os.environ.get("HARE_WORK") or REPOSITORY / "work").absolute() / self.profile

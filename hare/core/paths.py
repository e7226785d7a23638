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
    """The two folders of one profile, or of a variant of it: a run with changed parameters, kept beside the record.

    ``results`` is small and committed; ``work`` holds corpora, token files and checkpoints and is never committed.
    ``$HARE_RESULTS`` and ``$HARE_WORK`` move the roots of both, for tests and for clusters with a scratch disk.
    """

    profile: str
    variant: str = ""

    @property
    def name(self) -> str:
        """``<profile>``, or ``<profile>@<variant>``."""
        return f"{self.profile}@{self.variant}" if self.variant else self.profile

    @property
    def base(self) -> "Workspace":
        """The profile's own, whose artifacts a variant reads."""
        return Workspace(self.profile)

    @property
    def results(self) -> Path:
        """``results/<profile>``."""
        return Path(os.environ.get("HARE_RESULTS") or REPOSITORY / "results").absolute() / self.name

    @property
    def work(self) -> Path:
        """``work/<profile>``."""
        return Path(os.environ.get("HARE_WORK") or REPOSITORY / "work").absolute() / self.name

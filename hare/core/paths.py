"""Paths: the repository, the results and the working folder of a profile, the cache of downloads."""

import os
from dataclasses import dataclass
from pathlib import Path

from hare.core.errors import HareError

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPOSITORY / "notebooks"
_SPECIAL = ("#", "?", "*", "[", "]", "::")  # to libraries a pattern, or a part of an address


def cache_folder() -> Path:
    """Folder of downloaded archives: ``$HARE_CACHE``, else ``~/.cache/hare``.

    Raises:
        HareError: the folder cannot be used, or the variable is not set and this user has no home.
    """
    try:
        home = Path.home()
    except RuntimeError as error:
        if not os.environ.get("HARE_CACHE"):
            raise HareError("This user has no home folder.", "set HARE_CACHE to a folder for downloads") from error
        home = Path()
    return _folder("HARE_CACHE", home / ".cache" / "hare")


def _folder(variable: str, default: Path) -> Path:
    """The folder that an environment variable names, or else ``default``.

    Raises:
        HareError: its path holds what libraries interpret as a pattern or as part of an address, or is not text, or it
            is a file.
    """
    path = Path(os.environ.get(variable) or default).absolute()
    wrong = [sign for sign in _SPECIAL if sign in str(path)]
    wrong += ["bytes that are no text"] if any("\ud800" <= sign <= "\udfff" for sign in str(path)) else []
    if wrong:
        raise HareError(
            f"The folder {str(path)!r} has {' and '.join(wrong)} in its path, which libraries misread.",
            f"set {variable} to a folder without such characters",
        )
    if path.exists() and not path.is_dir():
        raise HareError(f"{path} is not a folder.", f"set {variable} to a folder, or move what stands there away")
    return path


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
        """The workspace of the profile itself, whose artifacts a variant reads."""
        return Workspace(self.profile)

    @property
    def results(self) -> Path:
        """``results/<profile>``."""
        return _folder("HARE_RESULTS", REPOSITORY / "results") / self.name

    @property
    def work(self) -> Path:
        """``work/<profile>``."""
        return _folder("HARE_WORK", REPOSITORY / "work") / self.name

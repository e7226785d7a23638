"""The one exception that ends a run in a single clear message."""

from collections.abc import Sequence

from hare.core.secrets import masked

FIX = "Fix:"


class HareError(Exception):
    """Something the user can fix: ``what`` names the thing that is wrong, ``fix`` says what to do about it."""

    def __init__(self, what: str, fix: str):
        what, fix = masked(what), masked(fix)
        super().__init__(f"{what}\n  {FIX} {fix}")
        self.what = what
        self.fix = fix

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """As it travels from a pool of processes."""
        return HareError, (self.what, self.fix)

    @property
    def fields(self) -> dict[str, str]:
        """Both fields by name, as they travel between processes as JSON: ``HareError(**fields)`` is the same error."""
        return {"what": self.what, "fix": self.fix}

    def _render_traceback_(self) -> list[str]:
        """Called by IPython: a notebook shows the message alone, and keeps it as `fields_in_notebook` reads it."""
        return [self.what, FIX, self.fix]


def fields_in_notebook(traceback: Sequence[str]) -> dict[str, str] | None:
    """The fields of a `HareError` from the traceback that a notebook keeps; None for any other exception."""
    if len(traceback) != 3 or traceback[1] != FIX:
        return None
    return {"what": traceback[0], "fix": traceback[2]}

"""The one exception that ends a run in a single clear message."""

from collections.abc import Sequence

from hare.core.secrets import masked

FIX = "Fix:"


class HareError(Exception):
    """Something the user can fix: ``problem`` names the thing that is wrong, ``fix`` says what to do about it."""

    def __init__(self, problem: str, fix: str):
        problem, fix = masked(problem), masked(fix)
        super().__init__(f"{problem}\n  {FIX} {fix}")
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickled with both fields, for a pool of processes."""
        return HareError, (self.problem, self.fix)

    @property
    def fields(self) -> dict[str, str]:
        """Both fields by name, to be passed between processes as JSON: ``HareError(**fields)`` is the same error."""
        return {"problem": self.problem, "fix": self.fix}

    def _render_traceback_(self) -> list[str]:
        """Called by IPython: a notebook shows the message alone, and keeps it as `fields_in_notebook` reads it."""
        return [self.problem, FIX, self.fix]


def fields_in_notebook(traceback: Sequence[str]) -> dict[str, str] | None:
    """The fields of a `HareError` from the traceback that a notebook keeps; None for any other exception."""
    if len(traceback) != 3 or traceback[1] != FIX:
        return None
    return {"problem": traceback[0], "fix": traceback[2]}

"""The one exception that ends a run in a single clear message."""


class HareError(Exception):
    """Something the user can mend: ``what`` names the thing, ``mend`` says what to do about it."""

    def __init__(self, what: str, mend: str):
        super().__init__(f"{what}\n  To mend it: {mend}")
        self.what = what
        self.mend = mend

"""Whether an expectation that was written down before the runs came out, told by intervals alone."""

from collections.abc import Mapping

AS_EXPECTED, OTHERWISE, UNTOLD = "as expected", "not as expected", "cannot be told"


def between(metrics: Mapping[str, float], one: str, other: str) -> int:
    """−1 where the interval of ``one`` lies below that of ``other``, 1 where above, 0 where they overlap."""
    if metrics[f"{one}.high"] < metrics[f"{other}.low"]:
        return -1
    return int(metrics[f"{one}.low"] > metrics[f"{other}.high"])


def by_sign(metrics: Mapping[str, float], name: str, expected: int) -> str:
    """Whether an interval lies on the expected side of zero, −1 or 1."""
    low, high = metrics[f"{name}.low"], metrics[f"{name}.high"]
    return by_side(-1 if high < 0 else int(low > 0), expected)


def by_side(side: int, expected: int) -> str:
    """Whether what was seen, −1, 0 for nothing or 1, is what was expected."""
    return UNTOLD if side == 0 else AS_EXPECTED if side == expected else OTHERWISE


def all_of(*parts: str) -> str:
    """Of an expectation in several parts: one that failed is enough for no, one that is not told for not told."""
    return OTHERWISE if OTHERWISE in parts else UNTOLD if UNTOLD in parts else AS_EXPECTED

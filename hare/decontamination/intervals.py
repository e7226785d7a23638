"""Confidence intervals of counted things."""

import math


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which stays sound at 0 and at 1; NaN when there was no trial."""
    if not trials:
        return math.nan, math.nan
    z = 1.959963984540054
    share, scale = successes / trials, 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return centre - half if successes else 0.0, centre + half if successes < trials else 1.0

"""From which dose on a leak shows."""

import re
from collections.abc import Mapping, Sequence

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 07."""
    doses = sorted({int(match[1]) for name in metrics if (match := re.fullmatch(r"auc\.min_k\.dose_(\d+)", name))})
    if not doses:
        return "**Leaks** were not measured by dose."

    def auc(estimator: str, dose: int) -> str:
        return number(metrics, f"auc.{estimator}.dose_{dose}", ".2f")

    least, most = doses[0], doses[-1]
    return (
        f"**A leak shows in the likelihood of an item's rarest tokens {_from(metrics, 'min_k', doses)}, in the paper's "
        f"measure {_from(metrics, 'fivegram_five_starts', doses)}.** Area under the curve of planted against "
        f"never-planted items, 0.5 being chance, for items read {_times(least)} and {_times(most)}: "
        f"{auc('fivegram_five_starts', least)} and {auc('fivegram_five_starts', most)} by the paper's measure (five "
        f"tokens continued at five places), {auc('min_k', least)} and {auc('min_k', most)} by the rarest tokens "
        f"(Min-K %)."
    )


def _from(metrics: Mapping[str, float], estimator: str, doses: Sequence[int]) -> str:
    """From the least dose on that shows together with all above it, by intervals above chance."""
    shows = [metrics.get(f"auc.{estimator}.dose_{dose}.low", 0.0) > 0.5 for dose in doses]
    seen = [dose for number, dose in enumerate(doses) if all(shows[number:])]
    if not seen:
        return f"not even after {_readings(doses[-1])}"
    return f"from {_readings(seen[0])} on" if seen[0] < doses[-1] else f"after {_readings(seen[0])}"


def _readings(dose: int) -> str:
    return "one reading" if dose == 1 else f"{dose} readings"


def _times(dose: int) -> str:
    return {1: "once", 2: "twice"}.get(dose, f"{dose} times")

"""From which dose on a leak shows."""

import re
from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 07."""
    doses = _doses(metrics, "min_k")
    if not doses:
        return "**Leaks** were not measured by dose."

    def auc(estimator: str, dose: int) -> str:
        return number(metrics, f"auc.{estimator}.dose_{dose}", ".2f")

    least, most = doses[0], doses[-1]
    return (
        f"**A leak shows in the likelihood of an item's rarest tokens {seen_from(metrics, 'min_k')}, in the paper's "
        f"measure {seen_from(metrics, 'fivegram_five_starts')}.** Area under the curve of planted against "
        f"never-planted items, 0.5 being chance, for items read {_times(least)} and {_times(most)}: "
        f"{auc('fivegram_five_starts', least)} and {auc('fivegram_five_starts', most)} by the paper's measure (five "
        f"tokens continued at five places), {auc('min_k', least)} and {auc('min_k', most)} by the rarest tokens "
        f"(Min-K %)."
    )


def _doses(metrics: Mapping[str, float], estimator: str) -> list[int]:
    pattern = rf"auc\.{estimator}\.dose_(\d+)"
    return sorted({int(match[1]) for name in metrics if (match := re.fullmatch(pattern, name))})


def seen_from(metrics: Mapping[str, float], estimator: str) -> str:
    """From how many readings on a leak shows: the fewest that show together with all above, by intervals above chance.
    """
    doses = _doses(metrics, estimator)
    shows = [metrics.get(f"auc.{estimator}.dose_{dose}.low", 0.0) > 0.5 for dose in doses]
    seen = [dose for number, dose in enumerate(doses) if all(shows[number:])]
    if not seen:
        return f"not even after {_readings(doses[-1])}" if doses else "at no dose that was measured"
    return f"from {_readings(seen[0])} on" if seen[0] < doses[-1] else f"after {_readings(seen[0])}"


def _readings(dose: int) -> str:
    return "one reading" if dose == 1 else f"{dose} readings"


def _times(dose: int) -> str:
    return {1: "once", 2: "twice"}.get(dose, f"{dose} times")

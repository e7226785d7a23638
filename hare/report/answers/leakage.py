"""From which dose on a leak shows."""

import re
from collections.abc import Mapping

from hare.report.answers.numbers import number

REGISTERED, PAPERS, RAREST = "fivegram_all_positions", "fivegram_five_starts", "min_k"
_LEVEL, _RELIABLE = 0.05, 0.5  # shared out over the doses; of the tests that must see a dose


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 07."""
    doses = _doses(metrics, RAREST)
    if not doses:
        return "**Leaks** were not measured by dose."
    if metrics.get("negative_control.leaks"):
        failed, tests = (number(metrics, f"negative_control.{name}", ".0f") for name in ("leaks", "tests"))
        return ("**Nothing is said about leaks: the control, a model that read none of the items, fails its test.** "
                f"{failed} of {tests} tests of it see a leak.")

    def auc(estimator: str, dose: int) -> str:
        return number(metrics, f"auc.{estimator}.dose_{dose}", ".2f")

    least, most = doses[0], doses[-1]
    return (
        f"**A leak shows in the likelihood of an item's rarest tokens {seen_from(metrics, RAREST)}, in five tokens "
        f"continued {seen_from(metrics, REGISTERED)} at all positions (the registered measure) and "
        f"{seen_from(metrics, PAPERS)} at the paper's five places.** With 25 items of each kind the registered measure "
        f"shows it in at least half of the tests {_reliable_from(metrics)}. Area under the curve of planted against "
        f"never-planted items, 0.5 being chance, for items read {_times(least)} and {_times(most)}: "
        f"{auc(REGISTERED, least)} and {auc(REGISTERED, most)} at all positions, {auc(PAPERS, least)} and "
        f"{auc(PAPERS, most)} at the paper's five places, {auc(RAREST, least)} and {auc(RAREST, most)} by the rarest "
        f"tokens (Min-K %)."
    )


def _doses(metrics: Mapping[str, float], estimator: str) -> list[int]:
    pattern = rf"auc\.{estimator}\.dose_(\d+)"
    return sorted({int(match[1]) for name in metrics if (match := re.fullmatch(pattern, name))})


def seen_from(metrics: Mapping[str, float], estimator: str) -> str:
    """From how many readings on a leak shows: the fewest that show together with all above, each by the permutation
    test over all runs at 5 % shared out over the doses."""
    doses = _doses(metrics, estimator)
    return _from([metrics.get(f"p.{estimator}.dose_{dose}", 1.0) < _LEVEL / len(doses) for dose in doses], doses)


def thresholds(metrics: Mapping[str, float]) -> dict[str, str]:
    """From how many readings on a leak is seen: registered, papers, rarest, and reliable; nothing without doses."""
    if not _doses(metrics, REGISTERED):
        return {}
    named = {"registered": REGISTERED, "papers": PAPERS, "rarest": RAREST}
    return {name: seen_from(metrics, estimator) for name, estimator in named.items()} | {
        "reliable": _reliable_from(metrics)}


def _reliable_from(metrics: Mapping[str, float]) -> str:
    doses = _doses(metrics, REGISTERED)
    return _from([metrics.get(f"power.{REGISTERED}.dose_{dose}", 0.0) >= _RELIABLE for dose in doses], doses)


def _from(shows: list[bool], doses: list[int]) -> str:
    seen = [dose for number, dose in enumerate(doses) if all(shows[number:])]
    if not seen:
        return f"not even after {_readings(doses[-1])}" if doses else "at no dose that was measured"
    return f"from {_readings(seen[0])} on" if seen[0] < doses[-1] else f"after {_readings(seen[0])}"


def _readings(dose: int) -> str:
    return "one reading" if dose == 1 else f"{dose} readings"


def _times(dose: int) -> str:
    return {1: "once", 2: "twice"}.get(dose, f"{dose} times")

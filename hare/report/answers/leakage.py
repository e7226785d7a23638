"""From which dose on a leak shows."""

import re
from collections.abc import Mapping

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
        f"**From which dose on a leak shows.** Telling planted from never-planted items, 0.5 being chance: the paper's "
        f"measure (5-gram, five starts) reaches {auc('fivegram_five_starts', least)} for items read {_times(least)} "
        f"and {auc('fivegram_five_starts', most)} for items read {_times(most)}; the likelihood of their rarest tokens "
        f"(Min-K %) {auc('min_k', least)} and {auc('min_k', most)}."
    )


def _times(dose: int) -> str:
    return {1: "once", 2: "twice"}.get(dose, f"{dose} times")

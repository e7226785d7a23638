"""How often what is read."""

import re
from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 04."""
    readings: dict[str, list[float]] = {}
    for name, epochs in metrics.items():
        if match := re.fullmatch(r"epochs\.\w+\.(\w+)", name):
            readings.setdefault(match[1], []).append(epochs)
    parts = ", ".join(f"{part} {max(epochs):.2g} times" for part, epochs in readings.items())
    return (
        f"Every arm reads {number(metrics, 'tokens_per_run', ',.0f')} tokens. The arm that reads most of a part reads "
        f"it so often: {parts or 'not recorded'}."
    )

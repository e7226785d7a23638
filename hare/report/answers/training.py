"""What the arms tell."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 05."""

    def contrast(pair: str, endpoint: str) -> str:
        return number(metrics, f"contrast.{pair}.{endpoint}", "+.3f")

    return (
        f"**{_finding(metrics)}** Tasks against the same text without their form, in bits per byte (below 0 is "
        f"better): {contrast('c-a2', 'h3')} on held-out tasks, {contrast('c-a2', 'h1')} on held-out text, "
        f"{contrast('c-a2', 'p')} on the answers of five benchmarks, where {number(metrics, 'mde.p', '.3f')} could be "
        f"detected. On those answers, against plain text: {contrast('d-a', 'p')} with the paper's whole mixture, "
        f"{contrast('b-a', 'p')} with synthetic pages (D2), the mix of topics not held equal."
    )


def _finding(metrics: Mapping[str, float]) -> str:
    """Only what has its control: no arm reads the sources of D2 without its form."""
    return (
        f"With text put into the form of tasks, further tasks are predicted {_told(metrics, 'contrast.c-a2.h3')}, "
        f"benchmark answers {_told(metrics, 'contrast.c-a2.p')}."
    )


def _told(metrics: Mapping[str, float], name: str) -> str:
    """What an interval says; fewer bits per byte are better."""
    if metrics.get(f"{name}.high", 0.0) < 0:
        return "better"
    return "worse" if metrics.get(f"{name}.low", 0.0) > 0 else "with no difference seen"

"""What the arms tell."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 05."""

    def contrast(pair: str, endpoint: str) -> str:
        return number(metrics, f"contrast.{pair}.{endpoint}", "+.3f")

    return (
        f"**{_finding(metrics)}** With their text held equal, the form of tasks changes the loss on tasks of that form "
        f"by {contrast('c-a2', 'h3')} bits per byte, on held-out text by {contrast('c-a2', 'h1')}, on the answers of "
        f"five benchmarks by {contrast('c-a2', 'p')}, where the smallest detectable effect is "
        f"{number(metrics, 'mde.p', '.3f')}. The paper's whole mixture changes the latter by {contrast('d-a', 'p')}, "
        f"synthetic pages (D2) with the mix of their own sources by {contrast('b-a', 'p')}."
    )


def _finding(metrics: Mapping[str, float]) -> str:
    """Only what has its control: no arm reads the sources of D2 without its form."""
    return (
        f"With the form of tasks, held-out tasks are read {_told(metrics, 'contrast.c-a2.h3')} and benchmark answers "
        f"{_told(metrics, 'contrast.c-a2.p')}."
    )


def _told(metrics: Mapping[str, float], name: str) -> str:
    """What an interval says; fewer bits per byte are better."""
    if metrics.get(f"{name}.high", 0.0) < 0:
        return "better"
    return "worse" if metrics.get(f"{name}.low", 0.0) > 0 else "with no difference seen"

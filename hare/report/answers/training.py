"""What the arms tell."""

import re
from collections.abc import Mapping

from hare.report.answers import priors, scaling
from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 05."""

    def contrast(pair: str, endpoint: str) -> str:
        return number(metrics, f"contrast.{pair}.{endpoint}", "+.3f")

    if other := _of_other_arms(metrics):
        return other
    return (
        f"**{_finding(metrics)}** Tasks against the same text without their form, in bits per byte (below 0 is "
        f"better): {contrast('c-a2', 'h3')} on held-out tasks, {contrast('c-a2', 'h1')} on held-out text, "
        f"{contrast('c-a2', 'p')} on the answers of five benchmarks, where {number(metrics, 'mde.p', '.3f')} could be "
        f"detected. On those answers, against plain text: {contrast('d-a', 'p')} with the paper's whole mixture, "
        f"{contrast('b-a', 'p')} with synthetic pages (D2), the mix of topics not held equal."
    )


def _of_other_arms(metrics: Mapping[str, float]) -> str:
    """Every contrast on benchmark answers, what was to be concluded of shares, forms and topics, and what a grid says
    beyond its sizes, of a profile that does not compare tasks with their text; '' of all others."""
    pairs = [match[1] for name in metrics if (match := re.fullmatch(r"contrast\.([^.]+)\.p", name))]
    if not pairs or "c-a2" in pairs:
        return ""
    listed = "; ".join(f"{pair.replace('-', ' − ').replace('_', ' ')} {number(metrics, f'contrast.{pair}.p', '+.3f')}"
                       for pair in pairs)
    text = f"Arms compared on the answers of five benchmarks, in bits per byte (below 0 is better): {listed}."
    return text + priors.of_shares(metrics) + priors.of_forms(metrics) + priors.of_topics(metrics) + (
        scaling.beyond_the_grid(metrics))


def _finding(metrics: Mapping[str, float]) -> str:
    """Only what has its control: no arm reads the sources of D2 without its form."""
    return (
        f"With text put into the form of tasks, further tasks are predicted {told(metrics, 'contrast.c-a2.h3')}, "
        f"benchmark answers {told(metrics, 'contrast.c-a2.p')}."
    )


def told(metrics: Mapping[str, float], name: str) -> str:
    """What an interval says: better, worse, or with no difference seen; fewer bits per byte are better."""
    if metrics.get(f"{name}.high", 0.0) < 0:
        return "better"
    return "worse" if metrics.get(f"{name}.low", 0.0) > 0 else "with no difference seen"

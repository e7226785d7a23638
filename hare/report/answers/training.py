"""What the arms tell."""

import re
from collections.abc import Mapping

from hare.report.answers import priors, scaling
from hare.report.answers.numbers import number

_NONE = "with no difference seen"


def answer(metrics: Mapping[str, float], outcomes: Mapping[str, str] | None = None) -> str:
    """The answer of notebook 05; ``outcomes``: what the registered rule says of contrasts on benchmark answers, which a
    recorded table of them tells."""
    registered = outcomes or {}

    def contrast(pair: str, endpoint: str) -> str:
        return number(metrics, f"contrast.{pair}.{endpoint}", "+.3f")

    if other := _of_other_arms(metrics):
        return other

    def against_plain(pair: str) -> str:
        return contrast(pair, "p") + (f" ({registered[pair]})" if pair in registered else "")

    return (
        f"**{_finding(metrics, registered)}** Tasks against the same text without their form, in bits per byte (below "
        f"0 is better): {contrast('c-a2', 'h3')} on held-out tasks, {contrast('c-a2', 'h1')} on held-out text, "
        f"{contrast('c-a2', 'p')} on the answers of five benchmarks, where {detectable(metrics)}. On those answers, "
        f"against plain text: {against_plain('d-a')} with the paper's whole mixture, {against_plain('b-a')} with "
        f"synthetic pages (D2), the mix of topics not held equal."
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


def _finding(metrics: Mapping[str, float], registered: Mapping[str, str]) -> str:
    """Only what has its control: no arm reads the sources of D2 without its form. What tasks do to benchmark answers is
    told by the registered rule alone, and only where the check of the treatment, held-out tasks, shows an effect."""
    if failed(metrics):
        return ("With text put into the form of tasks, no difference is seen even on further tasks: the treatment "
                "failed, and benchmark answers say nothing about it.")
    further = told(metrics, "contrast.c-a2.h3")
    rule = f"; benchmark answers by the registered rule: {registered['c-a2']}" if "c-a2" in registered else ""
    return f"With text put into the form of tasks, further tasks are predicted {further}{rule}."


def failed(metrics: Mapping[str, float]) -> bool:
    """Whether tasks do not even move held-out tasks: then benchmark answers say nothing about tasks, as registered."""
    return "contrast.c-a2.h3.low" in metrics and told(metrics, "contrast.c-a2.h3") == _NONE


def detectable(metrics: Mapping[str, float]) -> str:
    """The smallest effect on benchmark answers that could have been seen, and by what."""
    return f"one test alone, uncorrected, could detect {number(metrics, 'mde.p', '.3f')}"


def told(metrics: Mapping[str, float], name: str) -> str:
    """What an interval says: better, worse, or with no difference seen; fewer bits per byte are better."""
    if metrics.get(f"{name}.high", 0.0) < 0:
        return "better"
    return "worse" if metrics.get(f"{name}.low", 0.0) > 0 else _NONE

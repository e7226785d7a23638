"""What the small model makes of requests."""

from collections.abc import Mapping

from hare.report.answers.numbers import number

_NOT_KNOWN = float("nan")


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 08."""

    def accuracy(system: str) -> str:
        return number(metrics, f"tool.test.{system}.accuracy", ".1%")

    def with_arguments(system: str) -> str:
        return number(metrics, f"tool.test.{system}.with_arguments", ".1%")

    return (
        f"**{_verdict(metrics)}** Whole calls right on held-out phrasings: {accuracy('hare-tool')} by marking words, "
        f"{accuracy('copying')} by the paper's copying, {accuracy('random-weights')} by marking from random weights. "
        f"Of the calls with arguments: {with_arguments('hare-tool')} by marking, {with_arguments('copying')} by "
        f"copying."
    )


def _verdict(metrics: Mapping[str, float]) -> str:
    marked = metrics.get("tool.test.hare-tool.with_arguments.low", _NOT_KNOWN)
    copied = metrics.get("tool.test.copying.with_arguments.high", _NOT_KNOWN)
    if marked > 1 / 2 > copied:
        return "Copying arguments fails in a small model, pointing at them does not."
    if marked > copied:
        return "A small model points at arguments better than it copies them."
    return "Pointing at arguments is not shown to be better than copying them at this scale."

"""What the small model makes of requests."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 08."""

    def accuracy(system: str) -> str:
        return number(metrics, f"tool.test.{system}.accuracy", ".1%")

    return (
        f"**Copying arguments fails in a small model, pointing at them does not.** Whole calls right on held-out "
        f"phrasings: {accuracy('hare-tool')} by marking words, {accuracy('copying')} by the paper's copying, "
        f"{accuracy('random-weights')} by marking from random weights."
    )

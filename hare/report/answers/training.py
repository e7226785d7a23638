"""What the arms tell."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 05."""

    def contrast(pair: str, endpoint: str) -> str:
        return number(metrics, f"contrast.{pair}.{endpoint}", "+.3f")

    return (
        f"**What tasks in the training data buy.** With their text held equal, the form of tasks changes the loss on "
        f"tasks of that form by {contrast('c-a2', 'h3')} bits per byte, on held-out text by "
        f"{contrast('c-a2', 'h1')}, on the answers of five benchmarks by {contrast('c-a2', 'p')}, where the smallest "
        f"detectable effect is {number(metrics, 'mde.p', '.3f')}; the paper's whole mixture changes the latter by "
        f"{contrast('d-a', 'p')}, synthetic pages (D2) alone by {contrast('b-a', 'p')}."
    )

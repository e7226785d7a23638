"""What leaderboard accuracy tells of small models."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 06."""
    return (
        f"Average leaderboard score: {number(metrics, 'average.a.score', '.1%')} for the arm that reads D1 alone, "
        f"{number(metrics, 'average.d.score', '.1%')} for the paper's mixture; of all paired differences between arms, "
        f"in scores and in bits per byte, {number(metrics, 'differences_seen', '.0f')} survive correction"
        f"{_of_letters(metrics)}."
    )


def _of_letters(metrics: Mapping[str, float]) -> str:
    """How many of the differences are no knowledge, where a benchmark is answered by letter."""
    if "differences_seen.letters" not in metrics:
        return ""
    letters = number(metrics, "differences_seen.letters", ".0f")
    return f", {letters} of them in the bits of MMLU's letters, which tell the letter that an arm prefers, nothing else"

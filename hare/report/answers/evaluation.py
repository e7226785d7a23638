"""What leaderboard accuracy tells of small models."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 06."""
    return (
        f"Average leaderboard score: {number(metrics, 'average.a.score', '.1%')} for the arm that reads D1 alone, "
        f"{number(metrics, 'average.d.score', '.1%')} for the paper's mixture; of all paired differences between arms, "
        f"in scores and in bits per byte, {number(metrics, 'differences_seen', '.0f')} survive correction."
    )

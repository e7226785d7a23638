"""What the printed tables carry."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 10."""

    def correlation(split: str) -> str:
        return number(metrics, f"printed.score_leakage_rank_correlation.{split}", ".2f")

    return (
        f"**The printed tables do not carry \"score goes with leakage\" on test splits.** Rank correlation of score "
        f"and leakage, read from print: {correlation('train')} on training splits, {correlation('test')} on test "
        f"splits. The printed days imply {number(metrics, 'paper.implied_mfu_share', '.1%')} of the GPUs' peak."
    )

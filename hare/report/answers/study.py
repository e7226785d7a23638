"""What the printed tables carry."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 10."""

    def correlation(split: str) -> str:
        return number(metrics, f"printed.score_leakage_rank_correlation.{split}", ".2f")

    return (
        f"**The paper's printed tables {_show(metrics)} that scores rise with leakage on test splits.** Rank "
        f"correlation of score and leakage, read from print: {correlation('train')} on training splits, "
        f"{correlation('test')} on test splits. The printed days imply "
        f"{number(metrics, 'paper.implied_mfu_share', '.1%')} of the GPUs' peak."
    )


def _show(metrics: Mapping[str, float]) -> str:
    low = metrics.get("printed.score_leakage_rank_correlation.test.low", 0.0)
    return "show" if low > 0 else "cannot show"

"""The detector that sees nothing inside documents."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 03."""

    def rate(rule: str) -> str:
        return number(metrics, f"planted.inside_a_document.{rule}.detection_rate", ".1%")

    return (
        f"**A rule that counts the share of a document sees nothing inside documents.** Of benchmark items planted in "
        f"longer documents the paper's rule finds {rate('document-share-10-15')}, one shared 13-gram "
        f"{rate('any-13-gram')}, counting the covered share of the item {rate('item-coverage')}."
    )

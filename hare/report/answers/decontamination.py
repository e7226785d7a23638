"""The detector that sees nothing inside documents."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 03."""

    def rate(rule: str) -> str:
        return number(metrics, f"planted.inside_a_document.{rule}.detection_rate", ".1%")

    return (
        f"**{_finding(metrics)}** Of benchmark items planted in longer documents the paper's rule finds "
        f"{rate('document-share-10-15')}, one shared run of 13 words {rate('any-13-gram')}, counting the covered share "
        f"of the item {rate('item-coverage')}."
    )


def _finding(metrics: Mapping[str, float]) -> str:
    rate = "planted.inside_a_document.{}.detection_rate{}".format
    rule = "A rule that counts the share of a document"
    if metrics.get(rate("document-share-10-15", "")) == 0:
        return f"{rule} sees nothing inside documents."
    if metrics.get(rate("document-share-10-15", ".high"), 1.0) < metrics.get(rate("any-13-gram", ".low"), 0.0):
        return f"{rule} sees less inside documents than one shared run of words."
    return f"{rule} is not seen to be worse inside documents than one shared run of words."

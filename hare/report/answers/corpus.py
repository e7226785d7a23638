"""What cleaning keeps, and how right it is."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 01."""
    return (
        f"{number(metrics, 'kept_mb', '.1f')} of {number(metrics, 'raw_mb', '.1f')} MB survive cleaning, from "
        f"{number(metrics, 'sources', '.0f')} sources in {number(metrics, 'categories', '.0f')} categories. Of "
        f"{number(metrics, 'edits.read', '.0f')} edits that were read, "
        f"{number(metrics, 'edits.false_alarm_share', '.1%')} are false alarms; of planted personal information "
        f"{number(metrics, 'planted.personal_information.recall', '.1%')} is removed at a precision of "
        f"{number(metrics, 'planted.personal_information.precision', '.1%')}. Cleaning changes the entropy over topics "
        f"by {number(metrics, 'diversity.topic_entropy_nats.difference', '+.3f')} nats."
    )

"""How much of what a small model writes can be used."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 02."""
    return (
        f"Of {number(metrics, 'judged.texts', '.0f')} texts that passed every gate, "
        f"{number(metrics, 'judged.wrong_share', '.0%')} hold a false or unsupported statement; of textbook pages "
        f"{number(metrics, 'form.textbook.yield', '.0%')} pass the gates, of FAQs "
        f"{number(metrics, 'form.faq.yield', '.0%')}, of tables {number(metrics, 'form.table.yield', '.0%')}."
    )

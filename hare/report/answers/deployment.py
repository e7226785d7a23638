"""What few bits per weight cost."""

from collections.abc import Mapping

from hare.report.answers.numbers import number


def answer(metrics: Mapping[str, float]) -> str:
    """The answer of notebook 09."""
    return (
        f"In int4 the file shrinks from {number(metrics, 'fp32.size_mb', '.1f')} to "
        f"{number(metrics, 'int4.size_mb', '.1f')} MB and decodes "
        f"{number(metrics, 'int4.decode_tokens_per_s', ',.0f')} instead of "
        f"{number(metrics, 'fp32.decode_tokens_per_s', ',.0f')} tokens per second; held-out "
        f"text costs {number(metrics, 'int4.bpb_worse_by', '+.4f')} bits per byte more."
    )

"""A recorded number as a reader sees it."""

from collections.abc import Mapping


def number(metrics: Mapping[str, float], name: str, form: str) -> str:
    """The metric in a format such as ``.1%``, its 95 % interval in brackets where there is one; or "not recorded"."""
    if name not in metrics:
        return "not recorded"
    text = f"{metrics[name]:{form}}"
    if f"{name}.low" not in metrics:
        return text
    return f"{text} [{metrics[f'{name}.low']:{form}}, {metrics[f'{name}.high']:{form}}]"

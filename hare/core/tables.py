"""Tables in notebooks, whose cells are text and never markup, and numbers in CSV files."""

import copy
import html
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_LARGEST_EXACT = 1e15  # whole numbers below are exact as floating-point numbers
_FORMATTERS = (
    "_display_funcs", "_display_funcs_index", "_display_funcs_columns", "_display_funcs_index_names",
    "_display_funcs_column_names",
)


def escape_tables() -> None:
    """In a notebook: from now on styled tables escape their text. pandas does so for plain ones only."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type_by_name("pandas.io.formats.style", "Styler", escaped_table)


def escaped_table(styler: "Styler") -> str:
    """The table as HTML, each cell, label, name and caption escaped after it has been formatted."""
    return _escaped(styler).to_html()


def _escaped(styler: "Styler") -> "Styler":
    """A copy, since the same table may be shown again; pandas' own `escape` is undone by any later `format`."""
    escaped: Any = copy.copy(styler)
    for name in _FORMATTERS:
        setattr(escaped, name, _escaping(getattr(styler, name)))
    if isinstance(escaped.caption, str):
        escaped.caption = html.escape(escaped.caption)
    escaped.concatenated = [_escaped(other) for other in styler.concatenated]
    return escaped


def _escaping(formatters: "defaultdict[Any, Callable[[Any], Any]]") -> "defaultdict[Any, Callable[[Any], Any]]":
    default = formatters.default_factory
    assert default is not None

    def escaping(shown: Callable[[Any], Any]) -> Callable[[Any], str]:
        return lambda value: html.escape(str(shown(value)))

    return defaultdict(
        lambda: escaping(default()), {place: escaping(shown) for place, shown in formatters.items()}
    )


def number_in_table(value: float) -> str:
    """Six significant digits; counts are whole numbers, and neither they nor other large numbers get an exponent."""
    if value.is_integer() and abs(value) < _LARGEST_EXACT:
        return f"{value:.0f}"
    short = f"{value:.6g}"
    return f"{float(short):.0f}" if "e+" in short and abs(value) < _LARGEST_EXACT else short

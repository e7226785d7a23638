"""Answers as JSON objects: what their entries may be, the same as a JSON schema, and the check of what came back."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_TEXT = 200  # characters of a free text
_FORBIDDEN = re.compile(r"[\"\\\x00-\x1f]")


@dataclass(frozen=True)
class Field:
    """One entry of an answer: one of ``options``, or, without these, a free text.

    A free text begins with one of ``beginnings`` (any way, unless given) and ends with ``ending``, a single mark that
    stands nowhere else in it; nor does any character of ``barred``.
    """

    name: str
    options: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()
    ending: str = "."
    barred: str = ""

    def admits(self, value: Any) -> bool:
        """Whether a value is one that this entry may have."""
        if not isinstance(value, str):
            return False
        if self.options:
            return value in self.options
        return len(value) <= LONGEST_TEXT and re.fullmatch(self.pattern, value) is not None

    @property
    def pattern(self) -> str:
        """Regular expression of a free text, in the dialect that JSON schema and Python share."""
        start = f"({'|'.join(map(re.escape, self.beginnings))})" if self.beginnings else ""
        mark = re.escape(self.ending)
        return rf'{start}[^"\\\n{mark}{re.escape(self.barred)}]+{mark}'


def schema_of(fields: Sequence[Field]) -> dict[str, Any]:
    """The JSON schema of an answer, for servers that decode under one."""
    properties: dict[str, Any] = {}
    for field in fields:
        if field.options:
            properties[field.name] = {"type": "string", "enum": list(field.options)}
        else:
            properties[field.name] = {"type": "string", "pattern": f"^{field.pattern}$", "maxLength": LONGEST_TEXT}
    names = [field.name for field in fields]
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def parsed(text: str, fields: Sequence[Field]) -> dict[str, str] | None:
    """The entries of an answer, or None where it is no object of exactly these entries, each with a value it admits.

    Servers are not trusted to keep to the schema that they were given.
    """
    try:
        values = json.loads(text)
    except ValueError:
        return None
    if not isinstance(values, dict) or set(values) != {field.name for field in fields}:
        return None
    if not all(field.admits(values[field.name]) and not _FORBIDDEN.search(values[field.name]) for field in fields):
        return None
    return values

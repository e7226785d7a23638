"""Faults in a profile: every field with values of another kind and values just beyond its bounds."""

import dataclasses
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import yaml

from hare.core.errors import HareError
from hare.core.profile import Profile, load_profile

_OF_NO_KIND: dict[str, tuple[Any, ...]] = {
    "integer": ("text", [], {}, True, 1.5, math.inf, -math.inf, math.nan), "number": ("text", [], {}, True, math.inf,
                                                                                     -math.inf, math.nan),
    "string": (7, [], {}, True), "boolean": (1, "yes", []), "array": (3, "text", [None], [{}], [math.nan]),
    "object": (3, "text", [1], {"": {}}, {"a": 1}),
}


def wrong_values(profile: Profile) -> Iterator[tuple[str, str, Any]]:
    """Section, field and a value that the field must not take, for every field of every section."""
    for section in dataclasses.fields(profile):
        held = getattr(profile, section.name)
        if dataclasses.is_dataclass(held):
            described = pydantic.TypeAdapter(type(held)).json_schema()["properties"]
            for field, schema in described.items():
                yield from ((section.name, field, value) for value in _beyond(schema))


def _beyond(schema: dict[str, Any]) -> Iterator[Any]:
    """Values of another kind, of none of the choices, and next to the bounds on their wrong side."""
    if "enum" in schema:
        yield "none of these"
    yield from _OF_NO_KIND.get(schema.get("type", "string"), ())
    step = 1 if schema.get("type") == "integer" else 1e-9
    for bound, beyond in (("minimum", -step), ("exclusiveMinimum", 0), ("maximum", step), ("exclusiveMaximum", 0)):
        if bound in schema:
            yield schema[bound] + beyond
    if schema.get("minItems"):
        yield []


def outcome_of(profile: Profile, section: str, field: str, value: Any) -> str:
    """What becomes of ``profile`` with this value in it: named (with its key), silent, or a traceback."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fault.yaml"
        path.write_text(yaml.safe_dump({"extends": profile.name, section: {field: value}}), encoding="utf-8")
        try:
            load_profile(str(path))
        except HareError as error:
            return "named" if field in error.problem else "dead_end"
        except Exception:  # whatever it is, people would see it as a traceback
            return "traceback"
    return "silent"

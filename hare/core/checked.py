"""Values from YAML, JSON or a notebook's cell, checked by pydantic; each mistake is one line: key, value, fix."""

import difflib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict

from hare.core.errors import HareError

T = TypeVar("T")
Item = TypeVar("Item")

CLOSED = ConfigDict(extra="forbid")  # of a dataclass: unknown keys are refused

_LARGEST = 2**31 - 1


def _each_once(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if len(set(values)) < len(values):
        raise ValueError("give none twice")
    return values


def _each_key_once(values: Any) -> Any:
    """A key given both as a number and as text would silently lose one of its values."""
    if isinstance(values, Mapping) and len({str(key) for key in values}) < len(values):
        raise ValueError("give no key twice, as a number and as text")
    return values


def _number_of_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


# Nothing is converted but a list to a tuple and a whole number to a float.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Count = Annotated[Whole, Field(ge=1, le=_LARGEST)]
CountOrZero = Annotated[Whole, Field(ge=0, le=_LARGEST)]
CountAsKey = Annotated[CountOrZero, BeforeValidator(_number_of_text)]  # papermill writes the keys of a mapping as text
ByNumber = Annotated[dict[CountAsKey, Item], BeforeValidator(_each_key_once)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(gt=0, lt=1)]
AnyNumber = Annotated[tuple[Item, ...], AfterValidator(_each_once)]  # of items, each once
AtLeastOne = Annotated[tuple[Item, ...], Field(min_length=1), AfterValidator(_each_once)]


def mistakes_in(kind: type, values: Any) -> list[tuple[tuple[str, ...], str]]:
    """Every mistake that keeps ``values`` from being a ``kind``, a pydantic dataclass: its keys and its line."""
    try:
        pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        return [(tuple(map(str, one["loc"])), _line(kind, dict(one))) for one in error.errors()]
    return []


def checked(kind: type[T], values: Any, where: str, fix: str) -> T:
    """``values`` as a ``kind``, a pydantic dataclass.

    Raises:
        HareError: naming ``where`` and listing every mistake with its key, value and fix.
    """
    mistakes = mistakes_in(kind, values)
    if mistakes:
        raise HareError(f"{where} cannot be used:\n{listed(line for _, line in mistakes)}", fix)
    return pydantic.TypeAdapter(kind).validate_python(values)


def listed(lines: Any) -> str:
    """One mistake per line, indented."""
    return "\n".join(f"    {line}" for line in lines)


def _line(kind: type, error: dict[str, Any]) -> str:
    keys = [key for key in error["loc"] if key != "[key]"]
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".") or "all of it"
    if error["type"] == "missing":
        return f"{place}: missing; add it"
    return f"{place} = {_shortened(error['input'])}: {_fix(kind, error)}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fix(kind: type, error: dict[str, Any]) -> str:
    context, name = error.get("ctx", {}), error["type"]
    if name in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key; {_closest(kind, error['loc'])}"
    if name == "float_type" and isinstance(error["input"], str):
        return "a number is wanted here, not str (YAML takes 3e-3 for a text: write 3.0e-3)"
    wanted = {
        "int_type": "a whole number", "float_type": "a number", "string_type": "a text", "bool_type": "true or false",
        "tuple_type": "a list", "dict_type": "a mapping", "dataclass_type": "a mapping of keys to values",
    }
    if name in wanted:
        return f"{wanted[name]} is wanted here, not {type(error['input']).__name__}"
    sentences = {
        "greater_than": "choose more than {gt}", "greater_than_equal": "choose at least {ge}",
        "less_than": "choose less than {lt}", "less_than_equal": "choose at most {le}",
        "finite_number": "choose a finite number", "literal_error": "choose one of {expected}",
        "too_short": "give at least {min_length}", "value_error": "{error}",
    }
    return sentences[name].format(**context) if name in sentences else error["msg"]


def _closest(kind: type, place: tuple[Any, ...]) -> str:
    """A suggestion for the last key of ``place`` from the fields of its dataclass."""
    for key in place[:-1]:
        kind = kind.__dataclass_fields__[key].type  # type: ignore[attr-defined]
    names = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    close = difflib.get_close_matches(str(place[-1]), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"remove it; known keys: {', '.join(names)}"


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a mapping holds a key once: the plain loader would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.value[number][0].start_mark
                )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The mapping that a YAML file holds; an empty file is an empty mapping.

    Raises:
        HareError: the file cannot be read, is not YAML, gives a key twice, or holds anything but a mapping.
    """
    fix = f"correct {path.name}"
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except OSError as error:
        raise HareError(f"{path} cannot be read: {error.strerror}.", "name a file that can be read") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as error:
        raise HareError(f"{path} is not valid YAML: {error}", fix) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise HareError(f"{path} = {_shortened(values)}: a mapping of keys to values is wanted here.", fix)
    return values

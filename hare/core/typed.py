"""Dataclasses read from untyped mappings, strictly: every mistake is found and reported at once."""

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def build(kind: type[T], values: Any, where: str, mistakes: list[str]) -> T | None:
    """Build dataclass ``kind`` from a mapping; append what is wrong to ``mistakes``, each with key, value and fix.

    Lists become tuples, and a whole number is taken where a float is wanted; nothing else is converted. Returns None
    when anything was wrong.
    """
    if not isinstance(values, dict):
        mistakes.append(f"{where} = {values!r}: a mapping of keys to values is wanted here")
        return None
    before = len(mistakes)
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"remove it; known keys: {', '.join(names)}"
            mistakes.append(f"{where}.{key} = {values[key]!r}: unknown key; {fix}")
    built = {}
    for name in names:
        if name not in values:
            mistakes.append(f"{where}.{name}: missing; add it, as {_spelled(hints[name])}")
        else:
            built[name] = _converted(hints[name], values[name], f"{where}.{name}", mistakes)
    return kind(**built) if len(mistakes) == before else None


def _converted(hint: Any, value: Any, where: str, mistakes: list[str]) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where, mistakes)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(hint)[0]
        return tuple(_converted(inner, item, f"{where}[{i}]", mistakes) for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        inner = typing.get_args(hint)[1]
        return {str(key): _converted(inner, item, f"{where}.{key}", mistakes) for key, item in value.items()}
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        return _converted(next(option for option in options if option is not type(None)), value, where, mistakes)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        mistakes.append(f"{where} = {value!r}: choose one of {', '.join(map(repr, typing.get_args(hint)))}")
        return None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    mistakes.append(f"{where} = {value!r}: {_spelled(hint)} is wanted here, not {type(value).__name__}")
    return None


def _spelled(hint: Any) -> str:
    plain = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if hint in plain:
        return plain[hint]
    if typing.get_origin(hint) is tuple:
        return f"a list, each item {_spelled(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(repr, typing.get_args(hint)))}"
    return str(hint)

"""The Berkeley function calling leaderboard's single-turn sets (v4: simple, multiple, irrelevance), offline.

Data and checker are read from the archive of its own package, which is not installed: the checker is one module that
needs nothing but a table of model names, in place of which an empty one is handed to it. Test only, never trained on.
"""

import importlib
import json
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from hare.data.archives import archive_of, fetch, read_lines

SETS = {"bfcl-simple": "simple_python", "bfcl-multiple": "multiple", "bfcl-irrelevance": "irrelevance"}
_PACKAGE = "bfcl-eval"
_MODEL = "hare"
_NAMES = "bfcl_eval.constants.model_config"
PLAIN = ("string", "integer", "float", "boolean")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function: ``kind`` is the schema's type, ``choices`` what an enumeration allows."""

    name: str
    kind: str
    description: str
    required: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schema:
    """A function as its caller is told of it; ``source`` is the description as the checker wants it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    source: dict[str, Any]

    @property
    def flat(self) -> bool:
        """Whether every required parameter is one plain value: no list, no table."""
        return all(parameter.kind in PLAIN for parameter in self.parameters if parameter.required)


@dataclass(frozen=True)
class BfclItem:
    """A request, the functions offered, and the calls that are right (none: nothing may be called)."""

    id: str
    test_set: str
    request: str
    functions: tuple[Schema, ...]
    answers: tuple[dict[str, Any], ...]

    @property
    def expressible(self) -> bool:
        """Whether one flat call can be right at all: parallel calls and nested arguments cannot be expressed."""
        if not self.answers:
            return True
        wanted = {schema.name: schema for schema in self.functions}.get(next(iter(self.answers[0])))
        return len(self.answers) == 1 and wanted is not None and wanted.flat


@cache
def items(test_set: str) -> tuple[BfclItem, ...]:
    """All items of one of `SETS`."""
    name, archive = SETS[test_set], archive_of(_PACKAGE)
    rows = [json.loads(line) for line in read_lines(archive, f"bfcl_eval/data/BFCL_v4_{name}.json")]
    truths: dict[str, Any] = {}
    if name != "irrelevance":
        listed = read_lines(archive, f"bfcl_eval/data/possible_answer/BFCL_v4_{name}.json")
        truths = {row["id"]: row["ground_truth"] for row in map(json.loads, listed)}
    return tuple(
        BfclItem(row["id"], test_set, row["question"][0][-1]["content"], tuple(map(_schema, row["function"])),
                 tuple(truths.get(row["id"], ())))
        for row in rows
    )


def _schema(described: dict[str, Any]) -> Schema:
    properties = described["parameters"].get("properties", {})
    required = set(described["parameters"].get("required", ()))
    return Schema(described["name"], described.get("description", ""), tuple(
        Parameter(name, one.get("type", "any"), one.get("description", ""), name in required,
                  tuple(map(str, one.get("enum", ()))))
        for name, one in properties.items()
    ), described)


def is_right(item: BfclItem, call: tuple[str, dict[str, Any]] | None) -> bool:
    """Whether the call (function and its arguments by name; None: no call) is right, by bfcl-eval's own checker."""
    if call is None or not item.answers:
        return call is None and not item.answers
    checker, language = _checker()
    sources = [schema.source for schema in item.functions]
    category = SETS[item.test_set]
    verdict = checker.ast_checker(sources, [{call[0]: call[1]}], list(item.answers), language, category, _MODEL)
    return bool(verdict["valid"])


@cache
def _checker() -> tuple[Any, Any]:
    """The checker's module and the language that it is to assume."""
    with _importable():
        checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker")
        return checker, importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON


@contextmanager
def _importable():  # noqa: ANN202 - a context without a value
    """Let Python read modules from the archive; its table of models, which imports every vendor's client, is ours."""
    path, names = str(fetch(archive_of(_PACKAGE))), types.ModuleType(_NAMES)
    names.MODEL_CONFIG_MAPPING = {_MODEL: types.SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]
    sys.path.insert(0, path)
    sys.modules[_NAMES] = names
    try:
        yield
    finally:
        sys.path.remove(path)


def expressible_table() -> pd.DataFrame:
    """Per set: test_set, items, flat (one call with plain arguments can be right), of_ours (a function of the phone's
    could express it: only the weather of a place has a counterpart, matched by name)."""
    rows = []
    for name in SETS:
        listed = items(name)
        ours = [item for item in listed if any(_is_weather(schema) for schema in item.functions) and item.answers]
        rows.append({"test_set": name, "items": len(listed), "flat": sum(item.expressible for item in listed),
                     "of_ours": len(ours)})
    return pd.DataFrame(rows)


def _is_weather(schema: Schema) -> bool:
    required = [parameter for parameter in schema.parameters if parameter.required]
    return "weather" in schema.name.lower() and [p.kind for p in required] == ["string"]

"""Values checked by pydantic: every mistake as one line, and YAML that holds a key once."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from hare.core.checked import CLOSED, AtLeastOne, Count, Flag, Positive, Text, checked, mistakes_in, read_yaml
from hare.core.errors import HareError


@dataclass(frozen=True, config=CLOSED)
class _Inner:
    steps: Count = 3
    names: AtLeastOne[Text] = ("a",)


@dataclass(frozen=True, config=CLOSED)
class _Outer:
    inner: _Inner = Field(default_factory=_Inner)
    rate: Positive = 0.5
    shown: Flag = False
    weights: Annotated[dict[Text, Positive], Field(min_length=1)] = Field(default_factory=lambda: {"a": 1.0})


@pytest.mark.parametrize(("values", "line"), [
    ({"inner": {"steps": 0}}, "inner.steps = 0: choose at least 1"),
    ({"inner": {"steps": 3.0}}, "inner.steps = 3.0: a whole number is wanted here, not float"),
    ({"inner": {"stpes": 3}}, "inner.stpes = 3: unknown key; did you mean 'steps'?"),
    ({"inner": {"names": []}}, "inner.names = []: give at least 1"),
    ({"inner": {"names": ["a", "a"]}}, "inner.names = ['a', 'a']: give none twice"),
    ({"inner": {"names": ["a", 3]}}, "inner.names[1] = 3: a text is wanted here, not int"),
    ({"inner": 3}, "inner = 3: a mapping of keys to values is wanted here, not int"),
    ({"rate": "0.5"}, "rate = '0.5': a number is wanted here, not str (YAML takes 3e-3 for a text: write 3.0e-3)"),
    ({"rate": float("nan")}, "rate = nan: choose a finite number"),
    ({"shown": 1}, "shown = 1: true or false is wanted here, not int"),
    ({"weights": {"a": 0}}, "weights.a = 0: choose more than 0.0"),
    ({"weights": [1]}, "weights = [1]: a mapping is wanted here, not list"),
])
def test_a_mistake_is_a_line_with_key_value_and_fix(values: Any, line: str) -> None:
    assert [text for _, text in mistakes_in(_Outer, values)] == [line]
    with pytest.raises(HareError) as caught:
        checked(_Outer, values, "toy.yaml", "correct it")
    assert str(caught.value) == f"toy.yaml cannot be used:\n    {line}\n  Fix: correct it"


def test_what_is_left_out_has_its_default_and_a_list_becomes_a_tuple() -> None:
    assert checked(_Outer, {"inner": {"names": ["x", "y"]}, "rate": 1}, "", "") == _Outer(_Inner(3, ("x", "y")), 1.0)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6))
def test_any_value_is_accepted_or_refused_by_name(values: Any) -> None:
    for key in ("inner", "rate", "weights"):
        for keys, line in mistakes_in(_Outer, {key: values}):
            assert keys[0] == key and line.startswith(key)


@pytest.mark.parametrize(("text", "message"), [
    ("a: 1\na: 2\n", "the key 'a' is given twice"), ("x: {b: 1, b: 2}", "the key 'b' is given twice"),
    ("[", "is not valid YAML"), ("3", "a mapping of keys to values is wanted"), ("? [a]\n: 1\n", "is not valid YAML"),
    ("a: !!python/object:os.system {}", "is not valid YAML"),
])
def test_yaml_that_is_not_a_mapping_with_unique_keys_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(HareError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_yaml_file_may_be_empty_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml") == {}
    with pytest.raises(HareError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "b.yaml")

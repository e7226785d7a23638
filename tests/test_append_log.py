"""An append-only log keeps every whole line, whatever a kill cut short."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.data.append_log import AppendLog

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=st.lists(JSON, max_size=6), cut=st.integers(0, 200), more=JSON)
def test_rows_survive_a_cut_at_any_byte(rows: list, cut: int, more: object, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    with AppendLog(path) as log:
        log.append(*rows)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    whole = path.read_bytes().count(b"\n")
    with AppendLog(path) as log:
        assert log.rows == rows[:whole]
        log.append(more)
    with AppendLog(path) as log:
        assert log.rows == [*rows[:whole], more]


def test_unwanted_rows_are_dropped_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "steps.jsonl"
    with AppendLog(path) as log:
        log.append({"step": 1}, {"step": 2}, {"step": 3})
    with path.open("ab") as file:
        file.write(b'{"step": 4')
    with AppendLog(path, keep=lambda row: row["step"] <= 2) as log:
        assert [row["step"] for row in log.rows] == [1, 2]
        log.append({"step": 3})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_damaged_whole_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(HareError, match=r"log, line 2, is damaged(.|\n)*delete the file"):
        AppendLog(tmp_path / "log")


def test_lone_surrogates_and_line_separators_stay_in_their_row(tmp_path: Path) -> None:
    rows = ["a\u2028b\x85c", "\ud800"]
    with AppendLog(tmp_path / "log") as log:
        log.append(*rows)
    with AppendLog(tmp_path / "log") as log:
        assert log.rows == rows

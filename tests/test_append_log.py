"""An append-only log keeps every complete line, wherever a kill cut the file short."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    lines = path.read_bytes().count(b"\n")
    with AppendLog(path) as log:
        whole = len(log.rows)  # one more when nothing but the last line's end was cut
        assert log.rows == rows[:whole] and whole - lines in (0, 1)
        log.append(more)
    with AppendLog(path) as log:
        assert log.rows == [*rows[:whole], more]


def test_a_line_cut_short_is_dropped_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "steps.jsonl"
    with AppendLog(path) as log:
        log.append({"step": 1}, {"step": 2}, {"step": 3})
    with path.open("ab") as file:
        file.write(b'{"step": 4')
    with AppendLog(path) as log:
        assert [row["step"] for row in log.rows] == [1, 2, 3]
        log.append({"step": 4})
    assert [json.loads(line)[1]["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(JSON, min_size=1, max_size=4), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_ever_becomes_a_row(rows: list, place: int, bit: int, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    with AppendLog(path) as log:
        log.append(*rows)
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with AppendLog(path) as log:
        read_back = [json.dumps(row) for row in log.rows]
    originals = iter(json.dumps(row) for row in rows)
    assert all(row in originals for row in read_back), "in order, and nothing else"
    assert len(read_back) >= len(rows) - 2


@pytest.mark.parametrize(
    "text", ["", "\n\n", "null\n", '{"a": 1}\n', '["x", 1]\n', "[1]\n", "\xff\xfe\n", '["a", 1, 2]\n']
)
def test_foreign_lines_are_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(text, encoding="latin-1")
    with AppendLog(tmp_path / "log") as log:
        assert log.rows == []
        log.append(1)
    with AppendLog(tmp_path / "log") as log:
        assert log.rows == [1]


def test_lone_surrogates_and_line_separators_stay_in_their_row(tmp_path: Path) -> None:
    rows = ["a\u2028b\x85c", "\ud800"]
    with AppendLog(tmp_path / "log") as log:
        log.append(*rows)
    with AppendLog(tmp_path / "log") as log:
        assert log.rows == rows

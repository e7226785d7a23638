"""Damaged records are named, with a fix; numbers in tables are as people write them."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hare.core.errors import HareError
from hare.core.manifest import read_manifest, verified
from hare.core.paths import Workspace
from hare.core.provenance import sealed
from hare.core.reading import TABLES, read_json, read_record, read_table, recorded_table, tables_in
from hare.core.tables import number_in_table

DAMAGED = [b"", b"{", b"\xff\xfe\x00", b"null", b"[]", b'{"metrics": 1, "provenance": {}}', b'{"metrics": {}}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "smoke" / "tokens" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(HareError, match=r"metrics.json is damaged") as caught:
        read_record(path)
    assert "hare reproduce --profile smoke --from 04" in caught.value.fix
    assert f"git checkout -- {path}" in caught.value.fix
    path.unlink()
    path.mkdir()
    with pytest.raises(HareError, match=r"metrics.json is damaged"):
        read_json(path)


def test_the_damaged_record_of_a_variant_is_made_again_by_its_notebook(tmp_path: Path) -> None:
    path = tmp_path / "laptop@learning_rate-0.001" / "training" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(HareError, match="is damaged") as caught:
        read_record(path)
    assert caught.value.fix == (
        "delete it and run notebook 05 with variant = 'learning_rate-0.001' on profile laptop again")


def test_a_changed_number_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    content = {"metrics": {"a": 1.5, "b": 2}, "provenance": {"git_commit": "abc", "parameters": {10: 1, 9: 2}}}
    path.write_text(json.dumps(sealed(content)))
    assert read_record(path)["metrics"] == content["metrics"]
    for before, after in (("1.5", "1.6"), ("abc", "abd"), ("sha256", "sha257"), ("provenance", "provenancf")):
        whole = path.read_text()
        path.write_text(whole.replace(before, after))
        with pytest.raises(HareError, match="it is not what was recorded"):
            read_record(path)
        path.write_text(whole)


@pytest.mark.parametrize("content", [b"a\n2\n", b"", b"\xff", b"<html>", b'{"a": 1}'])
def test_a_table_is_compared_with_its_record(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "smoke" / "training"
    folder.mkdir(parents=True)
    (folder / "noise.csv").write_text("a\n1\n")
    (folder / "metrics.json").write_text(
        json.dumps(sealed({"metrics": {}, "provenance": {TABLES: tables_in(folder)}}))
    )
    assert recorded_table(folder / "noise.csv")["a"].tolist() == [1]
    (folder / "noise.csv").write_bytes(content)
    with pytest.raises(HareError, match=r"noise.csv is damaged(?s:.)*git checkout(?s:.)*--profile smoke --from 05"):
        recorded_table(folder / "noise.csv")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a,b\n"1,2\n3', b"a\n1,2\n3,4,5\n"])
def test_a_damaged_table_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "laptop" / "bench" / "x.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(HareError, match=r"x.csv is damaged.*\n.*hare bench --profile laptop"):
        read_table(path)


@pytest.mark.parametrize("content", [*DAMAGED[:5], b'{"a": 1}'])
def test_a_damaged_manifest_means_not_done(roots: Path, content: bytes) -> None:
    workspace = Workspace("toy")
    path = workspace.work / "tokens" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert not read_manifest(workspace, "tokens")
    with pytest.raises(HareError, match=r"d1.ds is missing(?s:.)*--only 04"):
        verified(workspace, "tokens", "d1.ds", "--profile toy")


def test_an_artifact_is_compared_with_its_manifest(roots: Path) -> None:
    workspace = Workspace("toy")
    path = workspace.work / "tokens" / "d1.ds"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12")
    (path.parent / "manifest.json").write_text(json.dumps({"d1.ds": hashlib.sha256(b"12").hexdigest()}))
    assert verified(workspace, "tokens", "d1.ds", "--profile toy") == path
    path.write_bytes(b"13")
    with pytest.raises(HareError, match=r"d1.ds differs from what 04_mix_tokens wrote"):
        verified(workspace, "tokens", "d1.ds", "--profile toy")


def test_an_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(HareError("problem", "fix")))
    assert isinstance(error, HareError) and error.fields == {"problem": "problem", "fix": "fix"}


@pytest.mark.parametrize(("value", "text"), [
    (18984400.0, "18984400"), (18984400.5, "18984400"), (0.25, "0.25"), (-3.0, "-3"),
    (1e-9, "1e-09"), (0.1234567, "0.123457"),
    (float("inf"), "inf"), (1e20, "1e+20"), (2.5e9 + 0.5, "2500000000"),
])
def test_counts_in_tables_are_whole_numbers(value: float, text: str) -> None:
    assert number_in_table(value) == text


@given(st.floats(allow_nan=False))
def test_numbers_in_tables_keep_six_digits(value: float) -> None:
    text = number_in_table(value)
    assert float(text) == pytest.approx(value, rel=1e-5)
    assert "e+" not in text or abs(value) >= 1e15

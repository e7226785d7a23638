"""Requirements checked before a run: writable folders, and enough open files."""

import resource
from pathlib import Path

import pytest

from hare.core.errors import HareError
from hare.core.paths import Workspace
from hare.driver.limits import allow_open_files, check_writable


def test_folders_are_tried_and_left_empty(roots: Path) -> None:
    workspace = Workspace("toy")
    check_writable(workspace)
    assert list(workspace.work.iterdir()) == [] == list((workspace.results / "notebooks").iterdir())


def test_too_few_open_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with pytest.raises(HareError, match="more than 64 open files(.|\\n)*ulimit -n"):
        allow_open_files()


def test_the_limit_is_raised_as_far_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: calls.append((kind, limits)))
    allow_open_files()
    assert calls == [(resource.RLIMIT_NOFILE, (1024, 4096))]

"""Fixtures shared by the tests."""

from pathlib import Path

import pytest


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own that holds ``work`` and ``results``."""
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    return tmp_path

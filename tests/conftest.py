"""Fixtures and settings shared by the tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no time limit on one: a test must not fail because a machine was busy.
# New examples are looked for with `pytest --hypothesis-profile default`.
settings.load_profile("ci")


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own that holds ``work`` and ``results``."""
    monkeypatch.setenv("HARE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HARE_RESULTS", str(tmp_path / "results"))
    return tmp_path

"""A digest of code changes with what the code does and with nothing else."""

from pathlib import Path

import pytest

from hare.core import code
from hare.core.code import code_digest, code_of, files_of, reached
from hare.core.errors import HareError

SOURCE = '''"""A module."""
RATE = 0.95  # a comment


def double(x):
    """Twice x."""
    return 2 * x
'''


def _digest(folder: Path, source: str) -> str:
    file = folder / "module.py"
    file.write_text(source)
    code._facts.cache_clear()
    code.text_of.cache_clear()
    return code_digest(file)


@pytest.mark.parametrize("old, new", [
    ("# a comment", "# another"), ('"""A module."""', ""), ('"""Twice x."""', '"""Two times x."""'),
    ("\n\n\n", "\n\n"), ("0.95", "(0.95)"),
])
def test_comments_docstrings_and_layout_do_not_change_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert old in SOURCE
    assert _digest(tmp_path, SOURCE) == _digest(tmp_path, SOURCE.replace(old, new))


@pytest.mark.parametrize("old, new", [("0.95", "0.99"), ("2 * x", "3 * x"), ("RATE", "SPEED"), ("2 * x", "'2 * x'")])
def test_any_other_change_changes_the_digest(tmp_path: Path, old: str, new: str) -> None:
    assert _digest(tmp_path, SOURCE) != _digest(tmp_path, SOURCE.replace(old, new))


def test_reach_follows_imports_and_names_of_modules() -> None:
    names = {file.relative_to(code.PACKAGE).as_posix() for file in reached(files_of("hare.training.launch"))}
    assert {"training/worker.py", "training/settings.py", "model/layers.py", "core/errors.py"} <= names
    assert not [name for name in names if name.startswith(("evaluation/", "corpus/", "leakage/"))]


def test_folders_can_be_left_out() -> None:
    names = code_of("hare.tokens.mixture", leaving_out=("core/",))
    assert "hare/tokens/mixture.py" in names and not [name for name in names if name.startswith("hare/core")]
    assert [name for name in code_of("hare.tokens.mixture") if name.startswith("hare/core")]


def test_what_is_not_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(HareError, match=r"module.py, line 1 is not Python"):
        _digest(tmp_path, "def")

"""The order of layers: a module imports only from earlier folders, checked by reading its imports."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hare

PACKAGE = Path(hare.__file__).parent
ORDER = (
    "core", "data", "driver", "benchmarks", "corpus", "synthesis", "decontamination", "tokens", "model", "training",
    "evaluation", "leakage", "finetuning", "deployment",
)
ABOVE_ALL = {"cli", "commands", "bench"}
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "transformers", "datatrove", "nanotron", "lm_eval", "datasets")


def _imported(module: Path) -> Iterator[str]:
    """Dotted names that a module imports anywhere, in functions too."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively, line {node.lineno}"
            yield node.module or ""


def _part(module: Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_stands_before_it(module: Path) -> None:
    part = _part(module)
    if part in ABOVE_ALL | {"__init__"}:
        return
    allowed = {"core", "driver", "benchmarks", "report"} if part == "report" else set(ORDER[: ORDER.index(part) + 1])
    for name in _imported(module):
        if name.startswith("hare."):
            assert name.split(".")[1] in allowed, f"{part} must not import {name}"


@pytest.mark.parametrize("module", [path for path in MODULES if _part(path) == "report"], ids=lambda path: path.name)
def test_report_imports_nothing_heavy(module: Path) -> None:
    for name in _imported(module):
        assert name.split(".")[0] not in HEAVY, f"{module.name} imports {name}"


def test_the_base_and_the_command_line_load_nothing_heavy() -> None:
    light = "hare.cli, hare.commands, hare.bench, hare.driver.status, hare.driver.doctor, hare.report.figures"
    script = f"import sys, {light}; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_status_starts_without_pandas_or_papermill() -> None:
    slow = ("pandas", "papermill", "nbformat")
    light = "hare.cli, hare.commands, hare.driver.status"
    script = f"import sys, {light}; print([name for name in {slow} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_a_notebook_or_names_a_machine(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert "import_ipynb" not in text
    tops = "|".join(("home", "root", "Users", "work", "tmp"))
    assert not re.search(rf"""["']/({tops})/""", text), "an absolute path of one machine"

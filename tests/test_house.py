"""Rules of the house that a program can check: words, docstrings, shapes, and a test for every module."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "hare"
MODULES = sorted(PACKAGE.rglob("*.py"))
VAGUE = frozenset({"found", "said", "own", "what", "mend", "mended", "thing", "things", "stuff"})
ARRAY = re.compile(r"\b(Tensor|ndarray|NDArray)\b")
SHAPE = re.compile(r"\b(u?int\d*|float\d*|bfloat16|bool|str|LINE)\[[^\]]*\]")

MOST_FILES, MOST_LINES = 22, 300

EVERY_MODULE = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_bound(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every variable, parameter, attribute, function and class of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes of a module, and methods of its classes, whose names do not begin with an underscore."""
    scopes: list[ast.Module | ast.ClassDef] = [tree]
    for scope in scopes:
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node
                scopes += [node] if isinstance(node, ast.ClassDef) else []


def annotations(function: ast.FunctionDef) -> str:
    """All annotations of a function as text."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    parts = [*(argument.annotation for argument in arguments), function.returns]
    return " ".join(ast.unparse(part) for part in parts if part is not None)


@pytest.mark.parametrize("path", [*MODULES, *sorted(TESTS.rglob("*.py"))],
                         ids=lambda path: path.relative_to(TESTS.parent).as_posix())
def test_a_name_says_its_content(path: Path) -> None:
    assert [(line, name) for line, name in names_bound(tree_of(path)) if name.strip("_").lower() in VAGUE] == []


@EVERY_MODULE
def test_what_is_public_is_described_and_arrays_have_shapes(path: Path) -> None:
    definitions = list(public_definitions(tree_of(path)))
    assert [node.name for node in definitions if not ast.get_docstring(node)] == []
    assert [node.name for node in definitions if isinstance(node, ast.FunctionDef) and ARRAY.search(annotations(node))
            and not SHAPE.search(ast.get_docstring(node) or "")] == []


@EVERY_MODULE
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_a_folder_holds_few_files() -> None:
    counts = Counter(file.parent.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*")
                     if file.is_file() and file.suffix != ".pyc")
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES and "prompts" not in folder} == {}


def names_tested() -> set[str]:
    """Modules that a test imports, and those named in a string, as what a subprocess runs is."""
    names: set[str] = set()
    for path in TESTS.rglob("*.py"):
        tree = tree_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_module_is_imported_by_a_test() -> None:
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
               for path in MODULES if path.name != "__init__.py"}
    by_stage = {name for name in modules if name.startswith("hare.report.answers.")}  # one test for all, by their stage
    assert sorted(modules - by_stage - names_tested()) == []

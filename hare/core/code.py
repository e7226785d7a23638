"""The code that a module or a notebook reaches, and its digest without comments, docstrings and layout.

Nothing is executed. A module also counts as imported when its full name appears as a string
(``python -m hare.training.worker``), and a file beside a module when its name does.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import hare
from hare.core.errors import HareError

PACKAGE = Path(hare.__file__).parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_FILE_NAME = re.compile(r"\w[\w.-]{0,60}")
_CHARACTERS = 16  # of a digest; enough to tell versions of one file apart


def reached(start: Iterable[Path]) -> set[Path]:
    """The modules ``start`` and all modules of this package that they import, directly or indirectly."""
    modules, waiting = set(), set(start)
    while waiting:
        file = waiting.pop()
        modules.add(file)
        waiting |= imports_of(file) - modules
    return modules


def code_of(*modules: str, leaving_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Digests of the code that ``modules`` reach, by file, and the version of Python, whose Unicode tables change;
    files whose path in the package starts with one of ``leaving_out`` are left out."""
    files = reached(file for module in modules for file in files_of(module))
    names = {file.relative_to(PACKAGE).as_posix(): file for file in files}
    return {"Python": ".".join(map(str, sys.version_info[:2]))} | {
        f"hare/{name}": code_digest(file) for name, file in sorted(names.items())
        if not name.startswith(leaving_out)
    }


def code_digest(file: Path) -> str:
    """Digest of a module's syntax tree without docstrings: a changed comment, docstring or layout leaves it as it
    was."""
    return _facts(file).digest


def texts_in(file: Path) -> frozenset[str]:
    """All string constants of a module, among them names of data files and of archives."""
    return _facts(file).texts


def data_of(file: Path) -> set[Path]:
    """Data files beside a module that it names, and those in folders beside it that it names."""
    named = {file.parent / text for text in texts_in(file) if _FILE_NAME.fullmatch(text)}
    files = named | {inner for folder in named if folder.is_dir() for inner in folder.rglob("*")}
    return {path for path in files if path.is_file() and path.suffix not in (".py", ".pyc")}


@cache
def text_of(file: Path) -> str:
    """The source of a module."""
    return file.read_text(encoding="utf-8")


def imports_of(file: Path) -> frozenset[Path]:
    """Files of this package that the module itself names."""
    return _facts(file).imports


class _Facts(NamedTuple):
    imports: frozenset[Path]
    texts: frozenset[str]
    digest: str


@cache
def _facts(file: Path) -> _Facts:
    """All that is asked of a module, from one reading of it."""
    tree = parsed(text_of(file), str(file))
    nodes = list(ast.walk(tree))
    texts = frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    named = frozenset(imports(tree, file.parent))
    for node in nodes:
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return _Facts(named, texts, hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:_CHARACTERS])


def parsed(source: str, where: str) -> ast.AST:
    """The syntax tree of ``source``.

    Raises:
        HareError: it is not Python; ``where`` is named.
    """
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise HareError(
            f"{where}, line {error.lineno} is not Python: {error.msg}.", "correct it, or restore it: git checkout"
        ) from error


def imports(tree: ast.AST, folder: Path) -> set[Path]:
    """Files of this package that a syntax tree names; file names are looked up in ``folder``."""
    files = set()
    for name in _names(tree):
        if all(part.isidentifier() for part in name.split(".")) and name.startswith("hare."):
            files |= files_of(name)
        elif name.endswith(".py") and "\n" not in name and (folder / name).is_file():
            files.add(folder / name)
    return files


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def files_of(name: str) -> set[Path]:
    """Files of a dotted name and of every package that contains it."""
    files, parts = set(), name.split(".")
    for length in range(1, len(parts) + 1):
        base = PACKAGE.parent.joinpath(*parts[:length])
        files |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return files

"""Files and functions that a reader can hold in mind, and modules that say what they offer."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, modules, parse

FILE_LINES = 400
FUNCTION_LINES = 50

MODULES = [pytest.param(name, file, id=name) for name, file in modules()]
ALL_FILES = [
    *modules(),
    *((str(f.relative_to(ROOT)), f) for d in ("tests", "benchmarks", "scripts") for f in (ROOT / d).rglob("*.py")),
]


@pytest.mark.parametrize("file", [pytest.param(file, id=name) for name, file in ALL_FILES])
def test_file_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_functions_are_short(name: str, file: Path) -> None:
    functions = (n for n in ast.walk(parse(file)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    long = {f.name: _lines(f) for f in functions if _lines(f) > FUNCTION_LINES}
    assert long == {}


@pytest.mark.parametrize(("name", "file"), MODULES)
def test_module_has_a_docstring_and_says_what_it_offers(name: str, file: Path) -> None:
    tree = parse(file)
    assert ast.get_docstring(tree)
    modules_imported = [n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom)]
    offers = file.name != "__init__.py" or any(m.startswith("boom_streams") for m in modules_imported)
    if file.name == "__main__.py" or not offers:
        return
    names = {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    assert "__all__" in names


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total

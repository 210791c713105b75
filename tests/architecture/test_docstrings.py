"""Docstrings are in one dialect, numpy's: sections with a rule below, names without types, which the hints say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.sources import modules, parse

FOREIGN = re.compile(
    r":param |:returns?:|:rtype:|^ *(Args|Arguments|Returns|Raises|Yields|Attributes):\s*$", re.MULTILINE
)
SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n(.*?)(?=\n\n\w+\n-{3}|\Z)", re.MULTILINE | re.DOTALL)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("file", [pytest.param(file, id=name) for name, file in modules()])
def test_docstrings_are_numpy_s(file: Path) -> None:
    for node in ast.walk(parse(file)):
        text = (ast.get_docstring(node) or "") if isinstance(node, Documented) else ""
        assert FOREIGN.search(text) is None, text
        for _, body in SECTION.findall(text):
            entries = [line for line in body.splitlines() if line and not line.startswith(" ")]
            assert [entry for entry in entries if " : " in entry] == [], "types are said by the hints"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                named = {name.strip().lstrip("*") for entry in entries for name in entry.split(",")}
                assert named <= _arguments(node), node.name


@pytest.mark.parametrize("file", [pytest.param(file, id=name) for name, file in modules()])
def test_attributes_are_documented_in_one_way(file: Path) -> None:
    """In the class's docstring; constants of a module have a comment ``#:``."""
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.ClassDef | ast.Module):
            assert [each.lineno for each in node.body[1:] if _is_text(each)] == []


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = function.args
    several = [each for each in (given.vararg, given.kwarg) if each is not None]
    return {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, *several)}

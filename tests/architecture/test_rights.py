"""Who may see what is decided in two rooms, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import modules, parse

#: Where it is decided; a survey's own folder says what its programmes are.
ROOMS = ("boom_streams.surveys.", "boom_streams.access.")

#: Modules that recognise such conditions in what users write, and take them out.
READERS = {"boom_streams.filters.language.translate"}

#: What a decision is made of.
WORDS = {"programid", "programids", "permissions", "levels", "rarest", "level"}

OTHERS = [pytest.param(file, id=name) for name, file in modules() if not name.startswith(ROOMS) and name not in READERS]


def decisions(tree: ast.Module) -> list[int]:
    """Lines that compare programmes, permissions or levels, or ask whether one is among others."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(_is_about_rights(operand) for operand in (node.left, *node.comparators))
    ]


def _is_about_rights(operand: ast.expr) -> bool:
    if isinstance(operand, ast.Call):  # of what a function returns, the function has decided
        return False
    return any(
        (isinstance(node, ast.Name) and node.id in WORDS)
        or (isinstance(node, ast.Attribute) and node.attr in WORDS)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and "programid" in node.value)
        for node in ast.walk(operand)
    )


@pytest.mark.parametrize("file", OTHERS)
def test_nobody_else_decides(file: Path) -> None:
    found = [file.read_text().splitlines()[line - 1].strip() for line in decisions(parse(file))]
    assert [line for line in found if " is None" not in line and " is not None" not in line] == []


@pytest.mark.parametrize(
    "line",
    ['record["programid"] == 1', "one.programid in (1, 2)", "survey.level <= 2", "programid in permissions[name]",
     'points["programid"] != 3', "1 in one.permissions"],
)  # fmt: skip
def test_a_decision_is_recognised(line: str) -> None:
    assert decisions(ast.parse(line)) == [1]


@pytest.mark.parametrize("line", ["rights.sees(permitted, programid)", "jd <= 1", "rights.level(programid)"])
def test_what_asks_the_room_is_none(line: str) -> None:
    assert decisions(ast.parse(line)) == []

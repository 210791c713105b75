"""What only one survey knows stands in its folder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from boom_streams.surveys import get_survey, known_surveys
from tests.architecture.sources import modules, parse

#: Names that every survey's documents have, or that are words as well.
COMMON = {"band", "candid", "programid", "field"}

#: Names of a survey's fields and stamps; short ones have other meanings elsewhere.
OWN = {
    name
    for survey in map(get_survey, known_surveys())
    for name in (*survey.documentation, *survey.series, *survey.stamps.names)
    if len(name) > 3
} - COMMON

#: Where such names stand for something else: columns of the records that people read, and of others' dialects.
ELSEWHERE = (
    "boom_streams.schema.filtered",
    "boom_streams.page.stamps",
    "boom_streams.filters.language.translate",
    "boom_streams.testing.contract",
)

MODULES = [
    pytest.param(file, id=name)
    for name, file in modules()
    if not name.startswith(("boom_streams.surveys.", "boom_streams.synthetic")) and name not in ELSEWHERE
]


@pytest.mark.parametrize("file", MODULES)
def test_no_field_of_a_survey_is_named_elsewhere(file: Path) -> None:
    texts = [node.value for node in ast.walk(parse(file)) if isinstance(node, ast.Constant)]
    assert [text for text in texts if isinstance(text, str) and text in OWN] == []


@pytest.mark.parametrize("file", [pytest.param(file, id=name) for name, file in modules()])
def test_nobody_imports_a_survey_s_own_modules(file: Path) -> None:
    folders = tuple(f"boom_streams.surveys.{name.lower()}" for name in known_surveys())
    if any(part in file.parts for part in (name.lower() for name in known_surveys())):
        return
    imported = [node.module for node in ast.walk(parse(file)) if isinstance(node, ast.ImportFrom)]
    assert [name for name in imported if name is not None and name.startswith(folders)] == []

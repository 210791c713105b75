"""What docs/filters.md says about filters is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

from boom_streams.filters import check_pipeline
from boom_streams.filters.language.operators import ADVICE
from boom_streams.filters.language.paths import inputs
from boom_streams.filters.language.validate import _STAGES
from boom_streams.filters.running.annotations import MAX_BYTES
from boom_streams.surveys import get_survey

PAGE = (Path(__file__).parent.parent.parent / "docs" / "filters.md").read_text()


def test_pipelines_on_the_page_are_accepted() -> None:
    pipelines = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert pipelines
    for text in pipelines:
        assert check_pipeline(text)[1] == []
        assert json.loads(text)


def test_every_field_and_stage_is_on_the_page() -> None:
    assert [name for name in inputs(get_survey("ZTF")) if f"`{name}" not in PAGE] == []
    assert [name for name in _STAGES if f"`{name}`" not in PAGE] == []


def test_what_is_refused_on_the_page_is_refused() -> None:
    table = PAGE.partition("Refused, with")[2].partition("## ")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for cell in first for name in re.findall(r"`(\$[a-zA-Z]\w*)`", cell)}
    assert len(named) > 10
    assert named <= set(ADVICE)


def test_limits_on_the_page() -> None:
    assert MAX_BYTES == 64 * 1024
    assert "at most 64 KiB" in PAGE

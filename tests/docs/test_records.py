"""The documentation says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = runpy.run_path(str(ROOT / "docs" / "build.py"))


@pytest.mark.parametrize("page", sorted(BUILD["PARTS"]))
def test_generated_parts_are_current(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == BUILD["render"](page), "run python docs/build.py"


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in page.read_text().split("](")[1:]:
            path = target.split(")")[0].split("#")[0]
            if path and "://" not in path:
                assert (page.parent / path).exists(), f"{page.name}: {path}"


def test_the_architecture_names_what_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {name for name in re.findall(r"`([\w/]+(?:\.py|/))`", text) if name != "boom_streams/"}
    assert len(named) > 30
    roots = (ROOT, ROOT / "boom_streams")
    assert sorted(name for name in named if not any((root / name).exists() for root in roots)) == []

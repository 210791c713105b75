"""The Python that the documentation shows runs as it stands."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from boom_streams import archive
from boom_streams.filters import FilterStore
from boom_streams.settings import current_settings
from boom_streams.testing import classify, sample_packets, scratch_database, store

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def snippets(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


SNIPPETS = [pytest.param(text, id=f"{page.name}-{i}") for page in PAGES for i, text in enumerate(snippets(page))]


@pytest.fixture
def database(services: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Database[dict[str, Any]]]:
    """An archive of made-up alerts, which the settings lead to."""
    with scratch_database(services["mongo_uri"]) as found:
        archive.ensure(found, ["ZTF"])
        store(found, classify(sample_packets("ZTF", 40)))
        monkeypatch.setenv("BOOM_MONGO_URI", services["mongo_uri"])
        monkeypatch.setenv("BOOM_MONGO_DB", found.name)
        current_settings.cache_clear()
        yield found
        current_settings.cache_clear()


@pytest.mark.parametrize("text", SNIPPETS)
def test_what_they_import_is_there(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("boom_streams"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name) or importlib.import_module(f"{node.module}.{name.name}")


def test_a_filter_is_tried_on_the_archive(
    database: Database[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = [{"$match": {"candidate.jd": {"$gt": 0}}}, {"$project": {"objectId": 1}}]
    filters = FilterStore(database)
    filters.add("bright", "ZTF", pipeline, {"ZTF": [1, 2, 3]})
    (text,) = snippets(ROOT / "docs" / "filters.md")
    exec(text, {})
    told = capsys.readouterr().out.splitlines()
    assert told
    assert all(re.match(r"\d+ ZTF\w+ ", line) for line in told)


def test_a_filter_is_tried_without_a_broker(
    database: Database[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = [text for text in snippets(ROOT / "docs" / "surveys.md") if "run_filter" in text]
    exec(text, {})
    assert re.fullmatch(r"\d+ of 40 pass\n", capsys.readouterr().out)

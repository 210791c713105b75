"""MAYFLY, brought as another package brings a survey: by an entry point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boom_streams.surveys import registry
from tests.contracts.mayfly import SURVEY


@pytest.fixture
def mayfly(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of the survey, as long as its package is installed: in this process, and in those that it starts."""
    installed = tmp_path / "site"
    about = installed / "mayfly-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mayfly\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\nmayfly = tests.contracts.mayfly:SURVEY\n")
    monkeypatch.syspath_prepend(installed)
    paths = (str(installed), str(root), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    registry.forget()
    yield SURVEY.name
    monkeypatch.undo()
    registry.forget()

"""Where surveys come from, and what cannot be one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boom_streams.errors import SettingsError
from boom_streams.surveys import find_survey, get_survey, known_surveys, register, registry
from tests.contracts import mayfly

SURVEYS = Path(registry.__file__).parent


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    yield
    registry.forget()


def test_a_folder_is_a_survey() -> None:
    folders = {path.parent.name.upper() for path in SURVEYS.glob("*/__init__.py")}
    assert folders <= set(known_surveys())
    assert {get_survey(name).name for name in folders} == folders


def test_a_program_registers_one() -> None:
    assert find_survey("MAYFLY") is None
    register(mayfly.SURVEY)
    assert get_survey("mayfly") is mayfly.SURVEY
    assert "MAYFLY" in known_surveys()


def test_what_an_entry_point_names_must_be_that_survey(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    about = tmp_path / "wrong-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\nsparrow = tests.contracts.mayfly:SURVEY\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget()
    with pytest.raises(SettingsError, match=r"what should be the survey SPARROW is .*Mayfly"):
        get_survey("sparrow")

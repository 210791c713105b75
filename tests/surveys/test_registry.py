"""Where surveys come from, and what cannot be one."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boom_streams.errors import SettingsError
from boom_streams.models.registry import known_models
from boom_streams.operate.prepare import initialise
from boom_streams.settings import load_settings
from boom_streams.surveys import find_survey, get_survey, known_surveys, register, registry, usable_surveys
from boom_streams.testing.contract import SurveyContract
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


Bring = Callable[..., None]


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bring:
    """Install a package whose entry point names a survey; its module is `brought`."""

    def install(name: str, value: str, source: str = "") -> None:
        about = tmp_path / "brought-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {value}\n")
        (tmp_path / "brought.py").write_text(source)
        monkeypatch.delitem(sys.modules, "brought", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        registry.forget()

    return install


#: A survey without a name, time, rights and stamps.
UNFINISHED = """
from boom_streams.surveys import Survey

class Heron(Survey):
    series = {}
    def key_fields(self, schema): return []
    def position(self, values): return None
    def decode(self, batch): return []

SURVEY = Heron()
"""

FAULTY = [
    (
        "brought:SURVEY",
        UNFINISHED,
        r"the survey HERON \(brought:SURVEY\) lacks `name`, `time`, `rights`, `stamps`, a series",
    ),
    ("brought:SURVEY", "import no_such_module", r"HERON \(brought:SURVEY\) cannot be loaded: .*no_such_module"),
    ("absent:SURVEY", "", r"HERON \(absent:SURVEY\) cannot be loaded: ModuleNotFoundError"),
    ("brought:SURVEY", "", r"HERON \(brought:SURVEY\) cannot be loaded: .*SURVEY"),
    ("brought:SURVEY", "SURVEY = 3", r"what should be the survey HERON \(brought:SURVEY\) is 3"),
]


def test_what_an_entry_point_names_must_be_that_survey(bring: Bring) -> None:
    bring("sparrow", "tests.contracts.mayfly:SURVEY")
    with pytest.raises(SettingsError, match=r"what should be the survey SPARROW .*Mayfly"):
        get_survey("sparrow")


@pytest.mark.parametrize(("value", "source", "told"), FAULTY)
def test_a_faulty_survey_is_named_when_it_is_chosen(bring: Bring, value: str, source: str, told: str) -> None:
    bring("heron", value, source)
    settings = load_settings(surveys=("ZTF", "HERON"))
    with pytest.raises(SettingsError, match=told):
        initialise(settings)


@pytest.mark.parametrize(("value", "source", "told"), FAULTY)
def test_a_faulty_survey_harms_no_broker_of_another(
    bring: Bring, value: str, source: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    bring("heron", value, source)
    assert load_settings(surveys=("ZTF",)).surveys == ("ZTF",)
    assert "acai_h" in known_models()
    assert "acai_h" in known_models()
    assert [survey.name for survey in usable_surveys()] == ["ZTF"]
    (said,) = caplog.messages  # once
    assert re.search(told, said)


def test_the_contract_says_what_is_missing(bring: Bring) -> None:
    bring("heron", "brought:SURVEY", UNFINISHED)

    class OfHeron(SurveyContract):
        survey = importlib.import_module("brought").SURVEY

    for test in (OfHeron().test_it_says_what_it_is, OfHeron().test_stamps_are_images):
        with pytest.raises(AssertionError, match="`stamps`"):
            test()

"""Every survey does what a survey must do."""

from __future__ import annotations

import pytest

from boom_streams.surveys import get_survey, known_surveys
from boom_streams.testing.contract import SurveyContract
from tests.contracts import mayfly

pytestmark = pytest.mark.usefixtures("mayfly")


class TestZtf(SurveyContract):
    """A survey that there is."""

    survey = get_survey("ZTF")


class TestMayfly(SurveyContract):
    """A survey that there is not."""

    survey = mayfly.SURVEY


def test_every_survey_is_tested() -> None:
    tested = {each.survey.name for each in SurveyContract.__subclasses__()}
    assert set(known_surveys()) == tested

"""Surveys: one folder each, with all that is known about its packets; see `boom_streams.surveys.base`."""

from __future__ import annotations

from boom_streams.surveys.base import Alert, Position, Stamps, Survey
from boom_streams.surveys.registry import find_survey, get_survey, known_surveys, register, usable_surveys
from boom_streams.surveys.series import Series

__all__ = [
    "Alert",
    "Position",
    "Series",
    "Stamps",
    "Survey",
    "find_survey",
    "get_survey",
    "known_surveys",
    "register",
    "usable_surveys",
]

"""Adapters: one module a survey, all that is known about its packets.

* A survey's adapter satisfies `boom_streams.surveys.base.Survey`; `get_survey` finds it by name
"""

from __future__ import annotations

from boom_streams.surveys.base import Alert, Position, Survey, get_survey

__all__ = ["Alert", "Position", "Survey", "get_survey"]

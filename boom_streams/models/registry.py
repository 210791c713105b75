"""The models that this broker knows: those of all surveys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from boom_streams.errors import SettingsError
from boom_streams.surveys import get_survey, usable_surveys
from boom_streams.surveys.model import Model

__all__ = ["Model", "known_models", "models_of"]


def known_models() -> Mapping[str, Model]:
    """Models by name; a name belongs to one survey."""
    return {model.name: model for survey in usable_surveys() for model in survey.models}


def models_of(survey: str, names: Iterable[str]) -> list[str]:
    """Those of some models that look at a survey's alerts.

    Raises
    ------
    SettingsError
        If there is no model of such a name.
    """
    known = known_models()
    for name in names:
        if name not in known:
            raise SettingsError(f"no model is called {name!r} (setting BOOM_MODELS); there are {', '.join(known)}")
    own = {model.name for model in get_survey(survey).models}
    return [name for name in names if name in own]

"""Finding surveys: the folders here, what other packages bring, and what a program registers.

* A folder of `boom_streams/surveys/` is a survey; its package has the `Survey` as ``SURVEY``
* Another package brings one by an entry point of the group ``boom_streams.surveys`` that names its `Survey`:
  ``[project.entry-points."boom_streams.surveys"]``, ``mine = "my_package:SURVEY"``
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from boom_streams.errors import SettingsError
from boom_streams.surveys.base import Stamps, Survey
from boom_streams.surveys.rights import Rights

__all__ = [
    "GROUP",
    "find_survey",
    "forget",
    "get_survey",
    "known_surveys",
    "missing_parts",
    "register",
    "usable_surveys",
]

log = logging.getLogger(__name__)

#: Group of entry points by which other packages bring surveys.
GROUP = "boom_streams.surveys"

_PACKAGE = "boom_streams.surveys"
_registered: dict[str, Survey] = {}

#: What a survey says of itself, and of which kind it is; its functions are there, or it could not be made.
_PARTS: Mapping[str, type] = {"name": str, "time": str, "series": Mapping, "rights": Rights, "stamps": Stamps}


def register(survey: Survey) -> None:
    """Add a survey to this process; one of the same name is replaced."""
    _registered[survey.name] = survey
    get_survey.cache_clear()


def forget() -> None:
    """Look for surveys again: packages were installed, or folders made."""
    for found in (get_survey, _folders, _from_others, _warn):
        found.cache_clear()


def known_surveys() -> tuple[str, ...]:
    """Upper-case names of all surveys that there are, whether they can be used or not."""
    return tuple(sorted({*_folders(), *_from_others(), *_registered}))


def usable_surveys() -> tuple[Survey, ...]:
    """All surveys that can be used; a faulty one is passed over with a warning that names it."""
    usable = []
    for name in known_surveys():
        try:
            usable.append(get_survey(name))
        except SettingsError as error:
            _warn(f"{error}; it is passed over")
    return tuple(usable)


def missing_parts(survey: Survey) -> list[str]:
    """What a survey does not say of itself, or not as it should; empty: it is complete."""
    wrong = [f"`{part}`" for part, kind in _PARTS.items() if not isinstance(getattr(survey, part, None), kind)]
    if "`series`" not in wrong and survey.of_role("detection") is None:
        wrong.append("a series of detections in `series`")
    return wrong


@lru_cache(maxsize=64)
def get_survey(name: str) -> Survey:
    """Find a survey by its name, in any case.

    Raises
    ------
    SettingsError
        If there is none, and the text lists those that exist; or if it cannot be used, and the text says why.
    """
    wanted = name.upper()
    if wanted in _registered:
        return _registered[wanted]
    if wanted not in known_surveys():
        raise SettingsError(f"unknown survey {name!r}; known are {', '.join(known_surveys())}")
    found, place = _load(wanted)
    if not isinstance(found, Survey):
        raise SettingsError(f"what should be the survey {wanted} ({place}) is {found!r}, no `Survey`")
    if missing := missing_parts(found):
        raise SettingsError(f"the survey {wanted} ({place}) lacks {', '.join(missing)}; see `Survey` for what they are")
    if found.name != wanted:
        raise SettingsError(f"what should be the survey {wanted} ({place}) calls itself {found.name}: {found!r}")
    return found


def find_survey(name: str) -> Survey | None:
    """Find a survey by its name; None if there is none, as of a record that another broker made."""
    try:
        return get_survey(name)
    except SettingsError:
        return None


def _load(name: str) -> tuple[Any, str]:
    """Whatever is said to be a survey, and where that is."""
    place = f"{_PACKAGE}.{name.lower()}" if name in _folders() else _from_others()[name].value
    try:
        if name in _folders():
            return importlib.import_module(place).SURVEY, place
        return _from_others()[name].load(), place
    except Exception as error:  # whatever the author of a survey has forgotten
        raise SettingsError(f"the survey {name} ({place}) cannot be loaded: {type(error).__name__}: {error}") from error


@cache
def _warn(text: str) -> None:
    """Say it once."""
    log.warning("%s", text)


@lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    path = importlib.import_module(_PACKAGE).__path__
    return tuple(module.name.upper() for module in pkgutil.iter_modules(path) if module.ispkg)


@lru_cache(maxsize=1)
def _from_others() -> dict[str, EntryPoint]:
    return {found.name.upper(): found for found in entry_points(group=GROUP)}

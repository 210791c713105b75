"""Finding surveys: the folders here, what other packages bring, and what a program registers.

* A folder of `boom_streams/surveys/` is a survey; its package has the `Survey` as ``SURVEY``
* Another package brings one by an entry point of the group ``boom_streams.surveys`` that names its `Survey`:
  ``[project.entry-points."boom_streams.surveys"]``, ``mine = "my_package:SURVEY"``
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from boom_streams.errors import SettingsError
from boom_streams.surveys.base import Survey

__all__ = ["GROUP", "find_survey", "forget", "get_survey", "known_surveys", "register"]

#: Group of entry points by which other packages bring surveys.
GROUP = "boom_streams.surveys"

_PACKAGE = "boom_streams.surveys"
_registered: dict[str, Survey] = {}


def register(survey: Survey) -> None:
    """Add a survey to this process; one of the same name is replaced."""
    _registered[survey.name] = survey
    get_survey.cache_clear()


def forget() -> None:
    """Look for surveys again: packages were installed, or folders made."""
    for found in (get_survey, _folders, _from_others):
        found.cache_clear()


def known_surveys() -> tuple[str, ...]:
    """Upper-case names of all surveys that there are."""
    return tuple(sorted({*_folders(), *_from_others(), *_registered}))


@lru_cache(maxsize=64)
def get_survey(name: str) -> Survey:
    """Find a survey by its name, in any case.

    Raises
    ------
    SettingsError
        If there is none; the text lists those that exist.
    """
    wanted = name.upper()
    if wanted in _registered:
        return _registered[wanted]
    if wanted in _folders():
        found = importlib.import_module(f"{_PACKAGE}.{wanted.lower()}").SURVEY
    elif wanted in _from_others():
        found = _from_others()[wanted].load()
    else:
        raise SettingsError(f"unknown survey {name!r}; known are {', '.join(known_surveys())}")
    if not isinstance(found, Survey) or found.name != wanted:
        raise SettingsError(f"what should be the survey {wanted} is {found!r}")
    return found


def find_survey(name: str) -> Survey | None:
    """Find a survey by its name; None if there is none, as of a record that another broker made."""
    try:
        return get_survey(name)
    except SettingsError:
        return None


@lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    path = importlib.import_module(_PACKAGE).__path__
    return tuple(module.name.upper() for module in pkgutil.iter_modules(path) if module.ispkg)


@lru_cache(maxsize=1)
def _from_others() -> dict[str, EntryPoint]:
    return {found.name.upper(): found for found in entry_points(group=GROUP)}

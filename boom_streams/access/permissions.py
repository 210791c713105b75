"""What a filter or a person is permitted: programmes by survey, and the topics that may be read with them.

* Permissions name programmes of each survey, ``{"ZTF": [1, 2]}``; a survey of which everything is public needs none
* A filter sees alerts and points of its programmes; its topic ``filtered.<name>`` shows no more than it sees
  x Who is permitted all that a filter is may read its topic and its matches
* ``<survey>.filtered`` and the topics of stages hold what any programme made: for operators

What a programme is, and which points one sees with it, says `boom_streams.surveys.rights`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from boom_streams.errors import FilterError
from boom_streams.surveys import find_survey, known_surveys
from boom_streams.surveys.rights import Rights

__all__ = ["Permissions", "check_permissions", "check_survey", "everything_that", "may_read_filter", "permitted"]

#: Programmes by survey.
Permissions: TypeAlias = Mapping[str, Collection[int]]

#: Surveys that filters may name, though nothing here knows their alerts yet.
_EXPECTED = ("LSST", "DECAM", "WINTER")


def permitted(permissions: Permissions, survey: str) -> frozenset[int]:
    """Programmes of a survey whose alerts and points may be seen with these permissions."""
    rights, given = _rights(survey), frozenset(permissions.get(survey, ()))
    if rights is None:
        return given
    return rights.programmes if rights.is_public else given & rights.programmes


def everything_that(several: Iterable[Permissions], survey: str) -> frozenset[int]:
    """Programmes of a survey that at least one of several filters may see: what an operator's record of them shows."""
    return frozenset[int]().union(*(permitted(permissions, survey) for permissions in several))


def may_read_filter(reader: Permissions, survey: str, permissions: Permissions) -> bool:
    """Whether a person may read the topic and the matches of a filter.

    Parameters
    ----------
    reader
        What the person is permitted.
    survey, permissions
        Of the filter.
    """
    return all(permitted(permissions, name) <= permitted(reader, name) for name in {survey, *permissions})


def check_survey(survey: Any) -> str:
    """Return the survey's upper-case name, else raise `FilterError`."""
    known = tuple(dict.fromkeys((*known_surveys(), *_EXPECTED)))
    if not isinstance(survey, str) or survey.upper() not in known:
        raise FilterError(f"survey {survey!r} is unknown; known are {', '.join(known)}")
    return survey.upper()


def check_permissions(survey: str, permissions: Any) -> dict[str, tuple[int, ...]]:
    """Return permissions in order, else raise `FilterError`; a survey that needs them must be among them."""
    if permissions is None:
        permissions = {}
    if not isinstance(permissions, Mapping):
        raise FilterError(f'permissions must look like {{"{survey}": [1]}}, not {permissions!r}')
    checked: dict[str, tuple[int, ...]] = {}
    for name, programids in permissions.items():
        if not isinstance(programids, Sequence) or isinstance(programids, str):
            raise FilterError(f"permissions of {name} must be a list of programids, not {programids!r}")
        rights = _rights(check_survey(name))
        for programid in programids:
            if type(programid) is not int or (rights is not None and programid not in rights.programmes):
                known = "integers" if rights is None else ", ".join(map(str, sorted(rights.programmes)))
                raise FilterError(f"permissions of {name}: {programid!r} is no programid; they are {known}")
        checked[check_survey(name)] = tuple(sorted(set(programids)))
    rights = _rights(survey)
    if rights is not None and not rights.is_public and not checked.get(survey):
        least = min(rights.programmes)
        raise FilterError(
            f'a filter of {survey} needs permissions, as {{"{survey}": [{least}]}} (--permissions {least})'
            + (" for public alerts" if rights.levels[least] == 1 else "")
        )
    return checked


def _rights(survey: str) -> Rights | None:
    """Rights of a survey; None if there is no adapter for it yet, and so no alert."""
    found = find_survey(survey)
    return None if found is None else found.rights

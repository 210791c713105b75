"""A user's filter as BOOM stores it: one document with its versions, one of which is active.

* `Filter` is one version of it, checked, ready to be evaluated; documents that are wrong raise `FilterError`
* ``permissions`` names the programmes that the user may see; `boom_streams.access.permissions` says what follows
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boom_streams.access.permissions import check_permissions, check_survey, permitted
from boom_streams.errors import FilterError
from boom_streams.filters.language.validate import Stage, validate

__all__ = ["Filter", "check_name", "parse_pipeline"]

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Filter:
    """The active version of a filter.

    Its pipeline has been validated if it came from `from_document` or `boom_streams.filters.store`.

    Attributes
    ----------
    name
        Part of the topic ``filtered.<name>``.
    fid
        Version.
    key
        ``_id`` of its document, of any type; `id` is its text.
    """

    id: str
    name: str
    survey: str
    permissions: Mapping[str, tuple[int, ...]]
    fid: str
    pipeline: tuple[Stage, ...]
    user_id: str = ""
    key: Any = field(default=None, compare=False, repr=False)

    def programmes(self) -> frozenset[int]:
        """Programmes of its survey whose alerts and points it sees."""
        return permitted(self.permissions, self.survey)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], fid: str | None = None) -> Filter:
        """Read a document of the ``filters`` collection; its active version unless `fid` names another.

        Raises
        ------
        FilterError
            If the document, its name, its permissions or its pipeline are not valid.
        """
        filter_id = str(document.get("_id", ""))
        try:
            survey = check_survey(document.get("survey"))
            fid = document.get("active_fid") if fid is None else fid
            versions = document.get("fv")
            found = [v for v in versions if v.get("fid") == fid] if isinstance(versions, list) else []
            if not isinstance(fid, str) or not found:
                raise FilterError(f"version {fid!r} is not among its versions")
            pipeline = found[0].get("pipeline")
            return cls(
                id=filter_id,
                name=check_name(document.get("name")),
                survey=survey,
                permissions=check_permissions(survey, document.get("permissions")),
                fid=fid,
                pipeline=validate(parse_pipeline(pipeline) if isinstance(pipeline, str) else pipeline),
                user_id=str(document.get("user_id", "")),
                key=document.get("_id"),
            )
        except FilterError as error:
            raise FilterError(f"filter {document.get('name')!r} ({filter_id}): {error}") from None
        except (AttributeError, TypeError, LookupError, ArithmeticError, ValueError, RecursionError) as error:
            raise FilterError(f"filter {filter_id}: not a filter's document: {error}") from None


def check_name(name: Any) -> str:
    """Return the name if it can be part of a topic's name, else raise `FilterError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FilterError(f"name {name!r}: use 1 to 100 of the letters a-z A-Z 0-9 . _ -")
    return name


def parse_pipeline(text: str) -> Any:
    """Read a pipeline's JSON text; `FilterError` if it is none, repeats a key, or holds NaN or Infinity."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            repeated = next(k for i, (k, _) in enumerate(items) if k in [name for name, _ in items[:i]])
            raise FilterError(f"the pipeline names {repeated!r} twice in one object; the first would be lost")
        return found

    def constant(name: str) -> None:
        raise FilterError(f"the pipeline holds {name}, which is no JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise FilterError("the pipeline is nested too deeply") from None
    except ValueError as error:
        raise FilterError(f"the pipeline is not JSON: {error}") from None

"""The ``filters`` collection: BOOM's documents, one a filter, with all its versions."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import bson
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from boom_streams.access.permissions import check_permissions, check_survey
from boom_streams.astro import times
from boom_streams.errors import FilterError
from boom_streams.filters.document import Filter, check_name, parse_pipeline
from boom_streams.filters.language.translate import translate
from boom_streams.filters.language.validate import Stage, validate

__all__ = ["Added", "FilterStore", "check_pipeline"]

log = logging.getLogger(__name__)


class Added(NamedTuple):
    """A filter, or a version of one, that was added."""

    filter_id: str
    fid: str
    changes: list[str]
    """What was translated from other brokers' dialects, for a person."""


def check_pipeline(pipeline: Any) -> tuple[tuple[Stage, ...], list[str]]:
    """Translate and validate a pipeline, given as JSON text or as its value; `FilterError` if it is refused."""
    value = parse_pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    translated, changes = translate(value)
    return validate(translated), changes


class FilterStore:
    """Filters in MongoDB. Times are Julian dates, UTC; pipelines are stored as JSON text."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._db = db
        self._filters = db["filters"]
        self._told: set[tuple[str, str]] = set()
        self._valid: dict[str, dict[bytes, Filter]] = {}  # by survey and content, as last loaded

    def add(
        self,
        name: str,
        survey: str,
        pipeline: Any,
        permissions: Mapping[str, Any] | None = None,
        *,
        description: str | None = None,
        user_id: str = "",
        changelog: str | None = None,
    ) -> Added:
        """Add a filter, or a version if the user has one of this name already; it is inactive until activated.

        Parameters
        ----------
        name : str
            Part of the topic ``filtered.<name>``; one filter a name.
        survey : str
            Upper or lower case.
        pipeline : str or list
            JSON text or its value; other brokers' dialects are translated.
        permissions : mapping, optional
            Programids by survey; of a further version None means those that the filter has.
        description, user_id, changelog : str, optional
            For people.

        Raises
        ------
        FilterError
            If anything is refused, by this package or by MongoDB's own parser.
        """
        survey = check_survey(survey)
        stages, changes = check_pipeline(pipeline)
        self._parse(stages)
        version: dict[str, Any] = {
            "fid": str(uuid.uuid4()), "pipeline": json.dumps(stages, ensure_ascii=False), "created_at": _now(),
        }  # fmt: skip
        if changelog is not None:
            version["changelog"] = changelog
        known = self._filters.find_one({"name": check_name(name)})
        if known is not None:
            self._add_version(known, survey, permissions, user_id, version)
            return Added(str(known["_id"]), version["fid"], changes)
        document: dict[str, Any] = {
            "_id": str(uuid.uuid4()),
            "name": name,
            "survey": survey,
            "user_id": user_id,
            "permissions": {k: list(v) for k, v in check_permissions(survey, permissions).items()},
            "active": False,
            "active_fid": version["fid"],
            "fv": [version],
            "created_at": version["created_at"],
            "updated_at": version["created_at"],
        }
        if description is not None:
            document["description"] = description
        try:
            self._filters.create_index("name", unique=True)
            self._filters.insert_one(document)
        except DuplicateKeyError:
            raise FilterError(f"the name {name} is taken; choose another") from None
        return Added(document["_id"], version["fid"], changes)

    def _add_version(
        self,
        known: Mapping[str, Any],
        survey: str,
        permissions: Mapping[str, Any] | None,
        user_id: str,
        version: Mapping[str, Any],
    ) -> None:
        if known.get("survey") != survey or known.get("user_id", "") != user_id:
            raise FilterError(
                f"the name {known['name']} is taken by a filter of another survey or user; choose another"
            )
        if permissions is not None and check_permissions(survey, permissions) != check_permissions(
            survey, known.get("permissions")
        ):
            raise FilterError(f"filter {known['name']} has other permissions; versions share them")
        self._filters.update_one(
            {"_id": known["_id"]}, {"$push": {"fv": dict(version)}, "$set": {"updated_at": _now()}}
        )

    def _parse(self, stages: tuple[Stage, ...]) -> None:
        """Let MongoDB's own parser see the pipeline, on a collection that does not exist."""
        try:
            self._db["filters_parsed_only"].aggregate(list(stages), maxTimeMS=1000).close()
        except OperationFailure as error:
            raise FilterError(f"MongoDB refuses the pipeline: {(error.details or {}).get('errmsg', error)}") from None

    def list_all(self, survey: str | None = None) -> list[dict[str, Any]]:
        """Documents of all filters, or of those of one survey, by name."""
        query = {} if survey is None else {"survey": check_survey(survey)}
        return list(self._filters.find(query).sort("name", 1))

    def get(self, name_or_id: str) -> dict[str, Any]:
        """Document of a filter by its name or its id; `FilterError` if there is none."""
        found = self._filters.find_one({"$or": [{"_id": name_or_id}, {"name": name_or_id}]})
        if found is None:
            raise FilterError(f"no filter {name_or_id!r}; `boom-streams filters list` shows all")
        return found

    def activate(self, name_or_id: str, fid: str | None = None) -> Filter:
        """Switch a filter on, at its newest version unless `fid` names another; lifts a suspension.

        Raises
        ------
        FilterError
            If there is no such filter or version, or it is not valid.
        """
        document = self.get(name_or_id)
        chosen = Filter.from_document(document, document["fv"][-1]["fid"] if fid is None else fid)
        self._parse(chosen.pipeline)
        self._filters.update_one(
            {"_id": document["_id"]},
            {"$set": {"active": True, "active_fid": chosen.fid, "updated_at": _now()}, "$unset": {"suspended": ""}},
        )
        return chosen

    def deactivate(self, name_or_id: str) -> None:
        """Switch a filter off; its versions and its matches stay. `FilterError` if there is none."""
        document = self.get(name_or_id)
        self._filters.update_one({"_id": document["_id"]}, {"$set": {"active": False, "updated_at": _now()}})

    def suspend(self, filter_id: str, fid: str, reason: str) -> None:
        """Switch off a version that failed, and say why; nothing if another version is active by now."""
        suspended = {"reason": reason, "fid": fid, "at": _now()}
        self._filters.update_one(
            {"_id": filter_id, "active_fid": fid},
            {"$set": {"active": False, "suspended": suspended, "updated_at": suspended["at"]}},
        )

    def load_active(self, survey: str) -> list[Filter]:
        """Active filters of a survey by name; one that is not valid is left out, and logged once.

        What has not changed since the last time is not validated again.
        """
        loaded: list[Filter] = []
        before, self._valid[survey] = self._valid.get(survey, {}), {}
        for document in self._filters.find({"survey": check_survey(survey), "active": True}).sort("name", 1):
            content = bson.encode(document)
            try:
                found = before.get(content) or Filter.from_document(document)
                self._valid[survey][content] = found
                if any(found.name == other.name for other in loaded):
                    raise FilterError(
                        f"filter {found.name!r} ({found.id}): another filter has this name, and its topic"
                    )
                loaded.append(found)
            except FilterError as error:
                key = (str(document.get("_id")), str(document.get("active_fid")))
                if key not in self._told:
                    self._told.add(key)
                    log.warning("left out: %s", error)
        return loaded


def _now() -> float:
    """Julian date, UTC."""
    return times.julian_date(time.time() * 1000)

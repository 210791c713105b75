"""The ``filters`` collection: BOOM's documents, one a filter, with all its versions.

Other programs write to it, too. So documents are decoded one by one: what is wrong with one is that filter's.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from boom_streams import names
from boom_streams.access.permissions import Permissions, check_permissions, check_survey
from boom_streams.access.topic_owners import check_unclaimed
from boom_streams.astro import times
from boom_streams.errors import FilterError
from boom_streams.filters.document import Filter, check_name, parse_pipeline
from boom_streams.filters.language.translate import translate
from boom_streams.filters.language.validate import Stage, validate

__all__ = ["Added", "FilterStore", "check_pipeline", "missed", "state"]

log = logging.getLogger(__name__)

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_EXACT: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
#: For people: what is no text in UTF-8 is shown with question marks.
_SHOWN = _EXACT.with_options(unicode_decode_error_handler="replace")


class Added(NamedTuple):
    """A filter, or a version of one, that was added.

    Attributes
    ----------
    changes
        What was translated from other brokers' dialects, for a person.
    """

    filter_id: str
    fid: str
    changes: list[str]


def check_pipeline(pipeline: Any) -> tuple[tuple[Stage, ...], list[str]]:
    """Translate and validate a pipeline, given as JSON text or as its value; `FilterError` if it is refused."""
    value = parse_pipeline(pipeline) if isinstance(pipeline, str) else pipeline
    translated, changes = translate(value)
    return validate(translated), changes


class FilterStore:
    """Filters in MongoDB. Times are Julian dates, UTC; pipelines are stored as JSON text."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._db = db
        self._filters = db.get_collection("filters", codec_options=_SHOWN)
        self._raw: Collection[Any] = db.get_collection("filters", codec_options=_RAW)
        self._told: set[bytes] = set()
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
        name
            Part of the topic ``filtered.<name>``; one filter a name.
        survey
            Upper or lower case.
        pipeline
            JSON text or its value; other brokers' dialects are translated.
        permissions
            Programids by survey; of a further version None means those that the filter has.
        description, user_id, changelog
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
        self._check_topic(name)
        check_unclaimed(self._db, name)
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
        if permissions is not None:
            has, asked = (check_permissions(survey, each) for each in (known.get("permissions"), permissions))
            if has != asked:
                raise FilterError(
                    f"filter {known['name']} has permissions {_listed(has)}, not {_listed(asked)}, and its versions "
                    "share them; leave the permissions out, or add it under another name"
                )
        self._filters.update_one(
            {"_id": known["_id"]}, {"$push": {"fv": dict(version)}, "$set": {"updated_at": _now()}}
        )

    def _check_topic(self, name: str) -> None:
        """Refuse a name whose topic Kafka cannot tell from another filter's: there ``.`` and ``_`` are one."""
        other = self._filters.find_one({"name": {"$regex": names.alike(name)}})
        if other is not None and other["name"] != name:
            raise FilterError(
                f"the name {name} differs from that of filter {other['name']} in `.` and `_` only, which Kafka does "
                "not tell apart in names of topics; choose another"
            )

    def _parse(self, stages: tuple[Stage, ...]) -> None:
        """Let MongoDB's own parser see the pipeline, on a collection that does not exist."""
        try:
            self._db["filters_parsed_only"].aggregate(list(stages), maxTimeMS=1000).close()
        except OperationFailure as error:
            raise FilterError(f"MongoDB refuses the pipeline: {(error.details or {}).get('errmsg', error)}") from None

    def list_all(self, survey: str | None = None) -> list[dict[str, Any]]:
        """Documents of all filters, or of those of one survey, by name; for people."""
        query = {} if survey is None else {"survey": check_survey(survey)}
        return list(self._filters.find(query).sort("name", 1))

    def get(self, name_or_id: str) -> dict[str, Any]:
        """Document of a filter by its name or its id, for people; `FilterError` if there is none."""
        return bson.decode(self._find(name_or_id).raw, _SHOWN)

    def find(self, name_or_id: str) -> dict[str, Any] | None:
        """Document of a filter by its name or its id, for people; None if there is none."""
        try:
            return self.get(name_or_id)
        except FilterError:
            return None

    def _find(self, name_or_id: str) -> RawBSONDocument:
        ids: list[Any] = [name_or_id]
        if bson.ObjectId.is_valid(name_or_id):
            ids.append(bson.ObjectId(name_or_id))
        if re.fullmatch(r"-?\d{1,18}", name_or_id):
            ids.append(int(name_or_id))
        found: RawBSONDocument | None = self._raw.find_one({"$or": [{"_id": {"$in": ids}}, {"name": name_or_id}]})
        if found is None:
            raise FilterError(f"no filter {name_or_id!r}; `boom-streams filters list` shows all")
        return found

    def activate(self, name_or_id: str, fid: str | None = None, *, keep_missed: bool = False) -> Filter:
        """Switch a filter on, at its newest version unless `fid` names another; lifts a suspension.

        Parameters
        ----------
        name_or_id, fid
            Which.
        keep_missed
            Keep the offsets of the suspension (see `missed`), for `boom_streams.agents.catch_up`.

        Raises
        ------
        FilterError
            If there is no such filter or version, or it is not valid.
        """
        chosen = self.version(name_or_id, fid)
        self._parse(chosen.pipeline)
        changed = {"active": True, "active_fid": chosen.fid, "updated_at": _now()}
        if keep_missed and (offsets := missed(self.get(name_or_id))) is not None:
            changed["missed"] = {"offsets": offsets}
        self._filters.update_one({"_id": {"$eq": chosen.key}}, {"$set": changed, "$unset": {"suspended": ""}})
        return chosen

    def misses(self, one: Filter, offsets: Sequence[int]) -> None:
        """Remember that a filter misses alerts from these offsets on; nothing if it has missed some before."""
        self._filters.update_one(
            {"_id": {"$eq": one.key}, "missed": {"$exists": False}}, {"$set": {"missed": {"offsets": list(offsets)}}}
        )

    def catches_up(self, one: Filter, offsets: Sequence[int]) -> None:
        """Remember how far a filter has caught up: what comes before these offsets is not missed any more."""
        self._filters.update_one(
            {"_id": {"$eq": one.key}, "missed": {"$exists": True}}, {"$set": {"missed": {"offsets": list(offsets)}}}
        )

    def caught_up(self, one: Filter) -> None:
        """Forget what a filter missed, as it has all of it."""
        self._filters.update_one({"_id": {"$eq": one.key}}, {"$unset": {"missed": ""}})

    def version(self, name_or_id: str, fid: str | None = None) -> Filter:
        """A version of a filter, the newest unless `fid` names another; `FilterError` if it is not valid."""
        document = _decode(self._find(name_or_id))
        versions = document.get("fv")
        newest = versions[-1] if isinstance(versions, list) and versions else None
        if fid is None and isinstance(newest, dict):
            fid = newest.get("fid")
        return Filter.from_document(document, fid)

    def deactivate(self, name_or_id: str) -> None:
        """Switch a filter off; its versions and its matches stay. `FilterError` if there is none."""
        key = self.get(name_or_id)["_id"]
        self._filters.update_one({"_id": {"$eq": key}}, {"$set": {"active": False, "updated_at": _now()}})

    def remove(self, name_or_id: str) -> None:
        """Forget a filter that is off, with its versions; its topic and its matches stay.

        Raises
        ------
        FilterError
            If there is none, or it is on: workers could still publish to its topic.
        """
        document = self.get(name_or_id)
        check_off(document)
        if not self._filters.delete_one({"_id": {"$eq": document["_id"]}, "active": {"$ne": True}}).deleted_count:
            check_off(document | {"active": True})

    def suspend(
        self, one: Filter, reason: str, candid: int | None = None, offsets: Sequence[int] | None = None
    ) -> None:
        """Switch off a version that failed; nothing if another version is active by now.

        Parameters
        ----------
        one
            What failed.
        reason
            Why, for its user.
        candid
            The alert at which it failed, where that is known.
        offsets
            Of ``<survey>.classified``, by partition: what comes before was evaluated.
        """
        suspended: dict[str, Any] = {"reason": reason, "fid": one.fid, "at": _now()}
        if offsets is not None:
            suspended["offsets"] = list(offsets)
        if candid is not None:
            suspended["candid"] = candid
        self._filters.update_one(
            {"_id": {"$eq": one.key}, "active_fid": one.fid},
            {"$set": {"active": False, "suspended": suspended, "updated_at": suspended["at"]}},
        )

    def load_active(self, survey: str) -> list[Filter]:
        """Active filters of a survey by name; one that is not valid is left out, and logged once.

        What has not changed since the last time is not validated again.
        """
        loaded: list[Filter] = []
        for document, found in self._active({"survey": check_survey(survey)}, survey):
            if isinstance(found, Filter):
                loaded.append(found)
            elif document not in self._told:
                self._told.add(document)
                log.warning("left out: %s", found)
        return loaded

    def problems(self) -> list[str]:
        """What keeps filters from running, a sentence each: suspensions, and active documents that are not valid."""
        suspended = self._filters.find({"suspended": {"$exists": True}, "active": {"$ne": True}}).sort("name", 1)
        return [
            *(f"filter {document.get('name')} is {state(document)}" for document in suspended),
            *(f"left out: {found}" for _, found in self._active({}, None) if isinstance(found, FilterError)),
        ]

    def _active(self, query: Mapping[str, Any], remember: str | None) -> Iterator[tuple[bytes, Filter | FilterError]]:
        """Each active document as it lies there, and the filter that it is, or why it is none."""
        before: dict[bytes, Filter] = self._valid.get(remember or "", {})
        valid: dict[bytes, Filter] = {}
        taken: set[str] = set()
        for document in self._raw.find({**query, "active": True}).sort("name", 1):
            content = bytes(document.raw)
            try:
                found = before.get(content) or Filter.from_document(_decode(document))
                valid[content] = found
                if {found.name, found.id} & taken:
                    raise FilterError(
                        f"filter {found.name!r} ({found.id}): another filter has this name, and its topic"
                    )
            except FilterError as error:
                yield content, error
                continue
            taken |= {found.name, found.id}
            yield content, found
        if remember is not None:
            self._valid[remember] = valid


def missed(document: Mapping[str, Any]) -> list[int] | None:
    """Offsets of ``<survey>.classified``, by partition, from which a filter may lack alerts; None: it lacks none.

    Since its suspension, and since an earlier one if catching up with that has not ended.
    """
    found = [marks for name in ("missed", "suspended") if (marks := _offsets(document.get(name))) is not None]
    return [min(several) for several in zip(*found, strict=False)] if found else None


def _offsets(found: Any) -> list[int] | None:
    offsets = found.get("offsets") if isinstance(found, Mapping) else None
    valid = isinstance(offsets, list) and all(isinstance(offset, int) for offset in offsets)
    return offsets if valid else None


def state(document: Mapping[str, Any]) -> str:
    """Whether a filter runs, in words: ``on``, ``off``, or since when, at which alert and why it is suspended."""
    suspended = document.get("suspended")
    if document.get("active") is True:
        return "on"
    if not isinstance(suspended, Mapping):
        return "off"
    since, candid = suspended.get("at"), suspended.get("candid")
    when = f" since {times.iso(since)}" if isinstance(since, float) else ""
    where = "" if candid is None else f" at alert {candid}"
    return f"suspended{when}{where}: {suspended.get('reason')}"


def check_off(document: Mapping[str, Any]) -> None:
    """Refuse to remove a filter that is on: `FilterError` says how it is switched off."""
    if document.get("active") is True:
        name = document.get("name")
        raise FilterError(f"filter {name} is on; switch it off first with `boom-streams filters deactivate {name}`")


def _listed(permissions: Permissions) -> str:
    return "; ".join(f"{survey} {','.join(map(str, sorted(ids)))}" for survey, ids in sorted(permissions.items()))


def _decode(document: RawBSONDocument) -> dict[str, Any]:
    try:
        return bson.decode(document.raw, _EXACT)
    except (BSONError, ValueError, OverflowError) as error:
        shown = bson.decode(document.raw, _SHOWN)
        raise FilterError(f"filter {shown.get('name')!r} ({shown.get('_id')}): cannot be read: {error}") from None


def _now() -> float:
    """Julian date, UTC."""
    return times.julian_date(time.time() * 1000)

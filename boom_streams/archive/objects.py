"""Objects in ``<SURVEY>_alerts_aux``: the points that each alert added or changed, and the newest alert's matches.

The classify stage numbers an object's alerts: the revision. The archive keeps the newest that it has, and each point
the one that brought it. A revision that only adds points, on top of the one before, is pushed. Whatever else comes
(replaced points, a gap, an old record again, a history that was partial) is merged by mongod point by point: of two
versions of a point that of the greater revision stays. Of matches those of the alert with the greater (jd, candid)
stay. All of it can be repeated and done in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from boom_streams.archive.matches import merged_matches, newest_matches, pushed_matches
from boom_streams.archive.mongo import duplicates
from boom_streams.astro import sky
from boom_streams.surveys import Series, Survey
from boom_streams.surveys.packed_points import Points

__all__ = ["BOOKS", "documents", "from_archive", "write_objects"]

Document = dict[str, Any]

#: Fields of a stored point that are the archive's own: the revision that brought it, and whether it was an alert.
BOOKS = ("revision", "own")

#: Attempts of a merge; another writer may insert the same object at the same moment.
_ATTEMPTS = 5


def write_objects(aux: Collection[Document], survey: Survey, records: Sequence[RawBSONDocument]) -> None:
    """Apply classified records of one survey to its objects."""
    several = _repeated([record["objectId"] for record in records])
    simple = [record for record in records if _is_simple(survey, record) and record["objectId"] not in several]
    rest = [record for record in records if not _is_simple(survey, record) or record["objectId"] in several]
    rest += _insert(aux, survey, [record for record in simple if record["revision"] == 1])
    rest += _push(aux, survey, [record for record in simple if record["revision"] != 1])
    _merge(aux, survey, rest)


def documents(survey: Survey, record: Mapping[str, Any]) -> dict[str, list[Document]]:
    """Changed points of a classified record as documents with its revision; ``own`` marks the alert's detection."""
    changed = bson.decode(record["changed"].raw)
    found: dict[str, list[Document]] = {}
    for name, data in changed.items():
        found[name] = survey.series[name].to_documents(survey.series[name].loads(data))
        for point in found[name]:
            point["revision"] = record["revision"]
    for point in found.get(survey.detections.name, ()):
        if point.get("candid") == record["candid"]:
            point["own"] = True
    return found


def from_archive(survey: Survey, document: Mapping[str, Any]) -> tuple[dict[str, Points], frozenset[int], int]:
    """An object as the archive has it: packed points, candids of its alerts, newest revision."""
    points = {name: series.from_documents(document.get(name, [])) for name, series in survey.series.items()}
    own = frozenset(point["candid"] for point in document.get(survey.detections.name, ()) if point.get("own"))
    return points, own, document.get("revision", 0)


def _is_simple(survey: Survey, record: Mapping[str, Any]) -> bool:
    """Whether it only adds to what the archive has; an alert that is not the newest may be so in its programme."""
    shown = record["newest"] or not survey.rights.has_several
    return shown and not record["replaced"] and record["history"] == "complete"


def _repeated(object_ids: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {object_id for object_id in object_ids if object_id in seen or seen.add(object_id)}  # type: ignore[func-returns-value]


def _insert(aux: Collection[Document], survey: Survey, records: Sequence[RawBSONDocument]) -> list[RawBSONDocument]:
    """Insert objects with their first alert; return the records whose object is there already, with another one."""
    if not records:
        return []
    new = [_first(survey, *placed) for placed in zip(records, _places(records), strict=True)]
    try:
        aux.insert_many(new, ordered=False)
    except BulkWriteError as error:
        return _undone(aux, [records[place] for place in duplicates(error)])
    return []


def _push(aux: Collection[Document], survey: Survey, records: Sequence[RawBSONDocument]) -> list[RawBSONDocument]:
    """Push points of different objects; return the records that did not find the revision before them."""
    if not records:
        return []
    updates = [_pushed(survey, *placed) for placed in zip(records, _places(records), strict=True)]
    if aux.bulk_write(updates, ordered=False).matched_count == len(records):
        return []
    return _undone(aux, records)


def _undone(aux: Collection[Document], records: Sequence[RawBSONDocument]) -> list[RawBSONDocument]:
    """Those of the records whose object is not at their revision."""
    ids = [record["objectId"] for record in records]
    found = {d["_id"]: d.get("revision", 0) for d in aux.find({"_id": {"$in": ids}}, {"revision": 1})}
    return [record for record in records if found.get(record["objectId"], 0) != record["revision"]]


def _places(records: Sequence[RawBSONDocument]) -> list[Document]:
    """Where the object of each record is, as the archive has it."""
    ra, dec = zip(*(record["position"] for record in records), strict=True)
    return sky.coordinates(ra, dec)


def _first(survey: Survey, record: RawBSONDocument, place: Document) -> Document:
    """The object as its first alert makes it."""
    added, received = documents(survey, record), record["received"]
    books = {"created_at": received, "updated_at": received, "revision": record["revision"], "coordinates": place}
    series = {name: added.get(name, []) for name in survey.series}
    return {"_id": record["objectId"], **books, **series, **newest_matches(survey, record)}


def _pushed(survey: Survey, record: RawBSONDocument, place: Document) -> UpdateOne:
    """The update for a record that only adds points to what the archive has."""
    revision, received = record["revision"], record["received"]
    added = documents(survey, record)
    update: Document = {
        "$set": {"revision": revision, "coordinates": place},
        "$min": {"created_at": received},
        "$max": {"updated_at": received},
    }
    if record["newest"]:
        fields, update["$unset"] = pushed_matches(survey, record)
        update["$set"] |= fields
    if added:
        update["$push"] = {
            name: {"$each": points, **({} if record["appended"] else {"$sort": _order(survey.series[name])})}
            for name, points in added.items()
        }
    return UpdateOne({"_id": record["objectId"], "revision": revision - 1}, update)


def _merge(aux: Collection[Document], survey: Survey, records: Sequence[RawBSONDocument]) -> None:
    """Merge records into what the archive has, whatever that is."""
    if not records:
        return
    updates = [
        UpdateOne({"_id": record["objectId"]}, _merged(survey, record, place), upsert=True)
        for record, place in zip(records, _places(records), strict=True)
    ]
    for attempt in range(_ATTEMPTS):
        try:
            aux.bulk_write(updates, ordered=False)
            return
        except BulkWriteError as error:
            refused = duplicates(error)
            if attempt == _ATTEMPTS - 1:
                raise
            updates = [updates[place] for place in refused]


def _merged(survey: Survey, record: RawBSONDocument, place: Document) -> list[Document]:
    """The update for a record whose points are merged with those that the archive has.

    An alert that is stored already may have been sent again, with a later time: it leaves the object's times.
    """
    revision, received = record["revision"], record["received"]
    added = documents(survey, record)
    newer = {"$gt": [revision, {"$ifNull": ["$revision", 0]}]}
    position = {"$literal": place}
    detections = {"$ifNull": [f"${survey.detections.name}", []]}
    is_own = {"$and": ["$$point.own", {"$eq": ["$$point.candid", record["candid"]]}]}
    stored = {"$anyElementTrue": {"$map": {"input": detections, "as": "point", "in": is_own}}}
    fields: Document = {
        **merged_matches(survey, record),
        "coordinates": {"$cond": [newer, position, "$coordinates"]},
        "created_at": {"$cond": [stored, "$created_at", {"$min": ["$created_at", received]}]},
        "updated_at": {"$cond": [stored, "$updated_at", {"$max": ["$updated_at", received]}]},
    }
    for name, series in survey.series.items():
        known = {"$ifNull": [f"${name}", []]}
        fields[name] = _points(series, known, added[name], record) if name in added else known
    return [{"$set": fields}, {"$set": {"revision": {"$max": ["$revision", revision]}}}]


def _points(series: Series, known: Document, added: Sequence[Document], record: Mapping[str, Any]) -> Document:
    """Expression for a series: known points and added ones, of each point one version."""
    if record["history"] == "complete":
        stays: Document = {"$gte": ["$$point.revision", record["revision"]]}
    else:  # numbered without knowing what the archive has: only an alert's own detection is known to be better
        stays = {"$and": ["$$point.own", {"$ne": ["$$point.candid", record["candid"]]}]}
    new = {"$literal": list(added)}
    identity = _identity(series)
    brought = {"$map": {"input": new, "as": "point", "in": identity}}
    staying = {
        "$map": {"input": {"$filter": {"input": known, "as": "point", "cond": stays}}, "as": "point", "in": identity}
    }
    keep = {"$or": [stays, {"$not": [{"$in": [identity, "$$brought"]}]}]}
    take = {"$not": [{"$in": [identity, "$$staying"]}]}
    both = [
        {"$filter": {"input": known, "as": "point", "cond": keep}},
        {"$filter": {"input": new, "as": "point", "cond": take}},
    ]
    joined = {"$sortArray": {"input": {"$concatArrays": both}, "sortBy": _order(series)}}
    return {"$let": {"vars": {"brought": brought, "staying": staying}, "in": joined}}


def _order(series: Series) -> Document:
    """The order of points, as `boom_streams.tables.objects.history` has it."""
    return dict.fromkeys(series.order, 1)


def _identity(series: Series) -> Document:
    """What tells a point from others: its candid, without one its key; absent parts of that are equal."""
    key = [{"$ifNull": [f"$$point.{name}", None]} for name in series.key]
    return {"$ifNull": ["$$point.candid", key]}

"""Light curves in ``<SURVEY>_alerts_aux``: each revision of an object is applied once, on top of the one before.

The classify stage numbers an object's alerts and says which points each one added or changed. The archive keeps the
number that it has: revision r is applied where r - 1 is, and skipped where r or a later one is. What does not fit
(replaced points, a gap, a history that was partial) is merged point by point, under the same guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from boom_streams import points as packed
from boom_streams import sky
from boom_streams.points import Points
from boom_streams.surveys import Survey

__all__ = ["coordinates", "documents", "write_light_curves"]

_DUPLICATE = 11000

Document = dict[str, Any]


def write_light_curves(aux: Collection[Document], survey: Survey, records: Sequence[RawBSONDocument]) -> None:
    """Apply classified records of one survey to the light curves, in their order."""
    plain: dict[str, UpdateOne] = {}
    rest: list[RawBSONDocument] = []
    several = _repeated([record["objectId"] for record in records])
    for record in records:
        if _is_simple(record) and record["objectId"] not in several:
            plain[record["objectId"]] = _apply(survey, record)
        else:
            rest.append(record)
    if plain:
        rest = [*_bulk(aux, plain, records), *rest]
    for record in rest:
        if not _is_simple(record) or _bulk(aux, {record["objectId"]: _apply(survey, record)}, [record]):
            _merge(aux, survey, record)


def _is_simple(record: Mapping[str, Any]) -> bool:
    return not record["replaced"] and record["history"] == "complete"


def coordinates(ra: float, dec: float) -> Document:
    """Sub-document of a position (ICRS degrees): GeoJSON with RA - 180, and galactic coordinates."""
    longitude, latitude = sky.galactic([ra], [dec])
    return {
        "radec_geojson": {"type": "Point", "coordinates": [ra - 180.0, dec]},
        "l": float(longitude[0]),
        "b": float(latitude[0]),
    }


def documents(survey: Survey, record: Mapping[str, Any]) -> dict[str, list[Document]]:
    """Changed points of a classified record as documents; the alert's own detection has its revision."""
    changed = bson.decode(record["changed"].raw)
    found: dict[str, list[Document]] = {}
    for name, data in changed.items():
        rows = np.frombuffer(data, survey.SERIES[name])
        found[name] = packed.to_documents(rows, survey.BANDS, survey.BOOLEANS)
    for point in found.get("prv_candidates", ()):
        if point.get("candid") == record["candid"]:
            point["revision"] = record["revision"]
    return found


def _repeated(object_ids: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {object_id for object_id in object_ids if object_id in seen or seen.add(object_id)}  # type: ignore[func-returns-value]


def _apply(survey: Survey, record: RawBSONDocument) -> UpdateOne:
    """The update for a record that only adds points to what the archive has."""
    revision, received = record["revision"], record["received"]
    known = {"revision": revision - 1} if revision > 1 else {"revision": {"$exists": False}}
    fixed = {"revision": revision, "coordinates": coordinates(*record["position"])}
    added = documents(survey, record)
    update: Document = {"$min": {"created_at": received}, "$max": {"updated_at": received}}
    if revision == 1:
        update["$set"] = fixed | {name: added.get(name, []) for name in survey.SERIES}
    else:
        update["$set"] = fixed
        order = {} if record["appended"] else {"$sort": {"jd": 1, "fid": 1, "candid": 1}}
        update["$push"] = {name: {"$each": points, **order} for name, points in added.items()}
        if not update["$push"]:
            del update["$push"]
    return UpdateOne({"_id": record["objectId"], **known}, update, upsert=revision == 1)


def _bulk(
    aux: Collection[Document], updates: Mapping[str, UpdateOne], records: Sequence[RawBSONDocument]
) -> list[RawBSONDocument]:
    """Run updates of different objects; return the records that did not find the revision before them."""
    try:
        result = aux.bulk_write(list(updates.values()), ordered=False)
        done = result.matched_count + result.upserted_count
    except BulkWriteError as error:
        problems = [p for p in error.details["writeErrors"] if p["code"] != _DUPLICATE]
        if problems:
            raise
        done = error.details["nMatched"] + error.details["nUpserted"]
    if done == len(updates):
        return []
    found = {d["_id"]: d.get("revision", 0) for d in aux.find({"_id": {"$in": list(updates)}}, {"revision": 1})}
    return [r for r in records if r["objectId"] in updates and found.get(r["objectId"], 0) < r["revision"]]


def _merge(aux: Collection[Document], survey: Survey, record: RawBSONDocument) -> None:
    """Merge a record's points into what the archive has, whatever that is."""
    object_id, revision = record["objectId"], record["revision"]
    added = documents(survey, record)
    while True:
        document = aux.find_one({"_id": object_id}, {name: 1 for name in (*survey.SERIES, "revision")}) or {}
        known = document.get("revision")
        if known is not None and known >= revision and record["history"] == "complete":
            return
        fields: Document = {"revision": max(known or 0, revision)}
        for name in survey.SERIES:
            merged = {_identity(point): point for point in document.get(name, ())}
            merged |= {_identity(point): point for point in added.get(name, ())}
            fields[name] = sorted(merged.values(), key=_order)
        if known is None or known < revision:
            fields["coordinates"] = coordinates(*record["position"])
        received = record["received"]
        try:
            result = aux.update_one(
                {"_id": object_id, "revision": known if known is not None else {"$exists": False}},
                {"$set": fields, "$min": {"created_at": received}, "$max": {"updated_at": received}},
                upsert=known is None,
            )
        except DuplicateKeyError:  # another worker was first
            continue
        if result.matched_count or result.upserted_id is not None:
            return


def _identity(point: Mapping[str, Any]) -> Any:
    return point.get("candid") or (point["jd"], point["fid"], point["programid"])


def _order(point: Mapping[str, Any]) -> tuple[float, int, int]:
    return point["jd"], point["fid"], point.get("candid", 0)


def from_archive(survey: Survey, document: Mapping[str, Any]) -> tuple[dict[str, Points], dict[int, int], int]:
    """An object as the archive has it: packed points, revision of each alert by candid, newest revision."""
    series = {name: packed.from_documents(document.get(name, []), dtype) for name, dtype in survey.SERIES.items()}
    own = {
        point["candid"]: point["revision"]
        for point in document.get("prv_candidates", ())
        if "revision" in point and "candid" in point
    }
    return series, own, document.get("revision", 0)

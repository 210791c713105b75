"""What is around an object: the catalogue sources and other surveys' objects that its newest alert was matched with.

The object's document shows those of its newest alert. Where a survey has several programmes, ``by_programme`` has those
of the newest alert of each: what a person is shown comes from alerts that this person may see.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from boom_streams.names import collection
from boom_streams.surveys import Survey, get_survey

__all__ = ["Sources", "merged_matches", "newest_matches", "pushed_matches", "read_matches", "shown_matches"]

Document = dict[str, Any]

#: Sources of a catalogue, or why it was not asked.
Sources = list[dict[str, Any]] | str

#: What the catalogues and other surveys say of an alert's surroundings.
_MATCHES = ("cross_matches", "catalogs", "unmatched", "aliases")


def newest_matches(survey: Survey, record: RawBSONDocument) -> Document:
    """Fields of an object whose newest alert a classified record is, and its first."""
    fields: Document = {**_matches(record), "matched": _matched_by(record)}
    if survey.rights.has_several:
        fields["by_programme"] = {_programme(survey, record): _of_programme(record)}
    return fields


def pushed_matches(survey: Survey, record: RawBSONDocument) -> tuple[Document, Document]:
    """What to set and what to unset for an object whose newest alert a classified record is."""
    matches = _matches(record)
    fields: Document = {**matches, "matched": _matched_by(record)}
    if survey.rights.has_several:
        fields[f"by_programme.{_programme(survey, record)}"] = _of_programme(record)
    return fields, {name: "" for name in _MATCHES if name not in matches}


def merged_matches(survey: Survey, record: RawBSONDocument) -> Document:
    """Expressions for an object of which the archive may know later alerts: those that are later stay."""
    matches, later = _matches(record), _is_later(record, "matched")
    fields: Document = {"matched": {"$cond": [later, {"$literal": _matched_by(record)}, "$matched"]}}
    for name in _MATCHES:
        value = {"$literal": bson.decode(matches[name].raw)} if name in matches else "$$REMOVE"
        fields[name] = {"$cond": [later, value, f"${name}"]}
    if survey.rights.has_several:
        field = f"by_programme.{_programme(survey, record)}"
        value = {"$literal": bson.decode(bson.encode(_of_programme(record)))}
        fields[field] = {"$cond": [_is_later(record, field), value, f"${field}"]}
    return fields


def shown_matches(survey: Survey, programmes: Collection[int], objects: str) -> Document:
    """Expression for what is around an object, as the newest alert has it that may be seen.

    Parameters
    ----------
    survey, programmes
        Programmes of the survey whose alerts may be seen.
    objects
        Path of a list with the object's document, or of an empty one.
    """
    if survey.rights.sees_all(programmes):
        return {"$first": objects}
    known = [f"{objects}.by_programme.{programme}" for programme in sorted(programmes)]
    newest_first = {"$sortArray": {"input": {"$concatArrays": known}, "sortBy": {"jd": -1, "candid": -1}}}
    return {"$first": newest_first}


def read_matches(
    database: Database[Document], survey: str, object_ids: Sequence[str], programmes: Collection[int] | None = None
) -> dict[str, dict[str, Sources]]:
    """Catalogue sources beside objects, by objectId and catalogue; objects without any are left out.

    A catalogue in which nothing is near has an empty list; one that was not asked has the reason instead.

    Parameters
    ----------
    database
        The broker's.
    survey, object_ids
        Which objects.
    programmes
        Programmes whose alerts may be seen; None: all.
    """
    adapter = get_survey(survey)
    permitted = adapter.rights.programmes if programmes is None else programmes
    pipeline: list[Document] = [
        {"$match": {"_id": {"$in": sorted(set(object_ids))}}},
        {"$project": {"objects": ["$$ROOT"]}},
        {"$project": {"shown": shown_matches(adapter, permitted, "$objects")}},
        {"$project": {"cross_matches": "$shown.cross_matches", "unmatched": "$shown.unmatched"}},
    ]
    found = {}
    for each in database[collection(survey, "alerts_aux")].aggregate(pipeline):
        if "cross_matches" in each or "unmatched" in each:
            found[each["_id"]] = {**each.get("unmatched", {}), **each.get("cross_matches", {})}
    return found


def _matches(record: RawBSONDocument) -> dict[str, RawBSONDocument]:
    """What is around the alert, as far as there is anything to say."""
    return {name: record[name] for name in _MATCHES if len(record[name])}


def _matched_by(record: RawBSONDocument) -> Document:
    """The alert whose matches they are."""
    return {"jd": record["jd"], "candid": bson.Int64(record["candid"])}


def _programme(survey: Survey, record: RawBSONDocument) -> str:
    return str(survey.rights.programme(record["programid"]))


def _of_programme(record: RawBSONDocument) -> Document:
    """What the newest alert of a programme says of the object: when and where it was, and what is around it."""
    return {**_matched_by(record), "coordinates": record["alert"]["coordinates"], **_matches(record)}


def _is_later(record: RawBSONDocument, field: str) -> Document:
    """Whether an alert is later than that of which the archive has `field`, as an expression."""
    jd, candid = record["jd"], bson.Int64(record["candid"])
    known = {"$ifNull": [f"${field}.jd", -math.inf]}
    same = {"$and": [{"$eq": [known, jd]}, {"$lt": [f"${field}.candid", candid]}]}
    return {"$or": [{"$lt": [known, jd]}, same]}

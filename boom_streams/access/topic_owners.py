"""Whose results lie in the topic ``filtered.<name>``: one filter's, and of programmes that its readers may see.

A topic keeps its records for a month. So a name that was used by a filter that is gone, or by one that was permitted
more, is not used by another: its readers would get the older records with the new ones.
"""

from __future__ import annotations

from typing import Any

from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database

from boom_streams import names
from boom_streams.access.permissions import Permissions, permitted
from boom_streams.errors import FilterError

__all__ = ["check_unclaimed", "claim_topic", "release_topic"]

_COLLECTION = "filters_topics"


def claim_topic(
    database: Database[dict[str, Any]], name: str, filter_id: str, survey: str, permissions: Permissions
) -> None:
    """Make the topic of a name a filter's own, before anything is published to it.

    Raises
    ------
    FilterError
        If it has another filter's results, or results that this filter may not see.
    """
    programmes = permitted(permissions, survey)
    mine = {"filter_id": filter_id, "survey": survey, "programmes": sorted(programmes)}
    claim = {"$setOnInsert": mine}
    found: dict[str, Any] = (
        _owners(database).find_one_and_update({"_id": name}, claim, upsert=True, return_document=ReturnDocument.AFTER)
        or mine
    )
    if (found["filter_id"], found["survey"]) != (filter_id, survey):
        raise _taken(name)
    if not programmes >= set(found["programmes"]):
        raise FilterError(
            f"the topic of {name} has results of programmes {found['programmes']}, from when the filter was permitted "
            "more; add it with another name"
        )
    if programmes != set(found["programmes"]):
        _owners(database).update_one({"_id": name}, {"$addToSet": {"programmes": {"$each": sorted(programmes)}}})


def check_unclaimed(database: Database[dict[str, Any]], name: str) -> None:
    """Raise `FilterError` if the topic of a name (or what Kafka takes for it) has results of a filter that is gone."""
    found = _owners(database).find_one({"_id": {"$regex": names.alike(name)}})
    if found is not None:
        raise _taken(found["_id"])


def release_topic(database: Database[dict[str, Any]], name: str) -> None:
    """Forget whose the topic of a name was, as it has been deleted."""
    _owners(database).delete_one({"_id": name})


def _owners(database: Database[dict[str, Any]]) -> Collection[dict[str, Any]]:
    return database[_COLLECTION]


def _taken(name: str) -> FilterError:
    return FilterError(
        f"the topic of {name} has results of another filter of this name, which is gone; choose another name "
        f"(or have the topic deleted: `boom-streams filters remove {name} --topic`)"
    )

"""Reading what catalogues have beside objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo.database import Database

from boom_streams.names import collection

__all__ = ["Sources", "read_matches"]

#: Sources of a catalogue, or why it was not asked.
Sources = list[dict[str, Any]] | str


def read_matches(
    database: Database[dict[str, Any]], survey: str, object_ids: Sequence[str]
) -> dict[str, dict[str, Sources]]:
    """Catalogue sources beside objects, by objectId and catalogue; objects without any are left out.

    A catalogue in which nothing is near has an empty list; one that was not asked has the reason instead.
    """
    known = [{"cross_matches": {"$exists": True}}, {"unmatched": {"$exists": True}}]
    wanted = {"_id": {"$in": sorted(set(object_ids))}, "$or": known}
    found = database[collection(survey, "alerts_aux")].find(wanted, {"cross_matches": 1, "unmatched": 1})
    return {each["_id"]: {**each.get("unmatched", {}), **each.get("cross_matches", {})} for each in found}

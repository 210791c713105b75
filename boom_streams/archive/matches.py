"""Reading what catalogues have beside objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo.database import Database

from boom_streams.names import collection

__all__ = ["read_matches"]


def read_matches(
    database: Database[dict[str, Any]], survey: str, object_ids: Sequence[str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Catalogue sources beside objects, by objectId and catalogue; objects without any are left out.

    A catalogue in which nothing is near has an empty list; one that was not searched is absent.
    """
    wanted = {"_id": {"$in": sorted(set(object_ids))}, "cross_matches": {"$exists": True}}
    found = database[collection(survey, "alerts_aux")].find(wanted, {"cross_matches": 1})
    return {document["_id"]: document["cross_matches"] for document in found}

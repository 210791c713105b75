"""Collections and indexes of the archive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo import ASCENDING, DESCENDING, GEOSPHERE, IndexModel
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from boom_streams.archive import formats
from boom_streams.names import collection

__all__ = ["ensure"]

_EXISTS = 48

_POSITION = IndexModel([("coordinates.radec_geojson", GEOSPHERE), ("_id", ASCENDING)], name="position")
_INDEXES = {
    "alerts": [
        _POSITION,
        IndexModel([("objectId", ASCENDING)], name="object"),
        IndexModel([("candidate.jd", ASCENDING)], name="time"),
    ],
    "alerts_aux": [_POSITION],
    "alerts_cutouts": [],
    "filter_matches": [
        IndexModel([("filter_id", ASCENDING), ("jd", DESCENDING)], name="filter"),
        IndexModel([("objectId", ASCENDING)], name="object"),
    ],
}
#: Stamps are compressed already.
_UNCOMPRESSED = {"wiredTiger": {"configString": "block_compressor=none"}}


def ensure(database: Database[dict[str, Any]], surveys: Iterable[str]) -> list[str]:
    """Create missing collections and indexes, and say in which formats they are; tell what was created.

    Raises
    ------
    FormatError
        If another release wrote what is there.
    """
    surveys = list(surveys)
    formats.state(database, surveys)
    changes = []
    existing = set(database.list_collection_names())
    for survey in surveys:
        for kind, indexes in _INDEXES.items():
            name = collection(survey, kind)
            if name not in existing:
                options: dict[str, Any] = {"storageEngine": _UNCOMPRESSED} if kind == "alerts_cutouts" else {}
                changes += _create(database, name, **options)
            present = set(database[name].index_information())
            missing = [index for index in indexes if index.document["name"] not in present]
            if missing:
                changes += [f"created index {made} of {name}" for made in database[name].create_indexes(missing)]
    if "filters" not in existing:
        changes += _create(database, "filters")
    return changes


def _create(database: Database[dict[str, Any]], name: str, **options: Any) -> list[str]:
    """Create a collection, unless another worker was faster."""
    try:
        database.create_collection(name, **options)
    except CollectionInvalid:
        return []
    except OperationFailure as error:
        if error.code != _EXISTS:
            raise
        return []
    return [f"created collection {name}"]

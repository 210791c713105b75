"""Imported catalogues in MongoDB, as an import writes them: nothing that is in use changes before the end."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, GEOSPHERE, IndexModel
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from boom_streams.archive import formats, mongo
from boom_streams.crossmatch.store import tile_key
from boom_streams.errors import CatalogError
from boom_streams.names import CATALOG_TILES, CATALOGS

__all__ = ["CatalogWriter"]

#: Tiles written at once, and bytes of them.
_TILES, _BYTES = 1000, 8 << 20

_POSITION = IndexModel([("coordinates.radec_geojson", GEOSPHERE), ("_id", ASCENDING)], name="position")


class CatalogWriter:
    """Writes one version of a catalogue.

    First `begin`, then documents and tiles in any order, then `publish`. Until then workers use what they used before,
    and an import that ends early leaves only what the next `begin` removes.
    """

    def __init__(self, database: Database[dict[str, Any]], name: str, version: str) -> None:
        self._database = database
        self._catalogs = database[CATALOGS]
        self._tiles = database[CATALOG_TILES]
        self._staging = database[f"{name}.importing"]
        self._name = name
        self._version = version
        self._token = uuid.uuid4().hex
        self._ours = {"_id": name, "importing": self._token}

    def begin(self) -> None:
        """Claim the collection, and remove what earlier imports have left.

        Raises
        ------
        CatalogError
            If there is a collection of this name that no import has made.
        """
        formats.state(self._database, ())
        known = self._catalogs.find_one({"_id": self._name})
        if known is None:
            if self._name in self._database.list_collection_names():
                raise CatalogError(
                    f"there is a collection {self._name} in the database {self._database.name} that was not imported "
                    "here and would be replaced; rename or drop it, or choose another name"
                )
            self._catalogs.insert_one({"_id": self._name, "versions": []})
        self._catalogs.update_one({"_id": self._name}, {"$set": {"importing": self._token}})
        self._clear()
        self._staging.create_indexes([_POSITION])

    def discard(self) -> None:
        """Give up: remove what is not published, unless another import has begun since and it is that one's."""
        if self._catalogs.count_documents(self._ours, limit=1):
            self._clear()
            self._catalogs.update_one(self._ours, {"$unset": {"importing": ""}})

    def _clear(self) -> None:
        """Remove documents that are not published, and tiles of versions that are not complete."""
        self._staging.drop()
        known = self._catalogs.find_one({"_id": self._name}) or {}
        self._delete_tiles(known["versions"])

    def insert(self, documents: Sequence[dict[str, Any]]) -> int | None:
        """Add sources; return the place of the first whose ``_id`` is there already, None if there is none."""
        if not documents:
            return None
        try:
            self._staging.insert_many(documents)
        except BulkWriteError as error:
            return min(mongo.duplicates(error))
        return None

    def write_tiles(self, tiles: Iterable[tuple[int, bytes]]) -> int:
        """Write packed tiles; return how many. Those of a version that is imported again are there already."""
        count, size = 0, 0
        batch: list[dict[str, Any]] = []
        for tile, data in tiles:
            batch.append({"_id": tile_key(self._name, self._version, tile), "data": data})
            count, size = count + 1, size + len(data)
            if len(batch) == _TILES or size >= _BYTES:
                self._insert(batch)
                batch, size = [], 0
        if batch:
            self._insert(batch)
        return count

    def _insert(self, tiles: Sequence[dict[str, Any]]) -> None:
        """Add tiles; a version's are the same whenever it is imported, so one that is there may stay."""
        try:
            self._tiles.insert_many(tiles, ordered=False)
        except BulkWriteError as error:
            mongo.duplicates(error)

    def publish(self, facts: Mapping[str, Any], *, documents: bool = True) -> None:
        """Put the version into use, keep the one before for workers that still use it, and delete older ones.

        Raises
        ------
        CatalogError
            If another import of this name has begun, which has removed what this one had written.
        """
        known = self._catalogs.find_one({"_id": self._name}) or {}
        if known.get("importing") != self._token:
            raise CatalogError(
                f"another import of {self._name} has begun after this one, and goes on; nothing was changed"
            )
        versions = list(dict.fromkeys(v for v in (self._version, known.get("version")) if v))
        if len(versions) == 1:  # the active version was imported again: the one before it stays
            versions += [v for v in known.get("versions", ()) if v != self._version][:1]
        if documents:
            self._staging.rename(self._name, dropTarget=True)
        else:
            self._staging.drop()
        self._catalogs.replace_one(
            {"_id": self._name}, {"version": self._version, "versions": versions, **facts}, upsert=True
        )
        self._delete_tiles(versions)

    def _delete_tiles(self, kept: Iterable[str]) -> None:
        """Delete the catalogue's tiles, but those of some versions."""
        query: dict[str, Any] = {"_id": _starting_with(f"{self._name}/")}
        others = [{"_id": _starting_with(tile_key(self._name, version, 0)[:-1])} for version in kept]
        if others:
            query["$nor"] = others
        found = (document["_id"] for document in self._tiles.find(query, {"_id": 1}))
        while keys := list(itertools.islice(found, _TILES)):  # one command for all could take longer than one may
            self._tiles.delete_many({"_id": {"$in": keys}})


def _starting_with(prefix: str) -> dict[str, str]:
    """Condition on texts that start with a prefix that ends in ``/``; the character after it is ``0``."""
    return {"$gte": prefix, "$lt": f"{prefix[:-1]}0"}

"""Imported catalogues in MongoDB, as the stream and people read them.

* ``catalogs``: a document a catalogue: its active version, all versions whose tiles are complete, its description
* ``catalog_tiles``: a document a tile that has sources: ``_id`` is ``NAME/version/tile``, ``data`` the packed tile
* ``NAME``: a document a source, for people
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pymongo.database import Database

from boom_streams.archive import formats
from boom_streams.crossmatch.description import Catalog
from boom_streams.names import CATALOG_TILES, CATALOGS

__all__ = ["CatalogStore", "Imported", "tile_key"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Imported:
    """A catalogue as it was imported, and its active version.

    Attributes
    ----------
    versions
        Versions all whose tiles are there, the active one first.
    """

    catalog: Catalog
    version: str
    versions: tuple[str, ...] = field(default=(), compare=False)


def tile_key(name: str, version: str, tile: int) -> str:
    """Key of a tile: ``tile_key("NED", "0123456789ab", 42)`` is ``NED/0123456789ab/42``."""
    return f"{name}/{version}/{tile}"


class CatalogStore:
    """Reads catalogues; `catalogs.writer` writes them."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._catalogs = database[CATALOGS]
        self._tiles = database[CATALOG_TILES]
        self._database = database
        self._checked = False

    def load(self, survey: str | None = None) -> list[Imported]:
        """Catalogues in their active versions, by name; if a survey is named, those that its alerts are matched with.

        A version is taken off the `versions` before the first of its tiles is deleted: tiles that were read before this
        call are all that there are if their version is among them.

        Raises
        ------
        FormatError
            If another release wrote them.
        """
        self._check()
        query: dict[str, Any] = {"version": {"$exists": True}}
        if survey is not None:
            query["description.surveys"] = {"$in": [survey.upper(), []]}
        found = self._catalogs.find(query, {"description": 1, "version": 1, "versions": 1}).sort("_id", 1)
        return [imported for each in found if (imported := _imported(each)) is not None]

    def read_tiles(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Packed tiles by key; a tile that is absent has no sources, if its version is still there (see `load`)."""
        found = self._tiles.find({"_id": {"$in": list(keys)}})
        return {document["_id"]: bytes(document["data"]) for document in found}

    def list_all(self) -> list[dict[str, Any]]:
        """Documents of all imported catalogues, by name; `FormatError` if another release wrote them."""
        self._check()
        return list(self._catalogs.find({"version": {"$exists": True}}).sort("_id", 1))

    def _check(self) -> None:
        if not self._checked:
            formats.check(self._database, ())
            self._checked = True


def _imported(document: Mapping[str, Any]) -> Imported | None:
    """A catalogue as its document says; None if another version of this program has written it."""
    try:
        catalog = Catalog.model_validate(document["description"])
        return Imported(catalog, str(document["version"]), tuple(document["versions"]))
    except (KeyError, TypeError, ValidationError) as error:
        log.error("catalogue %s cannot be used, import it again: %s", document.get("_id"), error)
        return None

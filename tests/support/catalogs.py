"""Imports of catalogues into a test's own database, and matches as the stream makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from boom_streams.astro import sky
from boom_streams.catalogs.importer import Import, Report
from boom_streams.crossmatch import Catalog, CatalogStore, Imported, Tile, find, tile_key
from boom_streams.settings import Settings

__all__ = ["STARS", "Here", "matches", "place_for_imports"]

STARS = Catalog(name="STARS", radius=2.0)


class Here:
    """Imports into a test's database from a test's folder."""

    def __init__(self, database: Database[dict[str, Any]], folder: Path) -> None:
        self.database, self.folder = database, folder
        self.store = CatalogStore(database)

    def run(self, catalog: Catalog, *files: Path, **options: Any) -> Report:
        """Import a catalogue."""
        return Import(self.database, catalog, files, self.folder / "data", **options).run()

    def csv(self, text: str, name: str = "stars.csv") -> Path:
        """Make a file."""
        (self.folder / name).write_text(text)
        return self.folder / name

    def stars(self, *texts: str) -> Path:
        """Make a file of thirty good rows and some more."""
        return self.csv("\n".join(["ra,dec,id,mag", *(f"{100 + i},{i},{i},15.5" for i in range(30)), *texts]) + "\n")

    def tiles(self) -> dict[str, int]:
        """Count the tiles of each version of each catalogue."""
        return Counter(document["_id"].rpartition("/")[0] for document in self.database["catalog_tiles"].find())

    def versions(self, name: str) -> tuple[str, ...]:
        """Versions of a catalogue whose tiles are all there, the one in use first."""
        return next((each.versions for each in self.store.load() if each.catalog.name == name), ())

    def active(self, name: str) -> Imported:
        """Version in use of a catalogue."""
        return next(each for each in self.store.load("ZTF") if each.catalog.name == name)


@contextmanager
def place_for_imports(settings: Settings, folder: Path) -> Iterator[Here]:
    """A database and a folder."""
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        yield Here(client[settings.mongo_db], folder)


def matches(here: Here, name: str, ra: float, dec: float) -> list[dict[str, Any]]:
    """What the stream does for an alert."""
    used = here.active(name)
    key = tile_key(name, used.version, int(sky.cells(ra, dec, used.catalog.nside)))
    data = here.store.read_tiles([key]).get(key)
    assert used.version in here.versions(name)
    (found,) = find(used.catalog, [None if data is None else Tile.unpack(data)], [ra], [dec])
    return found

"""Catalogues of stars and galaxies: what an alert's position matches.

* What the stream needs is named here; `catalogs.importer` and what it uses is for `boom-streams catalogs`
"""

from boom_streams.catalogs.crossmatch import Crossmatcher, Matches, VersionGone
from boom_streams.catalogs.description import Catalog, load_descriptions
from boom_streams.catalogs.match import find
from boom_streams.catalogs.store import CatalogStore, Imported, tile_key
from boom_streams.catalogs.tiles import Tile, pack

__all__ = [
    "Catalog",
    "CatalogStore",
    "Crossmatcher",
    "Imported",
    "Matches",
    "Tile",
    "VersionGone",
    "find",
    "load_descriptions",
    "pack",
    "tile_key",
]

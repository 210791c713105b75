"""Which stars and galaxies of the catalogues lie at an alert's position."""

from boom_streams.crossmatch.catalogues import Crossmatcher, Matches, VersionGone
from boom_streams.crossmatch.description import Catalog, Descriptions, load_descriptions
from boom_streams.crossmatch.match import find
from boom_streams.crossmatch.store import CatalogStore, Imported, tile_key
from boom_streams.crossmatch.tiles import Tile, pack

__all__ = [
    "Catalog",
    "CatalogStore",
    "Crossmatcher",
    "Descriptions",
    "Imported",
    "Matches",
    "Tile",
    "VersionGone",
    "find",
    "load_descriptions",
    "pack",
    "tile_key",
]

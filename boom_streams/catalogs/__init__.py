"""Catalogues of stars and galaxies: what an alert's position matches."""

from boom_streams.catalogs.description import Catalog
from boom_streams.catalogs.match import find
from boom_streams.catalogs.tiles import Tile, pack, unit_vectors

__all__ = ["Catalog", "Tile", "find", "pack", "unit_vectors"]

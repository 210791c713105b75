"""Catalogues of stars and galaxies: what an alert's position matches."""

from boom_streams.catalogs.description import Catalog
from boom_streams.catalogs.match import Tile, find, unit_vectors

__all__ = ["Catalog", "Tile", "find", "unit_vectors"]

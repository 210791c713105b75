"""Matching positions with the sources of a tile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boom_streams.catalogs.description import Catalog
from boom_streams.sky import separation_arcsec

__all__ = ["Tile", "find", "unit_vectors"]

#: What rounding may take from a cosine; what passes for its sake is measured exactly.
_ROUNDING = 1e-15

#: Redshifts below which there is no projected distance, and below which the near limit holds.
_NO_DISTANCE, _NEAR = 0.005, 0.01

#: Redshift at which 1 arcsec is 1 kpc.
_UNIT = 0.05


@dataclass(frozen=True, slots=True)
class Tile:
    """Sources in a tile and within the search radius around it."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    vectors: NDArray[np.float64]
    """Unit vectors, shape (n, 3)."""
    rows: Sequence[Mapping[str, Any]]
    """What a match shows of each source; values that are missing are left out."""

    @classmethod
    def of(cls, ra: ArrayLike, dec: ArrayLike, rows: Sequence[Mapping[str, Any]]) -> Tile:
        """Make a tile of positions (ICRS degrees) and rows."""
        lon, lat = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
        return cls(lon, lat, unit_vectors(lon, lat), rows)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors of positions in degrees, shape (n, 3)."""
    lon, lat = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def find(catalog: Catalog, tile: Tile, ra: float, dec: float, vector: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Matches of a position in the order of the catalogue's mode.

    Parameters
    ----------
    catalog
        How to match.
    tile
        The sources around.
    ra, dec, vector
        The position, ICRS degrees, and as `unit_vectors` gives it.

    Returns
    -------
    list of dict
        The rows of the matches with ``distance_arcsec``, in mode `distance` with ``distance_kpc``, too (-1 where the
        redshift is too small to tell). Both modes are those of the BOOM broker.
    """
    near = np.flatnonzero(tile.vectors @ vector >= math.cos(math.radians(catalog.radius / 3600.0)) - _ROUNDING)
    if not len(near):
        return []
    separations = separation_arcsec(ra, dec, tile.ra[near], tile.dec[near]).tolist()
    hits = [(s, place) for s, place in zip(separations, near.tolist(), strict=True) if s <= catalog.radius]
    if catalog.mode == "nearest":
        hits.sort()
        return [{**tile.rows[place], "distance_arcsec": s} for s, place in hits[: catalog.limit]]
    return _by_distance(catalog, tile, hits)


def _by_distance(catalog: Catalog, tile: Tile, hits: Sequence[tuple[float, int]]) -> list[dict[str, Any]]:
    key, most, most_near = catalog.distance_key, catalog.distance_max, catalog.distance_max_near
    assert key is not None
    assert most is not None
    assert most_near is not None
    found: list[tuple[tuple[bool, float, float], dict[str, Any]]] = []
    for separation, place in hits:
        row = tile.rows[place]
        z = row.get(key)
        if z is None or not math.isfinite(z):
            continue
        allowed = most_near if z < _NEAR else most * _UNIT / z
        if separation < allowed:
            kpc = separation * (z / _UNIT) if z > _NO_DISTANCE else -1.0
            match = {**row, "distance_arcsec": separation, "distance_kpc": kpc}
            found.append(((kpc != -1.0, kpc, separation), match))
    return [match for _, match in sorted(found, key=lambda pair: pair[0])]

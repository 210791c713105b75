"""Matching positions with the sources of a tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boom_streams.catalogs.description import Catalog
from boom_streams.catalogs.tiles import Tile

__all__ = ["find"]

#: What rounding may take from a cosine; what passes for its sake is measured exactly.
_ROUNDING = 1e-15

#: Redshifts below which there is no projected distance, and below which the near limit holds.
_NO_DISTANCE, _NEAR = 0.005, 0.01

#: Redshift at which 1 arcsec is 1 kpc.
_UNIT = 0.05

#: A source that is near enough: its separation in arcsec, and its place in the tile.
_Hit = tuple[float, int]


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
        redshift is too small to tell). Both modes are those of the BOOM broker. Equal ones stay in the tile's order.
    """
    least = math.cos(math.radians(catalog.radius / 3600.0)) - _ROUNDING
    near = (tile.vectors.dot(vector) >= least).nonzero()[0].tolist()
    if not near:
        return []
    hits = [hit for hit in _separations(tile, near, ra, dec) if hit[0] <= catalog.radius]
    if catalog.mode == "distance":
        return _by_distance(catalog, tile, hits)
    hits.sort()
    matches = [tile.row(place) for _, place in hits[: catalog.limit]]
    for match, (separation, _) in zip(matches, hits, strict=False):
        match["distance_arcsec"] = separation
    return matches


def _separations(tile: Tile, places: Sequence[int], ra: float, dec: float) -> list[_Hit]:
    """Separations of some sources from a position.

    The formula is that of `sky.separation_arcsec`; for the few sources that are near, plain numbers are faster than
    arrays.
    """
    lat = math.radians(dec)
    sine, cosine = math.sin(lat), math.cos(lat)
    found = []
    for place in places:
        turn, other = math.radians(tile.ra.item(place) - ra), math.radians(tile.dec.item(place))
        other_sine, other_cosine, straight = math.sin(other), math.cos(other), math.cos(turn)
        across = math.hypot(other_cosine * math.sin(turn), cosine * other_sine - sine * other_cosine * straight)
        along = sine * other_sine + cosine * other_cosine * straight
        found.append((math.degrees(math.atan2(across, along)) * 3600.0, place))
    return found


def _by_distance(catalog: Catalog, tile: Tile, hits: Sequence[_Hit]) -> list[dict[str, Any]]:
    most, most_near = catalog.distance_max, catalog.distance_max_near
    assert tile.key is not None
    assert most is not None
    assert most_near is not None
    found: list[tuple[bool, float, float, int]] = []
    for separation, place in hits:
        z = tile.key.item(place)
        if not math.isfinite(z):
            continue
        allowed = most_near if z < _NEAR else most * _UNIT / z
        if separation < allowed:
            kpc = separation * (z / _UNIT) if z > _NO_DISTANCE else -1.0
            found.append((kpc != -1.0, kpc, separation, place))
    found.sort()
    matches = [tile.row(place) for *_, place in found]
    for match, (_, kpc, separation, _) in zip(matches, found, strict=True):
        match["distance_arcsec"], match["distance_kpc"] = separation, kpc
    return matches

"""Matching positions with the sources of their tiles, a batch at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import bson
import numpy as np
from numpy.typing import ArrayLike, NDArray

from boom_streams.astro.sky import separation_arcsec
from boom_streams.crossmatch.description import Catalog
from boom_streams.crossmatch.tiles import Tile

__all__ = ["MOST", "find"]

#: Most matches of a position with one catalogue, so that an alert in a dense field stays an alert of some kilobytes.
MOST = 500

#: What rounding may add to a difference of declinations, degrees; what passes for its sake is measured exactly.
_ROUNDING = 1e-12

#: Redshifts below which there is no projected distance, and below which the near limit holds.
_NO_DISTANCE, _NEAR = 0.005, 0.01

#: Redshift at which 1 arcsec is 1 kpc.
_UNIT = 0.05

#: Most pairs of positions and sources that are looked at together.
_PAIRS = 1_000_000

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def find(catalog: Catalog, tiles: Sequence[Tile | None], ra: ArrayLike, dec: ArrayLike) -> list[list[dict[str, Any]]]:
    """Matches of positions, each in the order of the catalogue's mode.

    Parameters
    ----------
    catalog
        How to match.
    tiles
        The sources around each position; None: there are none.
    ra, dec
        ICRS degrees.

    Returns
    -------
    list of list of dict
        For each position the rows of its matches with ``distance_arcsec``, in mode `distance` with ``distance_kpc``
        (-1 where the redshift is too small to tell). Both modes are those of the BOOM broker. Equal ones stay in the
        tile's order, and there are no more than `MOST`. What is found for a position does not depend on the others.
    """
    found: list[list[dict[str, Any]]] = [[] for _ in tiles]
    places = [place for place, tile in enumerate(tiles) if tile is not None]
    held = [tile for tile in tiles if tile is not None]
    if not held:
        return found
    sizes = [len(tile) for tile in held]
    if sum(sizes) > _PAIRS and len(tiles) > 1:
        half = len(tiles) // 2
        ra, dec = np.asarray(ra), np.asarray(dec)
        return [
            *find(catalog, tiles[:half], ra[:half], dec[:half]),
            *find(catalog, tiles[half:], ra[half:], dec[half:]),
        ]
    position = np.repeat(places, sizes)
    position, source, separation = _near(catalog.radius, position, held, np.asarray(ra), np.asarray(dec))
    if catalog.mode == "distance":
        keys = np.concatenate([_keys(tile) for tile in held])[source]
        kept, kpc = _distances(catalog, keys, separation)
        position, source, separation = position[kept], source[kept], separation[kept]
    else:
        kpc = np.full(len(source), np.nan)
    firsts = itertools.accumulate(sizes[:-1], initial=0)
    of_position = {place: (tile, first) for place, tile, first in zip(places, held, firsts, strict=True)}
    order = np.lexsort((source, separation, kpc, position))
    chosen = _no_more_than(min(catalog.limit or MOST, MOST), position[order].tolist(), order.tolist())
    of, rows = position.tolist(), source.tolist()
    packed = []
    for pair in chosen:
        tile, first = of_position[of[pair]]
        packed.append(tile.row(rows[pair] - first))
    for pair, match in zip(chosen, bson.decode_all(b"".join(packed)), strict=True):
        match["distance_arcsec"] = separation.item(pair)
        if catalog.mode == "distance":
            match["distance_kpc"] = kpc.item(pair)
        found[of[pair]].append(match)
    return found


def _no_more_than(limit: int, positions: Sequence[int], pairs: list[int]) -> list[int]:
    """The first so many pairs of each position; the pairs are in order."""
    return [pair for place, pair in enumerate(pairs) if place < limit or positions[place - limit] != positions[place]]


def _near(
    radius: float, position: Integers, tiles: Sequence[Tile], ra: Floats, dec: Floats
) -> tuple[Integers, Integers, Floats]:
    """Pairs within the radius: places of the positions, of the sources (tile after tile), separations in arcsec.

    ``position`` is the place of the position that each source is held against.

    Two positions are never nearer than their declinations: that alone rules most sources out.
    """
    lon, lat = np.concatenate([tile.positions for tile in tiles], axis=1)
    source = np.flatnonzero(np.abs(lat - dec[position]) <= radius / 3600.0 + _ROUNDING)
    position = position[source]
    separation = separation_arcsec(ra[position], dec[position], lon[source], lat[source])
    within = separation <= radius
    return position[within], source[within], separation[within]


def _keys(tile: Tile) -> Floats:
    assert tile.key is not None
    return tile.key


def _distances(catalog: Catalog, z: Floats, separation: Floats) -> tuple[Integers, Floats]:
    """Places of the pairs that are near enough for their redshift, and their projected distances.

    Those whose redshift is too small to tell a distance (-1) come first.
    """
    assert catalog.distance_max is not None
    assert catalog.distance_max_near is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        allowed = np.where(z < _NEAR, catalog.distance_max_near, catalog.distance_max * _UNIT / z)
        kept = np.flatnonzero(np.isfinite(z) & (separation < allowed))
    z, separation = z[kept], separation[kept]
    return kept, np.where(z > _NO_DISTANCE, separation * (z / _UNIT), -1.0)

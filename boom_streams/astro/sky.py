"""Positions on the sky: HEALPix cells, what lies at a cell's edge, galactic coordinates, separations.

* Cells: HEALPix, nested, of ICRS positions in degrees (Gorski et al. 2005)
* Neighbours: the other cells that a small disc around a position touches
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units
from astropy_healpix import boundaries_lonlat, lonlat_to_healpix
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "cells",
    "coordinates",
    "galactic",
    "mean_position",
    "neighbour_cells",
    "separation_arcsec",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: ICRS to galactic: J2000 pole (192.859478, 27.128251) deg, as astropy's `Galactic` frame has it.
_GALACTIC = np.array(
    [
        [-0.05487565771259163, -0.8734370519556159, -0.48383507361671546],
        [0.4941094371927268, -0.4448297212232952, 0.7469821839866676],
        [-0.8676661375596576, -0.19807633727300053, 0.4559838136873016],
    ]
)
_SIDES = 16
#: Vertices lie this much further out than the disc's edge: no straight cell edge cuts the disc between two of
#: them, with 5 % to spare for edges that are not straight.
_CIRCUMSCRIBED = 1.05 / np.cos(np.pi / _SIDES)
#: A cell's own coordinates (nside 1) change by no more than this in a radian, in any direction: at most
#: 1.02 in the equatorial zone, and hypot(sqrt(6) / 2, sqrt(6) / pi / cos(24.1 deg)) = 1.49 in the polar caps.
_STEEPEST = 1.6


def cells(ra: ArrayLike, dec: ArrayLike, nside: int) -> Integers:
    """HEALPix cells (nested) of ICRS positions in degrees; the same shape as the positions."""
    return _locate(np.asarray(ra, float), np.asarray(dec, float), nside)[0]


def neighbour_cells(ra: ArrayLike, dec: ArrayLike, nside: int, radius_arcsec: float) -> list[tuple[int, ...]]:
    """For each position, the other cells that a disc around it touches, sorted.

    A cell that comes within 10 % more than the radius may be listed too, none that comes within it is missed:
    edges are straight over such a distance, so one that cuts the disc has a vertex of the circumscribed
    16-gon behind it, and cells that meet in a corner inside the disc are asked for around that corner.

    Parameters
    ----------
    ra, dec
        ICRS degrees.
    nside
        HEALPix resolution.
    radius_arcsec
        At most a fifth of a cell's size.

    Raises
    ------
    ValueError
        If the radius is not small against the cell.
    """
    lon, lat = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    radius = np.radians(radius_arcsec / 3600.0)
    if not 0 < radius <= 0.2 * np.sqrt(np.pi / 3) / nside:
        raise ValueError(f"a radius of {radius_arcsec} arcsec is not small against cells of nside {nside}")
    found: list[tuple[int, ...]] = [()] * len(lon)
    own, x, y = _locate(lon, lat, nside)
    to_edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    near = np.flatnonzero(to_edge < _STEEPEST * nside * radius)
    if not len(near):
        return found
    around = _circle(lon[near], lat[near], radius * _CIRCUMSCRIBED, nside)
    for place, touched in zip(near, around, strict=True):
        found[place] = tuple(np.unique(touched[touched != own[place]]).tolist())
    corner_lon, corner_lat = _corners(own[near], nside)
    at_corner = separation_arcsec(lon[near, None], lat[near, None], corner_lon, corner_lat) <= radius_arcsec * 1.05
    rows, which = np.nonzero(at_corner)
    if len(rows):
        around = _circle(corner_lon[rows, which], corner_lat[rows, which], radius * 0.05, nside)
        for place, touched in zip(near[rows], around, strict=True):
            others = {*found[place], *touched.tolist()} - {int(own[place])}
            found[place] = tuple(sorted(others))
    return found


def galactic(ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
    """Galactic longitude (0 to 360) and latitude in degrees of ICRS positions in degrees.

    Element by element, as a matrix product rounds differently for other numbers of positions, and an alert that is
    processed again in another batch must give the same bytes.
    """
    vectors = _vectors(ra, dec)
    x, y, z = (row[0] * vectors[0] + row[1] * vectors[1] + row[2] * vectors[2] for row in _GALACTIC)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def coordinates(ra: Sequence[float], dec: Sequence[float]) -> list[dict[str, Any]]:
    """The archive's sub-document of each position (ICRS degrees): GeoJSON with RA - 180, and galactic coordinates."""
    longitudes, latitudes = (values.tolist() for values in galactic(ra, dec))
    return [
        {"radec_geojson": {"type": "Point", "coordinates": [east - 180.0, north]}, "l": longitude, "b": latitude}
        for east, north, longitude, latitude in zip(ra, dec, longitudes, latitudes, strict=True)
    ]


def separation_arcsec(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """Angle between ICRS positions (degrees) in arcsec; Vincenty's formula, exact at any distance."""
    lat1, lat2 = np.radians(dec1), np.radians(dec2)
    turn = np.radians(np.subtract(ra2, ra1))
    across = np.hypot(
        np.cos(lat2) * np.sin(turn), np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(turn)
    )
    along = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(turn)
    return np.asarray(np.degrees(np.arctan2(across, along)) * 3600.0, np.float64)


def _locate(ra: Floats, dec: Floats, nside: int) -> tuple[Integers, Floats, Floats]:
    """Cells, and where in the cell each position lies: x and y from 0 to 1."""
    lon, lat = units.Quantity(ra, units.deg), units.Quantity(dec, units.deg)
    cell, x, y = lonlat_to_healpix(lon, lat, nside, return_offsets=True, order="nested")
    return np.asarray(cell, np.int64), x, y


def _vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Make unit vectors, shape (3, ...)."""
    lon, lat = np.radians(ra), np.radians(dec)
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _circle(lon: Floats, lat: Floats, radius: float, nside: int) -> Integers:
    """Cells of points on circles around positions; degrees, radius in radians, shape (n, sides)."""
    centre = _vectors(lon, lat)[..., None]
    turn, tilt = np.radians(lon), np.radians(lat)
    east = np.array([-np.sin(turn), np.cos(turn), np.zeros_like(turn)])[..., None]
    north = np.array([-np.sin(tilt) * np.cos(turn), -np.sin(tilt) * np.sin(turn), np.cos(tilt)])[..., None]
    angle = 2 * np.pi * np.arange(_SIDES) / _SIDES
    x, y, z = centre * np.cos(radius) + (east * np.cos(angle) + north * np.sin(angle)) * np.sin(radius)
    return cells(np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y))), nside)


def _corners(own: Integers, nside: int) -> tuple[Floats, Floats]:
    """Corners of cells in degrees, shape (n, 4) each."""
    lon, lat = boundaries_lonlat(own, 1, nside, order="nested")
    return lon.to_value(units.deg), lat.to_value(units.deg)


def mean_position(ra: Sequence[float], dec: Sequence[float]) -> tuple[float, float]:
    """Mean of positions that lie close together, whatever their order: (ra, dec) in ICRS degrees."""
    if len(ra) == 1:
        return ra[0], dec[0]
    vectors = []
    for lon, lat in zip(map(math.radians, ra), map(math.radians, dec), strict=True):
        across = math.cos(lat)
        vectors.append((across * math.cos(lon), across * math.sin(lon), math.sin(lat)))
    x, y, z = map(math.fsum, zip(*vectors, strict=True))
    lon = math.degrees(math.atan2(y, x)) % 360.0 % 360.0  # a little less than 0 becomes 360 first, then 0
    return lon, math.degrees(math.atan2(z, math.hypot(x, y)))

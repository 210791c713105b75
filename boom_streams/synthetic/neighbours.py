"""What is around a made-up source: stars and galaxies with magnitudes, shapes and distances."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from boom_streams.synthetic.lightcurves import distance_modulus

__all__ = ["Neighbour", "by_distance", "field_neighbours", "host", "place", "star"]

#: Magnitudes minus that in r: of galaxies and of stars, in g, r, i, z, y.
_GALAXY_COLOURS = (0.7, 0.0, -0.35, -0.6, -0.7)
_STAR_COLOURS = (0.5, 0.0, -0.2, -0.3, -0.35)
_FILTERS = "grizy"

#: Half-light radius of a galaxy of absolute magnitude -20.5 in r, kpc.
_RADIUS_KPC = 4.0
_ARCSEC_RADIAN = math.degrees(1.0) * 3600.0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A star or galaxy of the reference image and of the catalogues.

    Attributes
    ----------
    kind
        Star or galaxy; a ``nucleus`` is a galaxy whose centre outshines it.
    east, north
        Arcsec from the source.
    mags
        AB magnitudes in g, r, i, z, y.
    score
        Star/galaxy score of Tachibana & Miller (2018), near 1 for stars.
    identity
        Number in the PS1 catalogue.
    redshift
        Of a galaxy, NaN of a star.
    radius, index, axes, angle
        Shape of a galaxy, see `boom_streams.synthetic.stamps.Galaxy`.
    """

    kind: Literal["star", "galaxy", "nucleus"]
    east: float
    north: float
    mags: tuple[float, ...]
    score: float
    identity: int
    redshift: float = math.nan
    radius: float = 0.0
    index: float = 1.0
    axes: float = 1.0
    angle: float = 0.0

    @property
    def distance(self) -> float:
        """Arcsec from the source."""
        return math.hypot(self.east, self.north)

    def mag(self, band: str) -> float:
        """AB magnitude in g, r, i, z or y."""
        return self.mags[_FILTERS.index(band)]


def star(rng: np.random.Generator, mag: float, distance: float) -> Neighbour:
    """A star of a magnitude in r at a distance in arcsec."""
    east, north = _around(rng, distance)
    colour = rng.uniform(0.5, 1.5)
    mags = tuple(mag + colour * step for step in _STAR_COLOURS)
    return Neighbour("star", east, north, mags, float(rng.uniform(0.9, 1.0)), _identity(rng))


def host(rng: np.random.Generator, redshift: float, mag: float, distance: float, nucleus: bool = False) -> Neighbour:
    """A galaxy of a redshift and a magnitude in r, its centre at a distance in arcsec.

    Its radius grows with its luminosity to the power 0.3 (Shen et al. 2003, MNRAS 343, 978, for spirals about so).
    """
    east, north = _around(rng, distance)
    mags = tuple(mag + step for step in _GALAXY_COLOURS)
    absolute = mag - distance_modulus(redshift)
    kpc = _RADIUS_KPC * 10.0 ** (-0.4 * 0.3 * (absolute + 20.5)) * rng.uniform(0.8, 1.2)
    radius = float(np.clip(kpc / _kpc_per_arcsec(redshift), 0.5, 8.0))
    index, axes, angle = float(rng.choice([1.0, 4.0])), float(rng.uniform(0.4, 1.0)), float(rng.uniform(0, np.pi))
    score = float(rng.uniform(0.0, 0.15) if not nucleus else rng.uniform(0.1, 0.4))
    kind: Literal["galaxy", "nucleus"] = "nucleus" if nucleus else "galaxy"
    return Neighbour(kind, east, north, mags, score, _identity(rng), redshift, radius, index, axes, angle)


def field_neighbours(rng: np.random.Generator, nearest: float) -> list[Neighbour]:
    """Two or three unrelated stars and galaxies between ``nearest`` and 30 arcsec."""
    found = []
    for _ in range(int(rng.integers(2, 4))):
        distance = float(np.sqrt(rng.uniform(nearest**2, 30.0**2)))
        mag = float(rng.uniform(17.5, 21.5))
        if rng.random() < 0.6:
            found.append(star(rng, mag, distance))
        else:
            found.append(host(rng, float(rng.uniform(0.05, 0.4)), mag + 0.5, distance))
    return found


def place(ra: float, dec: float, east: float, north: float) -> tuple[float, float]:
    """ICRS degrees of a place some arcsec from another, away from the poles."""
    return (ra + east / 3600.0 / math.cos(math.radians(dec))) % 360.0, dec + north / 3600.0


def by_distance(neighbours: Iterable[Neighbour]) -> tuple[Neighbour, ...]:
    """The nearest first."""
    return tuple(sorted(neighbours, key=lambda each: each.distance))


def _around(rng: np.random.Generator, distance: float) -> tuple[float, float]:
    angle = rng.uniform(0.0, 2.0 * np.pi)
    return float(distance * np.sin(angle)), float(distance * np.cos(angle))


def _kpc_per_arcsec(redshift: float) -> float:
    """Size of an arcsec: the angular diameter distance is the luminosity distance over (1 + z)^2."""
    megaparsec: float = 10.0 ** ((distance_modulus(redshift) - 25.0) / 5.0) / (1.0 + redshift) ** 2
    return megaparsec * 1000.0 / _ARCSEC_RADIAN


def _identity(rng: np.random.Generator) -> int:
    return int(rng.integers(10**17, 2 * 10**17))

"""Made-up sources of a night: what they are, where, beside what, and how bright at any time.

A source's light curve is its flux minus that in the reference image, nJy, so a star that is fainter than it was there
has a negative one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from boom_streams.synthetic import lightcurves, neighbours
from boom_streams.synthetic.neighbours import Neighbour
from boom_streams.synthetic.observing import NIGHT_JD, Exposures
from boom_streams.synthetic.stamps import Defect

__all__ = ["KINDS", "Kind", "Source", "draw_source"]

Kind = Literal["supernova", "tidal_disruption", "active_nucleus", "variable", "outburst", "mover", "artefact"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Floats = NDArray[np.float64]

#: Absolute magnitudes at maximum in g and r, and days of rise and fall, of supernovae of type Ia.
_SUPERNOVA = {1: (-19.1, 3.5, 17.0), 2: (-19.0, 4.5, 25.0)}
#: Absolute magnitudes at maximum of tidal disruption events: hot, so blue in every band.
_DISRUPTION = {1: -19.8, 2: -19.6}
#: Largest redshifts at which they are bright enough.
_FARTHEST = 0.09


@dataclass(frozen=True, slots=True)
class Source:
    """A made-up source.

    Attributes
    ----------
    kind
        What it is.
    ra, dec
        ICRS degrees.
    flux
        Flux minus that in the reference image, nJy, in each exposure.
    nearby
        What is in the reference image, the nearest first.
    peak_jd
        Julian date of its maximum; NaN where there is no such thing.
    redshift
        Of its host; NaN if it has none.
    defect
        What is wrong with its image; None: nothing.
    """

    kind: Kind
    ra: float
    dec: float
    flux: Floats
    nearby: tuple[Neighbour, ...]
    peak_jd: float = math.nan
    redshift: float = math.nan
    defect: Defect | None = None

    @property
    def once(self) -> bool:
        """Whether it is seen in one exposure alone: it moves on, or was never there."""
        return self.kind in ("mover", "artefact")

    @property
    def counterpart(self) -> Neighbour | None:
        """The star or galaxy that it belongs to."""
        return None if self.once else self.nearby[0]

    def light(self, exposures: Exposures) -> Floats:
        """Flux of the reference image under it, nJy: all of a star, a tenth of a galaxy."""
        if self.counterpart is None:
            return np.zeros(len(exposures))
        return _reference(self.counterpart, exposures) * (1.0 if self.counterpart.kind == "star" else 0.1)


def draw_source(rng: np.random.Generator, kind: Kind, exposures: Exposures, centre: tuple[float, float]) -> Source:
    """Draw a source of a kind in a field.

    Parameters
    ----------
    rng
        Where the numbers come from.
    kind
        What it is to be.
    exposures
        Of the field.
    centre
        Of the field, ICRS degrees; the source is within 3 degrees of right ascension and declination.
    """
    ra, dec = neighbours.place(*centre, *(rng.uniform(-3.0, 3.0, 2) * 3600.0).tolist())
    return _DRAW[kind](rng, round(ra, 7), round(dec, 7), exposures)


def _supernova(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    redshift, peak = _redshift(rng), NIGHT_JD + rng.uniform(-30.0, 10.0)
    modulus, luck, stretch = lightcurves.distance_modulus(redshift), rng.normal(0.0, 0.25), 1.0 + redshift
    flux = np.zeros(len(exposures))
    for fid, (mag, rise, fall) in _SUPERNOVA.items():
        brightest = float(lightcurves.mag_to_flux(mag + luck + modulus))
        curve = lightcurves.bazin(exposures.jd - peak, brightest, rise * stretch, fall * stretch)
        flux = np.where(exposures.fid == fid, curve, flux)
    offset = min(8.0, float(rng.exponential(2.5)))
    galaxy = neighbours.host(rng, redshift, modulus + rng.uniform(-21.5, -18.5), offset)
    return _in_galaxy(rng, "supernova", (ra, dec), flux, galaxy, peak)


def _tidal_disruption(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    redshift, peak = _redshift(rng), NIGHT_JD + rng.uniform(-50.0, 5.0)
    modulus, luck, stretch = lightcurves.distance_modulus(redshift), rng.normal(0.0, 0.4), 1.0 + redshift
    rise, fallback = rng.uniform(8.0, 15.0) * stretch, rng.uniform(30.0, 50.0) * stretch
    mags = np.where(exposures.fid == 1, _DISRUPTION[1], _DISRUPTION[2]) + luck + modulus
    shape = lightcurves.tidal_disruption(exposures.jd - peak, 1.0, rise, fallback)
    galaxy = neighbours.host(rng, redshift, modulus + rng.uniform(-21.0, -19.0), float(rng.uniform(0.0, 0.3)))
    return _in_galaxy(rng, "tidal_disruption", (ra, dec), shape * lightcurves.mag_to_flux(mags), galaxy, peak)


def _active_nucleus(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    redshift = float(rng.uniform(0.03, 0.3))
    galaxy = neighbours.host(rng, redshift, float(rng.uniform(16.5, 18.5)), float(rng.uniform(0.0, 0.3)), nucleus=True)
    walk = lightcurves.random_walk(exposures.jd, 0.3, 150.0, rng.standard_normal(len(exposures)))
    return _in_galaxy(rng, "active_nucleus", (ra, dec), _changed(galaxy, exposures, walk), galaxy, math.nan)


def _variable(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    star = neighbours.star(rng, float(rng.uniform(14.5, 18.0)), float(rng.uniform(0.0, 0.4)))
    period, amplitude = float(rng.uniform(0.35, 0.8)), float(rng.uniform(0.4, 1.1))
    change = lightcurves.pulsation(exposures.jd - NIGHT_JD + rng.uniform(0.0, period), period, amplitude)
    nearby = neighbours.by_distance([star, *neighbours.field_neighbours(rng, 8.0)])
    return Source("variable", ra, dec, _changed(star, exposures, change), nearby)


def _outburst(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    star = neighbours.star(rng, float(rng.uniform(18.5, 20.5)), float(rng.uniform(0.0, 0.4)))
    peak, brighter = NIGHT_JD + rng.uniform(-9.0, 0.3), rng.uniform(2.5, 5.0)
    quiet = _reference(star, exposures)
    shape = lightcurves.bazin(exposures.jd - peak, 1.0, 0.3, float(rng.uniform(3.0, 5.0)))
    nearby = neighbours.by_distance([star, *neighbours.field_neighbours(rng, 8.0)])
    return Source("outburst", ra, dec, quiet * (10.0 ** (0.4 * brighter) - 1.0) * shape, nearby, float(peak))


def _mover(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    flux = np.full(len(exposures), float(lightcurves.mag_to_flux(rng.uniform(16.0, 19.5))))
    return Source("mover", ra, dec, flux, neighbours.by_distance(neighbours.field_neighbours(rng, 4.0)))


def _artefact(rng: np.random.Generator, ra: float, dec: float, exposures: Exposures) -> Source:
    defects: tuple[Defect, ...] = ("dipole", "column", "hit")
    defect = defects[int(rng.integers(3))]
    nearby = neighbours.field_neighbours(rng, 5.0)
    if defect == "dipole":
        nearby.append(neighbours.star(rng, float(rng.uniform(14.0, 16.0)), float(rng.uniform(0.2, 0.6))))
    flux = lightcurves.mag_to_flux(rng.uniform(17.5, 19.5)) * (1.0 if rng.random() < 0.7 else -1.0)
    whole = np.full(len(exposures), float(flux))
    return Source("artefact", ra, dec, whole, neighbours.by_distance(nearby), defect=defect)


_DRAW: dict[Kind, Callable[[np.random.Generator, float, float, Exposures], Source]] = {
    "supernova": _supernova,
    "tidal_disruption": _tidal_disruption,
    "active_nucleus": _active_nucleus,
    "variable": _variable,
    "outburst": _outburst,
    "mover": _mover,
    "artefact": _artefact,
}


def _redshift(rng: np.random.Generator) -> float:
    """Redshift of a place drawn uniformly from the volume within the farthest, but 0.012 at least."""
    return max(0.012, float(_FARTHEST * rng.random() ** (1.0 / 3.0)))


def _in_galaxy(
    rng: np.random.Generator, kind: Kind, at: tuple[float, float], flux: Floats, galaxy: Neighbour, peak: float
) -> Source:
    nearby = neighbours.by_distance([galaxy, *neighbours.field_neighbours(rng, 9.0)])
    return Source(kind, *at, flux, nearby, float(peak), galaxy.redshift)


def _changed(neighbour: Neighbour, exposures: Exposures, change: Floats) -> Floats:
    """Flux minus that in the reference image of something that changes by some magnitudes."""
    return np.asarray(_reference(neighbour, exposures) * (10.0 ** (-0.4 * change) - 1.0), np.float64)


def _reference(neighbour: Neighbour, exposures: Exposures) -> Floats:
    """Flux in the reference image in the band of each exposure, nJy."""
    return lightcurves.mag_to_flux(np.where(exposures.fid == 1, neighbour.mag("g"), neighbour.mag("r")))

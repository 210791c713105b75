"""Exposures of a made-up survey like ZTF, and what they measure of a source.

* Times: ``jd`` is the start of the exposure, UTC
* A source is a detection where its measured flux exceeds 5 times its error, else the exposure gives an upper limit
* Forced photometry is that same measurement in the units of the image, so that all of a packet agrees

Numbers of a packet are single precision; what is compared with a threshold is rounded first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boom_streams.astro.photometry import FACTOR, ZP_NJY

__all__ = ["BANDS", "FIELDS", "GAIN", "NIGHT_JD", "PIXEL", "Exposures", "Measured", "counts_of", "measure", "schedule"]

#: Bands by ``fid``.
BANDS = {1: "g", 2: "r"}
#: Julian date of the middle of the night, as of 17 June 2024 at Palomar Mountain.
NIGHT_JD = 2460478.83
#: Side of a pixel, arcsec.
PIXEL = 1.01
#: Fields that the survey visits, and the days that an exposure takes with its readout.
FIELDS, _TURN = 12, 40.0 / 86400.0
#: Electrons a count.
GAIN = 6.2
#: Relative error of every flux that remains after calibration.
_CALIBRATION = 0.01
#: A detection exceeds its error by this much.
_DETECTION = 5.0
#: Days before the night that the survey has lasted, days between its visits, share of nights with good weather.
_SPAN, _STEP, _CLEAR = 90, 2, 0.75

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exposures:
    """Exposures of a field in the order of time, arrays of one length.

    Attributes
    ----------
    field
        Number of the field.
    jd
        Start, Julian date, UTC.
    fid
        Filter: 1 g, 2 r.
    fwhm
        Of a point source, pixels.
    limit
        AB magnitude of a source of 5 sigma.
    zero_point
        AB magnitude of one count.
    sky
        Background, counts a pixel.
    tonight
        Whether it is of the night that is made.
    """

    field: int
    jd: Floats
    fid: NDArray[np.int64]
    fwhm: Floats
    limit: Floats
    zero_point: Floats
    sky: Floats
    tonight: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.jd)


@dataclass(frozen=True, slots=True)
class Measured:
    """What exposures measure of one source, counts.

    Attributes
    ----------
    true
        Flux of the source minus that in the reference image.
    flux, error
        As measured.
    detected
        Whether it is a detection.
    mag, mag_error
        AB magnitude of the measured flux, of its absolute value, and its error.
    """

    true: Floats
    flux: Floats
    error: Floats
    detected: NDArray[np.bool_]
    mag: Floats
    mag_error: Floats


def schedule(rng: np.random.Generator, field: int, turn: int) -> Exposures:
    """Exposures of a field: every other night with good weather for 90 days, g and r half an hour or more apart.

    One field in three is visited again in r in the night that is made. The telescope takes one image after the other:
    each of the `FIELDS` fields has its ``turn``.
    """
    start = NIGHT_JD + rng.uniform(-0.12, 0.06)
    nights = [-day for day in range(_SPAN, 0, -_STEP) if rng.random() < _CLEAR]
    visits: list[tuple[float, int]] = []
    for night in (*nights, 0):
        first = start + night + (rng.uniform(-0.03, 0.03) if night else 0.0)
        visits += [(first, 1), (first + rng.uniform(0.02, 0.05), 2)]
    if rng.random() < 1 / 3:
        visits.append((start + rng.uniform(0.06, 0.09), 2))
    times = np.array([when for when, _ in visits])
    jd = np.round((np.floor(times / (_TURN * FIELDS)) * FIELDS + turn + 0.5) * _TURN, 7)
    fid = np.array([band for _, band in visits])
    count = len(visits)
    fwhm = _single(np.clip(rng.normal(2.0, 0.3, count), 1.5, 3.5))
    blue = fid == 1
    return Exposures(
        field=field,
        jd=jd,
        fid=fid,
        fwhm=fwhm,
        limit=_single(np.where(blue, 20.6, 20.5) - 0.5 * (fwhm - 2.0) + rng.normal(0.0, 0.15, count)),
        zero_point=_single(np.where(blue, 26.2, 26.3) + rng.normal(0.0, 0.03, count)),
        sky=_single(np.where(blue, 110.0, 160.0) * rng.uniform(0.9, 1.2, count)),
        tonight=jd > NIGHT_JD - 0.5,
    )


def counts_of(flux: Floats, zero_point: Floats) -> Floats:
    """Counts of a flux in nJy, where one count is of the magnitude ``zero_point``."""
    return np.asarray(flux * 10.0 ** (0.4 * (zero_point - ZP_NJY)), np.float64)


def measure(rng: np.random.Generator, exposures: Exposures, flux: Floats, static: Floats) -> Measured:
    """Measure a source in every exposure.

    The variance is that of the background (a fifth of the flux of the limiting magnitude, squared), of the photons
    (F / gain) and of the calibration ((0.01 F)^2).

    Parameters
    ----------
    rng
        Where the noise comes from.
    exposures
        When, and how deep.
    flux
        Of the source minus that in the reference image, nJy.
    static
        Flux in the reference image at its place, nJy, whose photons add noise.
    """
    true = counts_of(flux, exposures.zero_point)
    light = np.maximum(true + counts_of(static, exposures.zero_point), 0.0)
    background = 10.0 ** (0.4 * (exposures.zero_point - exposures.limit)) / _DETECTION
    variance = background**2 + light / GAIN + (_CALIBRATION * true) ** 2
    error = _single(np.sqrt(variance))
    measured = _single(true + error * rng.standard_normal(len(exposures)))
    size = np.maximum(np.abs(measured), 1e-3)
    return Measured(
        true=true,
        flux=measured,
        error=error,
        detected=size > _DETECTION * error,
        mag=exposures.zero_point - FACTOR * np.log(size),
        mag_error=FACTOR * error / size,
    )


def _single(values: Floats) -> Floats:
    """Round to single precision, as a packet holds it."""
    return np.asarray(values, np.float32).astype(np.float64)

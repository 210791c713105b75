"""Magnitudes and fluxes: true nJy (AB zero point 31.4), float64, vectorised.

* Zero points: flux in nJy = 10^(-0.4 (m - 31.4)), since an AB magnitude of 8.90 is 1 Jy (Oke & Gunn 1983)
  x BOOM uses 23.9 (µJy) times 1e9 for ZTF; the same numbers are 1e6 times larger than nJy
* Missing input (NaN), and placeholders such as -999 or 99 for a magnitude, give NaN
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FACTOR",
    "SNR_LIMIT",
    "ZP_NJY",
    "flux_to_mag",
    "forced_to_flux",
    "limit_to_fluxerr",
    "mag_to_flux",
    "snr",
]

#: AB magnitude of 1 nJy: 8.90 (1 Jy) + 22.5.
ZP_NJY = 31.4
#: 2.5 / ln 10: magnitude error of a relative flux error.
FACTOR = 1.0857362047581294
#: A forced flux has a magnitude when it is larger than this many times its error.
SNR_LIMIT = 3.0
#: Magnitudes beyond this are placeholders (-999, -99, 99), not measurements.
_MAG_BOUND = 50.0

Floats = NDArray[np.float64]


def mag_to_flux(mag: ArrayLike, error: ArrayLike, sign: ArrayLike = 1.0) -> tuple[Floats, Floats]:
    """Flux and its error in nJy from an AB magnitude and its error.

    f = 10^(-0.4 (m - 31.4)), e = error / FACTOR * f (BOOM `mag2flux` with the zero point of nJy).

    Parameters
    ----------
    mag, error
        AB magnitude and its error.
    sign
        +1 or -1: whether the difference is positive; the flux takes it, the error does not.

    Returns
    -------
    flux, error : ndarray
        nJy; NaN where the magnitude is missing. An error that is not positive is NaN.
    """
    mags = _magnitudes(mag)
    flux = 10.0 ** (-0.4 * (mags - ZP_NJY))
    sigma = np.asarray(error, np.float64)
    relative = np.where(sigma > 0, sigma, np.nan) / FACTOR
    return flux * np.asarray(sign, np.float64), relative * flux


def flux_to_mag(flux: ArrayLike, error: ArrayLike, zero_point: ArrayLike = ZP_NJY) -> tuple[Floats, Floats]:
    """AB magnitude and its error from a flux and its error; a flux of 1 has magnitude `zero_point`.

    m = -2.5 log10(f) + zero_point, error = FACTOR e / f (BOOM `flux2mag`). NaN unless the flux is positive.
    """
    fluxes = np.asarray(flux, np.float64)
    positive = np.where(fluxes > 0, fluxes, np.nan)
    mag = np.asarray(zero_point, np.float64) - 2.5 * np.log10(positive)
    return mag, FACTOR * np.asarray(error, np.float64) / positive


def limit_to_fluxerr(limit: ArrayLike) -> Floats:
    """Flux error in nJy from a 5-sigma limiting AB magnitude: 10^(-0.4 (m - 31.4)) / 5.

    BOOM `diffmaglim2fluxerr` with the zero point of nJy.
    """
    return 10.0 ** (-0.4 * (_magnitudes(limit) - ZP_NJY)) / 5.0


def forced_to_flux(counts: ArrayLike, zero_point: ArrayLike) -> Floats:
    """Flux in nJy from counts (DN) of an image whose zero point is AB magnitude `zero_point`.

    f = counts 10^((31.4 - zero_point) / 2.5): ZTF's forced photometry (`forcediffimflux`, `magzpsci`).
    """
    return np.asarray(counts, np.float64) * 10.0 ** ((ZP_NJY - _magnitudes(zero_point)) / 2.5)


def snr(flux: ArrayLike, error: ArrayLike) -> Floats:
    """Ratio of the flux's absolute value to its error; NaN where the error is missing or not positive."""
    errors = np.asarray(error, np.float64)
    return np.abs(np.asarray(flux, np.float64)) / np.where(errors > 0, errors, np.nan)


def _magnitudes(values: ArrayLike) -> Floats:
    mags = np.asarray(values, np.float64)
    return np.where(np.abs(mags) < _MAG_BOUND, mags, np.nan)

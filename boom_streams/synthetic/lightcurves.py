"""Light curves of made-up sources: pure functions of time, in days and nJy or magnitudes.

They give the shape that filters and models look for, not a fit of any real source; there is no dust, and no
K-correction but the stretch of time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boom_streams.astro.photometry import FACTOR, ZP_NJY

__all__ = [
    "bazin",
    "distance_modulus",
    "flux_to_mag",
    "mag_to_flux",
    "pulsation",
    "random_walk",
    "tidal_disruption",
]

Floats = NDArray[np.float64]

#: Speed of light over a Hubble constant of 70 km/s/Mpc, Mpc.
_HUBBLE_DISTANCE = 299792.458 / 70.0
#: Deceleration parameter of a flat universe with 30 % matter.
_DECELERATION = -0.55
#: Largest value of sin x + sin(2 x) / 2, at x = 60 degrees.
_HIGHEST = 0.75 * 3**0.5


def mag_to_flux(mag: ArrayLike) -> Floats:
    """Flux of an AB magnitude, nJy: 10^(-0.4 (m - 31.4))."""
    return np.asarray(10.0 ** (-0.4 * (np.asarray(mag, np.float64) - ZP_NJY)), np.float64)


def flux_to_mag(flux: ArrayLike) -> Floats:
    """AB magnitude of a flux in nJy, of its absolute value."""
    return np.asarray(ZP_NJY - FACTOR * np.log(np.abs(np.asarray(flux, np.float64))), np.float64)


def distance_modulus(z: float) -> float:
    """Apparent minus absolute magnitude at a small redshift.

    The luminosity distance is c z / H0 (1 + (1 - q0) z / 2), with H0 = 70 km/s/Mpc and q0 = -0.55 (Weinberg 1972,
    *Gravitation and Cosmology*, section 14.6): within 1 % below z = 0.2.
    """
    megaparsec = _HUBBLE_DISTANCE * z * (1.0 + (1.0 - _DECELERATION) * z / 2.0)
    return float(5.0 * np.log10(megaparsec) + 25.0)


def bazin(days: ArrayLike, peak: float, rise: float, fall: float) -> Floats:
    """Rise and decline of a supernova.

    f(t) = A exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)) (Bazin et al. 2009, A&A 499, 653, eq. 1, without its
    constant). With r = rise / fall, its maximum is A (1 - r) (r / (1 - r))^r at t0 + rise ln(1 / r - 1).

    Parameters
    ----------
    days
        Since the maximum.
    peak
        Flux at the maximum.
    rise, fall
        Days; rise < fall.
    """
    ratio = rise / fall
    scale = peak / ((1.0 - ratio) * (ratio / (1.0 - ratio)) ** ratio)
    since = np.asarray(days, np.float64) + rise * np.log(1.0 / ratio - 1.0)
    return np.asarray(scale * np.exp(-since / fall - np.logaddexp(0.0, -since / rise)), np.float64)


def tidal_disruption(days: ArrayLike, peak: float, rise: float, fallback: float) -> Floats:
    """A star torn apart by a black hole: a Gaussian rise, then the rate at which its gas falls back.

    f(t) = peak exp(-t^2 / (2 rise^2)) before the maximum, peak (1 + t / fallback)^(-5/3) after it (Rees 1988, Nature
    333, 523; the rise as van Velzen et al. 2021, ApJ 908, 4, fit it).

    Parameters
    ----------
    days
        Since the maximum.
    peak
        Flux at the maximum.
    rise, fallback
        Days.
    """
    since = np.asarray(days, np.float64)
    before = np.exp(-((np.minimum(since, 0.0) / rise) ** 2) / 2.0)
    after = (1.0 + np.maximum(since, 0.0) / fallback) ** (-5.0 / 3.0)
    return np.asarray(peak * before * after, np.float64)


def pulsation(days: ArrayLike, period: float, amplitude: float) -> Floats:
    """Magnitudes of a pulsating star about their mean: steep when it brightens, slow when it fades.

    m(t) = -amplitude / 2 (sin x + sin(2 x) / 2) / (3 sqrt(3) / 4) with x = 2 pi t / period: the first two terms of the
    series of a saw tooth; Simon & Teays 1982, ApJ 261, 586, describe RR Lyrae stars by such series.

    Parameters
    ----------
    days
        Of any origin.
    period
        Days.
    amplitude
        From the brightest to the faintest, magnitudes.
    """
    phase = 2.0 * np.pi * np.asarray(days, np.float64) / period
    return np.asarray(-amplitude / 2.0 * (np.sin(phase) + np.sin(2.0 * phase) / 2.0) / _HIGHEST, np.float64)


def random_walk(days: ArrayLike, spread: float, memory: float, normals: ArrayLike) -> Floats:
    """Magnitudes of an active nucleus about their mean: a damped random walk (Kelly et al. 2009, ApJ 698, 895).

    x(t + d) = x(t) exp(-d / memory) + spread sqrt(1 - exp(-2 d / memory)) times a normal number.

    Parameters
    ----------
    days
        In ascending order.
    spread
        Standard deviation, magnitudes.
    memory
        Days.
    normals
        As many independent numbers of mean 0 and standard deviation 1.
    """
    times, kicks = np.asarray(days, np.float64), np.asarray(normals, np.float64)
    kept = np.exp(-np.diff(times, prepend=times[:1]) / memory)
    values = np.empty(len(times))
    last = 0.0
    for index, (keep, kick) in enumerate(zip(kept.tolist(), kicks.tolist(), strict=True)):
        fresh = 1.0 if index == 0 else (1.0 - keep * keep) ** 0.5
        last = (last * keep if index else 0.0) + spread * fresh * kick
        values[index] = last
    return values

"""Stamps of made-up alerts: what the camera sees, the reference image, and their difference.

* Units: counts; pixels of 1.01 arcsec, north up, east to the left; the source is in the middle
* Point sources are Moffat profiles (Moffat 1969, A&A 3, 455) with beta = 3, galaxies Sersic profiles (Sersic 1968;
  Graham & Driver 2005, PASA 22, 118) convolved with the point source's profile
* The reference is matched to the exposure in flux, background and seeing: the difference is science - template, exactly
* FITS images of 63 x 63 single-precision pixels, gzipped; a bad pixel is NaN
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boom_streams.models.images import SIZE
from boom_streams.synthetic.observing import GAIN, PIXEL

__all__ = ["Defect", "Galaxy", "Images", "Scene", "Star", "draw", "fits_gz", "moffat", "sersic"]

#: What is wrong with an image: a star subtracted beside its place, a bad column, or a particle that hit the camera.
Defect = Literal["dipole", "column", "hit"]

_BETA = 3.0
_MIDDLE = (SIZE - 1) // 2
#: Share of the noise of a difference that comes from the reference image, squared.
_REFERENCE_NOISE = 0.2

Image = NDArray[np.float64]
Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Star:
    """A point source in the reference image; arcsec from the middle, counts."""

    east: float
    north: float
    counts: float


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A galaxy in the reference image.

    Attributes
    ----------
    east, north
        Arcsec from the middle.
    counts
        Its whole flux.
    radius
        Radius of half of its light, arcsec.
    index
        Sersic's: 1 exponential (spirals), 4 de Vaucouleurs (ellipticals).
    axes
        Minor over major axis.
    angle
        Of the major axis, from north to east, radians.
    """

    east: float
    north: float
    counts: float
    radius: float
    index: float
    axes: float
    angle: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What an exposure looks at.

    Attributes
    ----------
    counts
        Of the source in the middle, beyond the reference image.
    nearby
        What is in the reference image.
    fwhm
        Pixels.
    sky
        Background, counts a pixel.
    noise
        Error of the flux of a faint point source in the difference, counts.
    defect
        What is wrong; None: nothing.
    """

    counts: float
    nearby: Sequence[Star | Galaxy]
    fwhm: float
    sky: float
    noise: float
    defect: Defect | None = None


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels of an alert's stamps, counts."""

    science: Pixels
    template: Pixels
    difference: Pixels


def draw(rng: np.random.Generator, scene: Scene) -> Images:
    """Draw a scene, with noise."""
    static = _static(scene)
    point = moffat(0.0, 0.0, scene.fwhm)
    seen = static + scene.counts * point
    if scene.defect:
        seen = _spoil(rng, scene, seen)
    pixel = scene.noise * float(np.sqrt(np.sum(point**2)))
    science = _observe(rng, seen, scene.sky, pixel * (1.0 - _REFERENCE_NOISE) ** 0.5)
    template = _observe(rng, static, scene.sky, pixel * _REFERENCE_NOISE**0.5)
    if scene.defect == "column":
        science[:, _MIDDLE + 2] = np.nan
        science[_MIDDLE + 1, _MIDDLE - 1] = np.nan
    return Images(science, template, science - template)


def moffat(east: float, north: float, fwhm: float) -> Image:
    """Point source of one count.

    (beta - 1) / (pi a^2) (1 + r^2 / a^2)^-beta with a = fwhm / (2 sqrt(2^(1 / beta) - 1)), at the pixels' middles.

    Parameters
    ----------
    east, north
        Arcsec from the middle of the stamp.
    fwhm
        Pixels.
    """
    width = fwhm / (2.0 * (2.0 ** (1.0 / _BETA) - 1.0) ** 0.5)
    across, up = _offsets(east, north)
    shape = 1.0 + (across**2 + up**2) / width**2
    return np.asarray((_BETA - 1.0) / (np.pi * width**2) / (shape * shape * shape), np.float64)


def sersic(galaxy: Galaxy) -> Image:
    """Galaxy before seeing, counts.

    exp(-b ((r / radius)^(1 / n) - 1)) with b = 2 n - 1 / 3 (Ciotti & Bertin 1999, A&A 352, 447), scaled to its counts;
    (1/3 pixel)^2 is added to r^2, so that the centre stays finite.
    """
    across, up = _offsets(galaxy.east, galaxy.north)
    sine, cosine = np.sin(galaxy.angle), np.cos(galaxy.angle)
    along, aside = up * cosine - across * sine, (up * sine + across * cosine) / galaxy.axes
    radii = np.sqrt(along**2 + aside**2 + 1.0 / 9.0) * PIXEL / galaxy.radius
    steepness = 2.0 * galaxy.index - 1.0 / 3.0
    light = np.exp(-steepness * (radii ** (1.0 / galaxy.index) - 1.0))
    return np.asarray(light * (galaxy.counts / light.sum()), np.float64)


def fits_gz(image: Pixels) -> bytes:
    """Gzipped FITS file of an image; noise has no repetitions but runs, and looking for these alone is fast."""
    data = np.ascontiguousarray(image, ">f4").tobytes()
    padding = -len(data) % 2880
    packer = zlib.compressobj(4, zlib.DEFLATED, 31, 8, zlib.Z_RLE)
    return packer.compress(_header(image.shape) + data + b"\0" * padding) + packer.flush()


@cache
def _header(shape: tuple[int, ...]) -> bytes:
    """FITS header of an image of single precision, as astropy writes it."""
    from astropy.io.fits import PrimaryHDU

    header = PrimaryHDU(np.zeros(shape, ">f4")).header
    header["BUNIT"] = "DN"
    return bytes(header.tostring().encode("ascii"))


def _static(scene: Scene) -> Image:
    """Light in the reference image."""
    static = np.zeros((SIZE, SIZE))
    galaxies = [sersic(each) for each in scene.nearby if isinstance(each, Galaxy)]
    if galaxies:
        static = _blur(np.sum(galaxies, axis=0), scene.fwhm)
    for star in scene.nearby:
        if isinstance(star, Star):
            static += star.counts * moffat(star.east, star.north, scene.fwhm)
    return static


def _blur(image: Image, fwhm: float) -> Image:
    """Convolve with the profile of a point source."""
    point = np.fft.ifftshift(moffat(0.0, 0.0, fwhm))
    return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * np.fft.rfft2(point), s=image.shape), np.float64)


def _spoil(rng: np.random.Generator, scene: Scene, seen: Image) -> Image:
    if scene.defect == "dipole":
        (star, *_) = (each for each in scene.nearby if isinstance(each, Star))
        moved = moffat(star.east + rng.uniform(0.4, 0.8), star.north + rng.uniform(0.2, 0.5), scene.fwhm)
        return seen + star.counts * (moved - moffat(star.east, star.north, scene.fwhm))
    spoiled = seen.copy()
    if scene.defect == "column":
        spoiled[:, _MIDDLE - 1 : _MIDDLE + 2] += scene.noise * rng.uniform(0.5, 2.0)
    else:
        for step in range(-2, 3):
            spoiled[_MIDDLE + step // 2, _MIDDLE + step] += scene.noise * rng.uniform(3.0, 8.0)
    return spoiled


def _observe(rng: np.random.Generator, light: Image, sky: float, noise: float) -> Pixels:
    """Add sky and noise: of the background, and of the photons of the sources."""
    spread = np.sqrt(noise**2 + np.maximum(light, 0.0) / GAIN)
    return np.asarray(light + sky + spread * rng.standard_normal(light.shape, np.float32), np.float32)


def _offsets(east: float, north: float) -> tuple[Image, Image]:
    """Pixels to the right of, and above, a place in arcsec from the middle; shapes (1, n) and (n, 1)."""
    steps = np.arange(SIZE, dtype=np.float64) - _MIDDLE
    return (steps + east / PIXEL)[np.newaxis, :], (steps - north / PIXEL)[:, np.newaxis]

"""Stamps as the models see them: three 63 x 63 images of an alert, each divided by its norm.

* Stamps: FITS images (gzipped or not) of any header length and pixel type; what is no such image has a reason
* A stamp as its authors prepare it (dmitryduev/braai, dmitryduev/acai, nabeelre/BTSbot): what is not finite is 0, then
  divided by the L2 norm, then padded at the bottom and right with 1e-9
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from boom_streams.astro.fits import Image, pixels
from boom_streams.errors import BadRecord

__all__ = ["CHANNELS", "SIZE", "triplet", "triplets"]

#: Width and height of the models' images, pixels.
SIZE = 63

#: Science, template, difference.
CHANNELS = 3

_PADDING = 1e-9


def triplets(alerts: Sequence[Mapping[str, bytes]], names: Sequence[str]) -> tuple[Image, list[str | None]]:
    """Images of each alert.

    Parameters
    ----------
    alerts
        Stamps of each alert as received, by name.
    names
        Names of the stamps in the order of channels (`boom_streams.surveys.Stamps.names`).

    Returns
    -------
    images : ndarray, shape (n, 63, 63, 3), float32
        Science, template, difference; zeros where there is a reason.
    reasons : list of str or None
        Why an alert has no images.
    """
    images = np.zeros((len(alerts), SIZE, SIZE, CHANNELS), np.float32)
    reasons: list[str | None] = [None] * len(alerts)
    for index, stamps in enumerate(alerts):
        try:
            images[index] = triplet(stamps, names)
        except BadRecord as error:
            reasons[index] = str(error)
    return images, reasons


def triplet(stamps: Mapping[str, bytes], names: Sequence[str]) -> Image:
    """Images of one alert, shape (63, 63, 3).

    Raises
    ------
    BadRecord
        If a stamp is missing, cannot be read, is larger than 63 x 63, or has no pixel other than 0; the text names it.
    """
    image = np.full((SIZE, SIZE, CHANNELS), _PADDING, np.float32)
    for channel, name in enumerate(names):
        stamp = stamps.get(name)
        if not stamp:
            raise BadRecord(f"{name} is missing")
        try:
            values = pixels(stamp)
        except BadRecord as error:
            raise BadRecord(f"{name}: {error}") from None
        height, width = values.shape
        if height > SIZE or width > SIZE:
            raise BadRecord(f"{name} has {width} x {height} pixels; the models take up to {SIZE} x {SIZE}")
        values = np.where(np.isfinite(values), values, np.float32(0))
        with np.errstate(over="ignore", under="ignore"):
            norm = np.linalg.norm(values)  # in single precision, as the authors take it: where it overflows, all is 0
            if not norm:
                raise BadRecord(f"{name} is blank")
            image[:height, :width, channel] = values / norm
    return image

"""Stamps as pictures: FITS images in, greyscale PNGs out.

* Grey levels: 1 (black) to 255 (white); level 0 is transparent and means that the pixel has no value
* Science and template: asinh from a little below the background to the 99.8th percentile
* Difference: asinh, symmetric about 0 (mid-grey), to the 99.8th percentile of the absolute value
* Orientation: north on top and east on the left where the survey says how its pixels lie, else as FITS has it, the
  first row at the bottom
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boom_streams.astro.fits import pixels
from boom_streams.errors import BadRecord
from boom_streams.surveys import Stamps, find_survey

__all__ = ["NAMES", "Bar", "Stamp", "encode_png", "grey_levels", "oriented", "stamps"]

#: The stamps of a filtered record in the order in which they are shown, and what each is called.
NAMES = {"cutoutScience": "Science", "cutoutTemplate": "Template", "cutoutDifference": "Difference"}

#: Of a survey that this program does not know.
_UNKNOWN = Stamps("cutoutScience", "cutoutTemplate", "cutoutDifference")

#: Larger stamps are not shown.
_MOST_PIXELS = 512 * 512
_PERCENTILE = 99.8
_BELOW, _SOFT, _SOFT_DIFFERENCE = 1.5, 3.0, 4.0  # in units of the background's scatter
_LEVELS = 254
#: Scatter of a normal distribution: 1.4826 median absolute deviations.
_MAD = 1.4826
#: Lengths of scale bars, arcsec; a bar is at most so much of the width.
_LENGTHS, _LONGEST = (1, 2, 5, 10, 20, 50, 100, 200, 500), 0.4
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Grey = NDArray[np.uint8]


class Bar(NamedTuple):
    """A scale bar.

    Attributes
    ----------
    share
        Of the picture's width.
    """

    arcsec: int
    share: float


class Stamp(NamedTuple):
    """A picture, or why there is none.

    Attributes
    ----------
    uri
        ``data:`` address of a PNG; empty if there is none.
    blank
        Pixels without a value.
    problem
        Why there is no picture.
    north
        Whether north is on top.
    east
        Whether east is on the left.
    arcsec
        Width and height on the sky; None: not known.
    """

    name: str
    uri: str
    width: int
    height: int
    blank: int
    problem: str
    north: bool = False
    east: bool = False
    arcsec: tuple[float, float] | None = None
    bar: Bar | None = None


def stamps(alert: Mapping[str, Any]) -> list[Stamp]:
    """Pictures of an alert's three stamps."""
    missing = alert.get("cutouts_missing") or "this stamp was not published"
    survey = find_survey(alert["survey"])
    layout = _UNKNOWN if survey is None else survey.stamps
    return [_stamp(key, name, alert.get(key), missing, layout) for key, name in NAMES.items()]


def oriented(values: NDArray[Any], layout: Stamps) -> NDArray[Any]:
    """An image with north on top and east on the left, as far as that is known; the first row is the upper one."""
    upright = values if layout.first_row == "north" else values[::-1]
    return upright[:, ::-1] if layout.first_column == "west" else upright


def _bar(width: float) -> Bar | None:
    """The longest bar that has its place in a picture of some arcsec."""
    arcsec = max((length for length in _LENGTHS if length <= _LONGEST * width), default=None)
    return None if arcsec is None else Bar(arcsec, arcsec / width)


def _stamp(key: str, name: str, data: bytes | None, missing: str, layout: Stamps) -> Stamp:
    if not data:
        return Stamp(name, "", 0, 0, 0, missing)
    try:
        values = pixels(data)
    except BadRecord as error:
        return Stamp(name, "", 0, 0, 0, str(error))
    height, width = values.shape
    if values.size > _MOST_PIXELS:
        return Stamp(name, "", width, height, 0, f"it has {width} × {height} pixels, too many to show here")
    blank = int(np.count_nonzero(~np.isfinite(values)))
    if blank == values.size:
        return Stamp(name, "", width, height, blank, "no pixel has a value")
    grey = grey_levels(values, symmetric=key == "cutoutDifference")
    encoded = base64.b64encode(encode_png(oriented(grey, layout))).decode()
    return Stamp(
        name,
        f"data:image/png;base64,{encoded}",
        width,
        height,
        blank,
        "",
        north=bool(layout.first_row),
        east=bool(layout.first_column),
        arcsec=(width * layout.arcsec, height * layout.arcsec) if layout.arcsec else None,
        bar=_bar(width * layout.arcsec),
    )


def grey_levels(values: NDArray[np.floating[Any]], *, symmetric: bool) -> Grey:
    """Grey levels of an image: 0 where a pixel is not finite, else 1 to 255.

    Parameters
    ----------
    values
        Pixels, any unit; at least one is finite.
    symmetric
        Whether 0 is mid-grey (difference images), or the background nearly black.
    """
    image = np.asarray(values, np.float64)
    finite = np.isfinite(image)
    known = image[finite]
    middle = 0.0 if symmetric else float(np.median(known))
    scatter = _MAD * float(np.median(np.abs(known - np.median(known))))
    distances = np.abs(known) if symmetric else known - middle
    top = float(np.percentile(distances, _PERCENTILE))
    if not top > 0:  # all but a few pixels are alike
        top = float(distances.max())
    if not top > 0:
        top = 1.0
    scatter = scatter or top
    soft = scatter * (_SOFT_DIFFERENCE if symmetric else _SOFT)
    low = -top if symmetric else -min(_BELOW * scatter, top)
    bounds = np.arcsinh(np.array([low, top]) / soft)
    stretched = np.arcsinh(np.where(finite, image - middle, low) / soft)
    fraction = np.clip((stretched - bounds[0]) / (bounds[1] - bounds[0]), 0.0, 1.0)
    return np.where(finite, 1 + np.rint(_LEVELS * fraction), 0).astype(np.uint8)


def encode_png(grey: Grey) -> bytes:
    """PNG of 8-bit greyscale, the first row at the top; level 0 is transparent."""
    height, width = grey.shape
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", b"\0\0"), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

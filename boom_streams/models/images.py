"""Stamps as the models see them: three 63 x 63 images of an alert, each divided by its norm.

* Stamps: FITS images (gzipped or not) of any header length and pixel type; what is no such image has a reason
* A stamp as its authors prepare it (dmitryduev/braai, dmitryduev/acai, nabeelre/BTSbot): what is not finite is 0, then
  divided by the L2 norm, then padded at the bottom and right with 1e-9
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boom_streams.errors import BadRecord

__all__ = ["SIZE", "STAMPS", "Image", "pixels", "triplet", "triplets"]

#: Width and height of the models' images, pixels.
SIZE = 63

#: The stamps of an alert in the models' order of channels.
STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")

_PADDING = 1e-9
_BLOCK, _CARD = 2880, 80
_GZIP, _JPEG = b"\x1f\x8b", b"\xff\xd8"
_MAX_HEADER = 64 * _BLOCK
_MAX_BYTES = 64 << 20
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

Image = NDArray[np.float32]


class _Layout(NamedTuple):
    """Where the pixels of a FITS image are, and what they mean."""

    offset: int
    shape: tuple[int, int]
    dtype: np.dtype[np.generic]
    scale: float
    zero: float
    blank: int | None


def triplets(alerts: Sequence[Mapping[str, bytes]]) -> tuple[Image, list[str | None]]:
    """Images of each alert.

    Parameters
    ----------
    alerts : sequence of mapping
        Stamps of each alert as received, by the names in `STAMPS`.

    Returns
    -------
    images : ndarray, shape (n, 63, 63, 3), float32
        Science, template, difference; zeros where there is a reason.
    reasons : list of str or None
        Why an alert has no images.
    """
    images = np.zeros((len(alerts), SIZE, SIZE, len(STAMPS)), np.float32)
    reasons: list[str | None] = [None] * len(alerts)
    for index, stamps in enumerate(alerts):
        try:
            images[index] = triplet(stamps)
        except BadRecord as error:
            reasons[index] = str(error)
    return images, reasons


def triplet(stamps: Mapping[str, bytes]) -> Image:
    """Images of one alert, shape (63, 63, 3).

    Raises
    ------
    BadRecord
        If a stamp is missing, cannot be read, is larger than 63 x 63, or has no pixel other than 0; the text names it.
    """
    image = np.full((SIZE, SIZE, len(STAMPS)), _PADDING, np.float32)
    for channel, name in enumerate(STAMPS):
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
        values = np.where(np.isfinite(values), values, np.float32(0)).astype(np.float64)
        norm = float(np.linalg.norm(values))
        if not norm:
            raise BadRecord(f"{name} is blank")
        image[:height, :width, channel] = values / norm
    return image


def pixels(stamp: bytes) -> Image:
    """Pixels of a FITS image, gzipped or not: shape (rows, columns), physical values, NaN where there is none.

    A file whose first part is a header alone has its image in the first extension.

    Raises
    ------
    BadRecord
        If it is no FITS image of two dimensions, or ends too early.
    """
    data = _gunzip(stamp) if stamp[:2] == _GZIP else stamp
    if data[:_CARD].split(b"=")[0].rstrip() != b"SIMPLE":
        raise BadRecord("it is no FITS image" + (" but a JPEG" if data[:2] == _JPEG else ""))
    end = _header_end(data, 0)
    start = end if data.startswith(b"XTENSION= 'IMAGE ", end) and _has_no_data(data[:end]) else 0
    layout = _layout(data[start : _header_end(data, start)])
    count = layout.shape[0] * layout.shape[1]
    first = start + layout.offset
    if len(data) < first + count * layout.dtype.itemsize:
        raise BadRecord("the image ends too early")
    raw = np.frombuffer(data, layout.dtype, count, first).reshape(layout.shape)
    if layout.dtype.kind == "f" and layout.scale == 1 and layout.zero == 0:
        return raw.astype(np.float32)
    values = raw.astype(np.float64) * layout.scale + layout.zero
    if layout.blank is not None:
        values[raw == layout.blank] = np.nan
    return values.astype(np.float32)


def _gunzip(stamp: bytes) -> bytes:
    decompressor = zlib.decompressobj(31)
    try:
        data = decompressor.decompress(stamp, _MAX_BYTES)
    except zlib.error as error:
        raise BadRecord(f"it cannot be gunzipped: {error}") from None
    if not decompressor.eof:
        raise BadRecord("it cannot be gunzipped: it ends too early, or is very large")
    return data


def _header_end(data: bytes, start: int) -> int:
    """Where the header that starts there ends, a whole number of blocks."""
    for at in range(start, min(len(data), start + _MAX_HEADER), _BLOCK):
        block = data[at : at + _BLOCK]
        if any(block[card : card + 8] == b"END     " for card in range(0, len(block), _CARD)):
            return at + _BLOCK
    raise BadRecord("its FITS header has no end")


@lru_cache(maxsize=1024)
def _layout(header: bytes) -> _Layout:
    """Read a header; stamps of one night have few different ones."""
    cards = _cards(header)
    try:
        if int(cards["NAXIS"]) != 2:
            raise BadRecord(f"it has {int(cards['NAXIS'])} dimensions, not 2")
        width, height, bits = (int(cards[name]) for name in ("NAXIS1", "NAXIS2", "BITPIX"))
        scale, zero = (_number(cards.get(name, default)) for name, default in (("BSCALE", b"1"), ("BZERO", b"0")))
        blank = int(cards["BLANK"]) if "BLANK" in cards and bits > 0 else None
        dtype = np.dtype(_TYPES[bits])
    except (KeyError, ValueError) as error:
        raise BadRecord(f"its FITS header is wrong: {error}") from None
    if width < 1 or height < 1 or width * height * dtype.itemsize > _MAX_BYTES:
        raise BadRecord(f"it has {width} x {height} pixels")
    return _Layout(len(header), (height, width), dtype, scale, zero, blank)


def _has_no_data(header: bytes) -> bool:
    return _cards(header).get("NAXIS") == b"0"


def _cards(header: bytes) -> dict[str, bytes]:
    """Values by keyword; of a keyword that is there twice the first."""
    cards: dict[str, bytes] = {}
    for at in range(0, len(header), _CARD):
        keyword, mark, value = header[at : at + 8], header[at + 8 : at + 10], header[at + 10 : at + _CARD]
        if keyword == b"END     ":
            break
        if mark == b"= ":
            cards.setdefault(keyword.decode("ascii", "replace").rstrip(), value.partition(b"/")[0].strip())
    return cards


def _number(text: bytes) -> float:
    return float(text.replace(b"D", b"E"))

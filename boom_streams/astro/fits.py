"""FITS images of stamps, gzipped or not: their pixels, or the reason why there are none."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boom_streams.errors import BadRecord

__all__ = ["Image", "pixels"]

_BLOCK, _CARD = 2880, 80
_GZIP, _JPEG = b"\x1f\x8b", b"\xff\xd8"
_MAX_HEADER = 64 * _BLOCK
_MAX_BYTES = 8 << 20  # of the file, gunzipped
_MAX_PIXELS = 1 << 20
_MAX_MEMBERS = 64  # of a gzip file
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
    with np.errstate(over="ignore", invalid="ignore"):  # what a float32 cannot hold is infinite
        if layout.dtype.kind == "f" and layout.scale == 1 and layout.zero == 0:
            return raw.astype(np.float32)
        values = raw.astype(np.float64) * layout.scale + layout.zero
        if layout.blank is not None:
            values[raw == layout.blank] = np.nan
        return values.astype(np.float32)


def _gunzip(stamp: bytes) -> bytes:
    """Gunzip all members of a file; what follows them and is none is passed over."""
    parts, room, rest = [], _MAX_BYTES, stamp
    for _ in range(_MAX_MEMBERS):
        decompressor = zlib.decompressobj(31)
        try:
            parts.append(decompressor.decompress(rest, room))
        except zlib.error as error:
            raise BadRecord(f"it cannot be gunzipped: {error}") from None
        if not decompressor.eof:
            raise BadRecord(f"it cannot be gunzipped: it ends too early, or has more than {_MAX_BYTES} bytes")
        rest, room = decompressor.unused_data, room - len(parts[-1])
        if rest[:2] != _GZIP:
            return b"".join(parts)
        room = max(room, 1)  # 0 would be no limit
    raise BadRecord(f"it cannot be gunzipped: it has more than {_MAX_MEMBERS} parts")


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
    if width < 1 or height < 1 or width * height > _MAX_PIXELS:
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

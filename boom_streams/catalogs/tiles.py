"""Packed tiles: the sources of a catalogue in one HEALPix cell, and those within the search radius around it.

A packed tile is one BSON document.

* ``ra``, ``dec``: positions, ICRS degrees; packed little-endian 64-bit floats
* ``key``: values of the catalogue's ``distance_key``, NaN where there is none; only in mode `distance`
* ``ends``: where each row ends in ``rows``; packed little-endian 32-bit unsigned integers
* ``rows``: what a match shows of each source, one BSON document after the other

Sources are in the order in which they were imported: by file as named, then by row. So the same catalogue has the
same tiles, byte for byte, and sources at equal separation are always found in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bson
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Tile", "pack", "unit_vectors"]

_FLOAT, _END = np.dtype("<f8"), np.dtype("<u4")


def pack(ra: ArrayLike, dec: ArrayLike, rows: Sequence[bytes], key: ArrayLike | None = None) -> bytes:
    """Pack sources into a tile.

    Parameters
    ----------
    ra, dec : array_like, shape (n,)
        ICRS degrees.
    rows : sequence of bytes
        BSON document of each source: what a match shows of it.
    key : array_like, shape (n,), optional
        Values of the column ``distance_key``, NaN where there is none; None in mode `nearest`.
    """
    document = {"ra": _packed(ra, _FLOAT), "dec": _packed(dec, _FLOAT)}
    if key is not None:
        document["key"] = _packed(key, _FLOAT)
    document["ends"] = _packed(np.cumsum([len(row) for row in rows], dtype=np.int64), _END)
    document["rows"] = b"".join(rows)
    return bson.encode(document)


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Sources in a tile and within the search radius around it; rows stay packed until they are asked for."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    vectors: NDArray[np.float64]
    """Unit vectors, shape (n, 3)."""
    key: NDArray[np.float64] | None
    """Values of ``distance_key``, NaN where there is none; None in mode `nearest`."""
    ends: NDArray[np.uint32]
    rows: bytes

    @classmethod
    def unpack(cls, data: bytes) -> Tile:
        """Make a tile of what `pack` has made."""
        document = bson.decode(data)
        ra, dec = np.frombuffer(document["ra"], _FLOAT), np.frombuffer(document["dec"], _FLOAT)
        key = np.frombuffer(document["key"], _FLOAT) if "key" in document else None
        return cls(ra, dec, unit_vectors(ra, dec), key, np.frombuffer(document["ends"], _END), document["rows"])

    @classmethod
    def empty(cls) -> Tile:
        """A tile without sources, for which the archive has no document."""
        return cls.unpack(pack([], [], [], []))

    def __len__(self) -> int:
        """Count the sources."""
        return len(self.ra)

    def row(self, place: int) -> dict[str, Any]:
        """What a match shows of a source; values that are missing are left out."""
        start = self.ends.item(place - 1) if place else 0
        return bson.decode(self.rows[start : self.ends.item(place)])


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.float64]:
    """Unit vectors of positions in degrees, shape (n, 3)."""
    lon, lat = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _packed(values: ArrayLike, dtype: np.dtype[Any]) -> bytes:
    return np.asarray(values, dtype).tobytes()

"""Packed tiles: the sources of a catalogue in one HEALPix cell, and those within the search radius around it.

A packed tile is one BSON document.

* ``v``, ``columns``: version of this format, and fingerprint of the packed columns
* ``ra``, ``dec``: positions, ICRS degrees; packed little-endian 64-bit floats
* ``key``: values of the catalogue's ``distance_key``, NaN where there is none; only in mode `distance`
* ``ends``: where each row ends in ``rows``; packed little-endian 32-bit unsigned integers
* ``rows``: what a match shows of each source, one BSON document after the other

Sources are in the order in which they were imported: by file as named, then by row. So the same catalogue has the
same tiles, byte for byte, and sources at equal separation are always found in the same order.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bson
import numpy as np
from numpy.typing import NDArray

from boom_streams.errors import FormatError
from boom_streams.schema import formats

__all__ = ["Tile", "pack"]

_FLOAT, _END = np.dtype("<f8"), np.dtype("<u4")
_VERSION = formats.TILE.version
_MARK = formats.fingerprint({"sources": np.dtype([("ra", _FLOAT), ("dec", _FLOAT), ("key", _FLOAT), ("end", _END)])})
_STATED = {"v": _VERSION, "columns": _MARK}


def pack(ra: Iterable[float], dec: Iterable[float], rows: Sequence[bytes], key: Iterable[float] | None = None) -> bytes:
    """Pack sources into a tile.

    Parameters
    ----------
    ra, dec
        ICRS degrees.
    rows
        BSON document of each source: what a match shows of it.
    key
        Values of the column ``distance_key``, NaN where there is none; None in mode `nearest`.
    """
    columns = {"ra": ra, "dec": dec} if key is None else {"ra": ra, "dec": dec, "key": key}
    floats, ends = struct.Struct(f"<{len(rows)}d"), itertools.accumulate(map(len, rows))
    document = {name: floats.pack(*column) for name, column in columns.items()}
    return bson.encode({**_STATED, **document, "ends": struct.pack(f"<{len(rows)}I", *ends), "rows": b"".join(rows)})


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """Sources in a tile and within the search radius around it; rows stay packed until they are asked for.

    Attributes
    ----------
    positions
        Right ascensions and declinations, ICRS degrees, shape (2, n).
    key
        Values of ``distance_key``, NaN where there is none; None in mode `nearest`.
    """

    positions: NDArray[np.float64]
    key: NDArray[np.float64] | None
    ends: NDArray[np.uint32]
    rows: bytes

    @classmethod
    def unpack(cls, data: bytes) -> Tile:
        """Make a tile of what `pack` has made, in this release or in release 0.1.0, which packed the same columns.

        Raises
        ------
        FormatError
            If a newer release made it.
        """
        document = bson.decode(data)
        if (version := document.get("v", 1)) != 1 and (version, document.get("columns")) != (_VERSION, _MARK):
            formats.TILE.check(version)
            raise FormatError(f"a catalogue's tile has columns {document.get('columns')}; {formats.UPGRADE}")
        positions = np.frombuffer(document["ra"] + document["dec"], _FLOAT).reshape(2, -1)
        key = np.frombuffer(document["key"], _FLOAT) if "key" in document else None
        return cls(positions, key, np.frombuffer(document["ends"], _END), document["rows"])

    @property
    def nbytes(self) -> int:
        """Bytes in memory, about."""
        return 500 + 28 * len(self) + len(self.rows)

    def __len__(self) -> int:
        """Count the sources."""
        return len(self.ends)

    def row(self, place: int) -> bytes:
        """BSON document of a source: what a match shows; values that are missing are left out."""
        start = self.ends.item(place - 1) if place else 0
        return self.rows[start : self.ends.item(place)]

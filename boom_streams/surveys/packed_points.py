"""Light-curve points as packed columns: numpy structured arrays, 150 to 250 bytes a point.

* Missing values: NaN for floats, the smallest value for integers, no bytes for texts
* A text that is longer than its column is missing
* Nullable booleans are ``i1`` columns
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boom_streams.errors import BadRecord

__all__ = [
    "Points",
    "columns",
    "convert",
    "drop_infinities",
    "dumps",
    "empty",
    "from_columns",
    "loads",
    "missing",
    "pack",
    "texts",
]

#: A structured array, one element a point.
Points = NDArray[np.void]


def missing(dtype: np.dtype[Any]) -> Any:
    """Give the value that stands for none in a column of this dtype."""
    if dtype.kind == "f":
        return np.nan
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min)
    if dtype.kind == "S":
        return b""
    raise TypeError(f"points cannot have a column of {dtype}")


def empty(count: int, dtype: np.dtype[Any]) -> Points:
    """Points whose every value is missing."""
    return np.full(count, _blank(dtype), dtype)


def columns(
    points: Sequence[Mapping[str, Any]], names: Sequence[str], *, alike: bool = False
) -> dict[str, Sequence[Any]]:
    """Values of each named field over the points, None where a point has none.

    With `alike`, all points must have the fields of the first (as those of one Avro schema do): names that it
    lacks are left out, which is faster.
    """
    if not points:
        return {}
    present = [name for name in names if name in points[0]] if alike else list(names)
    if len(present) > 1:
        take = itemgetter(*present)
        try:
            return dict(zip(present, zip(*map(take, points), strict=True), strict=True))
        except KeyError:
            pass
    return {name: [point.get(name) for point in points] for name in present}


def from_columns(values: Mapping[str, Sequence[Any]], count: int, dtype: np.dtype[Any]) -> Points:
    """Pack columns of Python values; columns that `dtype` lacks are ignored.

    Raises
    ------
    BadRecord
        If a value does not fit its column; the text names the column.
    """
    packed = empty(count, dtype)
    if count:
        for name, kind in _kinds(dtype):
            column = values.get(name)
            if column is not None:
                packed[name] = _convert(name, column, kind)
    return packed


def texts(values: Sequence[str | bytes | None], kind: np.dtype[Any]) -> NDArray[Any]:
    """A column of texts; one that is longer than the column is missing: a part of a name is another name."""
    encoded = [_bytes(value) for value in values]
    if max(map(len, encoded), default=0) > kind.itemsize:
        encoded = [text if len(text) <= kind.itemsize else b"" for text in encoded]
    return np.array(encoded, kind)


def pack(points: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> Points:
    """Pack points given as dictionaries; what a point lacks is missing, what `dtype` lacks is ignored.

    Raises
    ------
    BadRecord
        If a value does not fit its column; the text names the column.
    """
    return from_columns(columns(points, dtype.names or ()), len(points), dtype)


def drop_infinities(points: Points) -> None:
    """Make infinite values missing, in place."""
    for name, kind in _kinds(points.dtype):
        if kind.kind == "f":
            column = points[name]
            column[np.isinf(column)] = np.nan


def dumps(points: Points) -> bytes:
    """Bytes of packed points; `loads` with the same dtype reads them."""
    return points.tobytes()


def loads(data: bytes, dtype: np.dtype[Any]) -> Points:
    """Packed points from their bytes, without a copy (read-only).

    Raises
    ------
    BadRecord
        If the bytes are not a whole number of points.
    """
    if len(data) % dtype.itemsize:
        raise BadRecord(f"{len(data)} bytes are no whole number of points of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype)


def convert(points: Points, dtype: np.dtype[Any]) -> Points:
    """Points with other columns: those of the same name, and what is new is missing; never narrower ones.

    Raises
    ------
    TypeError
        If a column cannot hold every value that it had.
    """
    if points.dtype == dtype:
        return points
    found = empty(len(points), dtype)
    known = dict(_kinds(points.dtype))
    for name, kind in _kinds(dtype):
        old = known.get(name)
        if old is None:
            continue
        if not np.can_cast(old, kind, "safe"):
            raise TypeError(f"column {name} was {old} and cannot become {kind}")
        found[name] = points[name]
        if old != kind and old.kind in "iu":
            found[name][points[name] == missing(old)] = missing(kind)
    return found


@lru_cache(maxsize=64)
def _kinds(dtype: np.dtype[Any]) -> tuple[tuple[str, np.dtype[Any]], ...]:
    return tuple((name, dtype[name]) for name in dtype.names or ())


@lru_cache(maxsize=64)
def _blank(dtype: np.dtype[Any]) -> Any:
    return np.array(tuple(missing(kind) for _, kind in _kinds(dtype)), dtype)


def _convert(name: str, values: Sequence[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    try:
        if kind.kind == "f":
            return np.fromiter(values, kind, len(values))
        if kind.kind == "S":
            return texts(values, kind)
        try:
            return np.fromiter(values, kind, len(values))
        except TypeError:  # None among them
            none = missing(kind)
            return np.fromiter([none if value is None else value for value in values], kind, len(values))
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRecord(f"a value of {name} does not fit {kind}: {error}") from None


def _bytes(value: str | bytes | None) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value or b""

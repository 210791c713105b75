"""ZTF packets that were decoded together: from columns to rows and packed histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from boom_streams.avro.logical import Convert
from boom_streams.errors import BadRecord
from boom_streams.surveys import packed_points
from boom_streams.surveys.checks import MAX_POINTS
from boom_streams.surveys.ztf.series import SERIES, Histories

__all__ = ["column_histories", "packet_rows"]

_SCALARS = ("objectId", "alertId", "candid", "schemavsn", "publisher")
_CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def packet_rows(table: pl.DataFrame, convert: Convert | None = None) -> list[dict[str, Any]]:
    """Packets as dictionaries, without their histories; logical types are converted by `convert`."""
    names = [name for name in (*_SCALARS, *_CUTOUTS) if name in table.columns]
    rows: list[dict[str, Any]] = table.select(names).to_dicts()
    candidates: list[dict[str, Any]] = table["candidate"].struct.unnest().to_dicts()
    for row, candidate in zip(rows, candidates, strict=True):
        row["candidate"] = candidate
        if convert is not None:
            convert(row)
    return rows


def column_histories(table: pl.DataFrame, series: str) -> Histories:
    """Pack a history of all packets.

    Raises
    ------
    BadRecord
        If some point does not fit its column, or is not of the series: it must be looked at by itself.
    """
    dtype = SERIES[series].dtype
    if series not in table.columns:
        return packed_points.empty(0, dtype), np.empty(0, np.int64)
    lists = table[series]
    counts = lists.list.len().fill_null(0).to_numpy()
    if counts.max(initial=0) > MAX_POINTS:
        raise BadRecord(f"{series} is too long")
    owner = np.repeat(np.arange(len(table)), counts)
    if not len(owner):
        return packed_points.empty(0, dtype), owner
    flat = lists.filter(pl.Series(counts > 0)).explode().struct.unnest()
    if flat.height != len(owner) or (series == "prv_candidates" and "forcediffimflux" in flat.columns):
        raise BadRecord(f"{series} holds something else than its points")
    packed = packed_points.empty(len(owner), dtype)
    for name in dtype.names or ():
        if name in flat.columns:
            packed[name] = _column(flat[name], name, dtype[name])
    packed_points.drop_infinities(packed)
    return packed, owner


def _column(values: pl.Series, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    if name == "isdiffpos" and values.dtype == pl.String:
        values = values.str.to_lowercase().is_in(["t", "true", "1"]).cast(pl.Int8)
    if dtype.kind == "f" and values.dtype.is_float():
        return values.to_numpy()
    if dtype.kind == "i" and values.dtype.is_integer():
        bounds = np.iinfo(dtype)
        low, high = values.min(), values.max()
        if low is not None and not bounds.min < int(low) <= int(high) <= bounds.max:  # type: ignore[arg-type]
            raise BadRecord(f"{name} does not fit its column")
        return values.fill_null(int(bounds.min)).to_numpy()
    if dtype.kind == "S" and values.dtype == pl.String:
        if name == "ssnamenr":
            values = values.replace("null", None)
        return packed_points.texts(values.to_list(), dtype)
    raise BadRecord(f"{name} has type {values.dtype}")

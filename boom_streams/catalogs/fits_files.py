"""FITS files: their first table, read in slices."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from boom_streams.errors import CatalogError

__all__ = ["fits_batches", "fits_schema"]

#: Rows at once.
_ROWS = 20_000


def fits_schema(path: Path) -> tuple[pa.Schema, dict[str, dict[str, str]]]:
    """Find the columns of the first table of a FITS file, and what the file says of them: ``unit`` and ``ucd``.

    Raises
    ------
    CatalogError
        If there is no table, or a column holds what no catalogue has.
    """
    with _table(path) as table:
        about: dict[str, dict[str, str]] = {}
        for number, column in enumerate(table.columns, 1):
            said = {"unit": column.unit, "ucd": table.header.get(f"TUCD{number}")}
            if known := {key: str(value) for key, value in said.items() if value}:
                about[column.name] = known
        return _batch(path, table, slice(0, _ROWS)).schema, about


def fits_batches(path: Path, schema: pa.Schema, tell: Callable[[int], None]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the first table in their order."""
    size = path.stat().st_size
    with _table(path) as table:
        rows = len(table.data)
        for start in range(0, rows, _ROWS):
            yield _batch(path, table, slice(start, start + _ROWS), schema)
            tell(size * min(rows, start + _ROWS) // rows)


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    with fits.open(path, memmap=not path.name.lower().endswith(".gz")) as parts:
        yield _first_table(path, parts)


def _first_table(path: Path, parts: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        warnings.filterwarnings("error", ".*truncated", AstropyWarning)
        try:
            table = next((part for part in parts if isinstance(part, fits.BinTableHDU | fits.TableHDU)), None)
            if table is not None and table.data is not None:
                return table
        except AstropyWarning as error:
            raise CatalogError(f"{path}: cannot be read: {error}; get the file again") from None
    raise CatalogError(f"{path}: there is no table in this FITS file")


def _batch(path: Path, table: Any, rows: slice, schema: pa.Schema | None = None) -> pa.RecordBatch:
    part, columns = table.data[rows], {}
    for column in table.columns:
        kind = None if schema is None else schema.field(column.name).type
        try:
            columns[column.name] = _values(part.field(column.name), column, kind)
        except (pa.ArrowException, NotImplementedError) as error:
            raise CatalogError(
                f"{path}: column {column.name} ({column.format}) cannot be read: {error}; remove it"
            ) from None
    return pa.RecordBatch.from_pydict(columns)


def _values(values: Any, column: Any, kind: pa.DataType | None) -> pa.Array:
    """Values of a column; texts without anything and integers that stand for nothing are null."""
    if values.dtype == object:  # of variable length
        lists = [_native(np.asarray(each)) for each in values]
        inner = pa.from_numpy_dtype(lists[0].dtype) if lists else pa.null()
        return pa.array([each.tolist() for each in lists], kind or pa.list_(inner))
    if values.dtype.kind in "SU":
        if values.ndim > 1:
            return pa.array(np.asarray(values).astype(str).tolist(), kind or pa.list_(pa.string()))
        return pa.array([text.rstrip(" \0") or None for text in np.asarray(values).astype(str).tolist()], pa.string())
    native = _native(np.asarray(values))
    if native.ndim > 1:
        flat = native.reshape(len(native), math.prod(native.shape[1:]))
        return pa.array(flat.tolist(), kind or pa.list_(pa.from_numpy_dtype(native.dtype)))
    absent = None if column.null is None or native.dtype.kind not in "iu" else native == _scaled(column)
    return pa.array(native, mask=absent)


def _native(values: Any) -> Any:
    """Values in the byte order of this machine: a FITS file's are big-endian."""
    return values.astype(values.dtype.newbyteorder("="))


def _scaled(column: Any) -> int:
    """The value that stands for nothing, as the values are given."""
    return int(column.null * (column.bscale or 1) + (column.bzero or 0))

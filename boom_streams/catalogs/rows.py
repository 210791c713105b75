"""Rows of a catalogue's file: documents for people, what a match shows, and what is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from boom_streams.astro import sky
from boom_streams.catalogs.columns import Columns, stored_type
from boom_streams.catalogs.reader import Source
from boom_streams.crossmatch.description import Catalog
from boom_streams.errors import CatalogError

__all__ = ["Rejected", "Rows", "read_rows"]

Floats = NDArray[np.float64]

_NO_POSITION, _OUT_OF_RANGE, _NO_ID = "no position", "position out of range", "no id"


@dataclass(slots=True)
class Rejected:
    """Rows that are left out, by reason, and where the first of each is."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows that are left out."""
        return sum(self.counts.values())

    def add(self, reason: str, rows: NDArray[np.int64], source: Source) -> None:
        """Count rows of a file."""
        if len(rows):
            self.counts[reason] = self.counts.get(reason, 0) + len(rows)
            self.first.setdefault(reason, source.place(int(rows[0])))

    def __str__(self) -> str:
        """Say what was left out, for a person."""
        return "; ".join(
            f"{count} {'row' if count == 1 else 'rows'}: {reason} (first: {self.first[reason]})"
            for reason, count in sorted(self.counts.items())
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Sources of a batch, those that are rejected left out.

    Attributes
    ----------
    places
        Their rows in the file, from 0.
    key
        Values of ``distance_key``; None in mode `nearest`.
    documents
        Everything known of each source.
    """

    places: NDArray[np.int64]
    ra: Floats
    dec: Floats
    key: Floats | None
    documents: list[dict[str, Any]]

    def shown(self, catalog: Catalog) -> list[dict[str, Any]]:
        """What a match shows of each source."""
        if not catalog.projection:
            return [{k: v for k, v in document.items() if k != "coordinates"} for document in self.documents]
        names = dict.fromkeys(("_id", "ra", "dec", *catalog.projection))
        return [{name: document[name] for name in names if name in document} for document in self.documents]


def read_rows(
    source: Source,
    batch: pa.RecordBatch,
    columns: Columns,
    catalog: Catalog,
    rejected: Rejected,
    *,
    start: int,
    numbered_from: int,
) -> Rows:
    """Make documents of the rows of a batch; missing values and NaN are left out.

    Parameters
    ----------
    source, batch, columns, catalog
        The file, some rows of it, and what they are.
    rejected
        Rows without a usable position or an id are counted here.
    start
        Place of the first row in the file.
    numbered_from
        Place of the first row in all files, which names sources that have no id.
    """
    ra, dec = _numbers(batch, columns.ra), _numbers(batch, columns.dec)
    unknown = ~(np.isfinite(ra) & np.isfinite(dec))
    outside = ~unknown & ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
    nameless = np.zeros(len(ra), bool)
    if columns.id is not None:
        nameless = batch.column(columns.id).is_null().to_numpy(zero_copy_only=False) & ~unknown & ~outside
    for reason, mask in ((_NO_POSITION, unknown), (_OUT_OF_RANGE, outside), (_NO_ID, nameless)):
        rejected.add(reason, np.flatnonzero(mask) + start, source)
    good = np.flatnonzero(~(unknown | outside | nameless))
    ra, dec = ra[good] % 360.0, dec[good]
    key = None if catalog.distance_key is None else _numbers(batch, catalog.distance_key)[good]
    records = _stored(source, batch, columns).take(pa.array(good)).to_pylist()
    numbers = (good + numbered_from + 1).tolist()
    ids = numbers if columns.id is None else [record[columns.id] for record in records]
    documents = [
        _document(identity, record, position)
        for identity, record, position in zip(ids, records, _positions(ra, dec), strict=True)
    ]
    return Rows(good + start, ra, dec, key, documents)


def _document(identity: Any, record: Mapping[str, Any], position: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in record.items() if value is not None and value == value}
    return {**values, "_id": identity, **position}


def _positions(ra: Floats, dec: Floats) -> list[dict[str, Any]]:
    lon, lat = ra.tolist(), dec.tolist()
    return [
        {"ra": east, "dec": north, "coordinates": coordinates}
        for east, north, coordinates in zip(lon, lat, sky.coordinates(lon, lat), strict=True)
    ]


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    """Values of a column, NaN where there is none."""
    column = batch.column(name).cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _stored(source: Source, batch: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """The columns that are stored, in types that BSON has."""
    names = [name for name in columns.stored if name in batch.schema.names]
    return pa.RecordBatch.from_arrays([_cast(source, batch, name) for name in names], names=names)


def _cast(source: Source, batch: pa.RecordBatch, name: str) -> pa.Array:
    kind = stored_type(source, name)
    try:
        return batch.column(name).cast(kind, safe=not pa.types.is_timestamp(kind))
    except pa.ArrowInvalid as error:
        raise CatalogError(f"{source.path}: column {name} cannot be stored as {kind}: {error}") from None

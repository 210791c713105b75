"""The light curves of a survey's objects: which of their columns say what everybody asks of a point.

Every point has a time (`jd`, Julian date in UTC), a band, a flux error in nJy and rights; a detection and forced
photometry have a flux besides, and a detection has its alert's `candid` where that is known. What else there is, and
how the columns are called, is the survey's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from boom_streams.astro import photometry
from boom_streams.surveys import packed_points
from boom_streams.surveys.packed_points import Points

__all__ = ["Mask", "Role", "Series"]

#: What the points of a series are: measured as alerts, not seen down to a limit, or measured where an object is known.
Role: TypeAlias = Literal["detection", "limit", "forced"]

Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]


_NO_CANDID = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, eq=False)
class Series:
    """One of the light curves of an object. Its points are packed as `dtype` says.

    Parameters
    ----------
    name
        Field of ``<SURVEY>_alerts_aux``, and of the documents that filters see.
    role
        What its points are.
    dtype
        Columns. ``jd`` is among them; ``candid``, ``ra`` and ``dec`` (ICRS, degrees) are if the packets have them.
    bands
        Name of each band, by its value in the column `band`, in the order in which ties in time are resolved.
    band
        Column of the band: ``band`` if it holds the names themselves, any other if it holds codes.
    flux, flux_error
        Columns in nJy; a series of limits has no flux, and a fifth of its limiting flux as its error.
    snr
        Column of the flux's absolute value over its error; empty: it is computed.
    magnitude, magnitude_error
        Columns of the AB magnitude of the flux's absolute value; empty: they are computed.
    key
        Columns that together tell a point without candid from others: ``jd``, the band, and what else it takes.
    booleans
        Columns that are booleans stored as integers.
    usable
        Which points are good enough for statistics; None: all of them.
    """

    name: str
    role: Role
    dtype: np.dtype[Any]
    bands: Mapping[Any, str]
    band: str = "band"
    flux: str = ""
    flux_error: str = ""
    snr: str = ""
    magnitude: str = ""
    magnitude_error: str = ""
    key: tuple[str, ...] = ("jd", "band")
    booleans: frozenset[str] = frozenset()
    usable: Callable[[Points], Mask] | None = None
    columns: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", frozenset(self.dtype.names or ()))
        named = {self.flux, self.flux_error, self.snr, self.magnitude, self.magnitude_error} - {""}
        lacking = {"jd", self.band, *self.key, *self.booleans, *named} - self.columns
        if lacking:
            raise ValueError(f"{self.name} has no column {', '.join(sorted(lacking))}")
        if not self.flux_error:
            raise ValueError(f"{self.name} does not say which column is the flux's error")
        if self.key[:2] != ("jd", self.band):
            raise ValueError(f"the key of {self.name} begins with {self.key[:2]}, not with jd and {self.band}")
        if self.band == "band" and any(value != name.encode() for value, name in self.bands.items()):
            raise ValueError(f"the column band of {self.name} must hold the bands' names")
        if self.role == "detection" and not {"candid", "ra", "dec"} <= self.columns:
            raise ValueError(f"{self.name} is of detections, and lacks candid, ra or dec")

    @cached_property
    def has_candid(self) -> bool:
        """Whether points can have the candid of an alert."""
        return "candid" in self.columns

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Columns by which points are sorted: time, band, candid (if they have it), and what else is in the key."""
        return (*self.key[:2], *(("candid",) if self.has_candid else ()), *self.key[2:])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the bands, in their order."""
        return tuple(self.bands.values())

    @cached_property
    def ranks(self) -> Mapping[Any, int]:
        """Place of each band, by its value in the column."""
        return {value: rank for rank, value in enumerate(self.bands)}

    @cached_property
    def fields(self) -> frozenset[str]:
        """Fields of the points' documents: the columns, and the name of the ``band``."""
        return self.columns | {"band"}

    def empty(self) -> Points:
        """No points."""
        return packed_points.empty(0, self.dtype)

    def arranged(self, points: Points) -> Points:
        """Points of one packet in their order; of those with one identity the last given stays."""
        columns = {name: points[name].tolist() for name in self.order}
        keys = zip(*(columns[name] for name in self.key), strict=True)
        candids = columns["candid"] if self.has_candid else [_NO_CANDID] * len(points)
        last: dict[Any, int] = {
            key if candid == _NO_CANDID else candid: place
            for place, (candid, key) in enumerate(zip(candids, keys, strict=True))
        }
        orders = list(zip(*columns.values(), strict=True))
        return points[sorted(last.values(), key=orders.__getitem__)]

    def band_names(self, points: Points) -> list[str | None]:
        """Name of the band of each point; None where it is none of the survey's."""
        return [self.bands.get(value) for value in points[self.band].tolist()]

    def magnitudes(self, points: Points) -> tuple[NDArray[Any], NDArray[Any]]:
        """AB magnitudes of the fluxes' absolute values, and their errors; NaN where there is none."""
        if self.magnitude:
            return points[self.magnitude], points[self.magnitude_error]
        return photometry.flux_to_mag(np.abs(points[self.flux]), points[self.flux_error])

    def ratios(self, points: Points) -> NDArray[Any]:
        """Signal-to-noise ratios of the fluxes' absolute values; NaN where there is none."""
        return points[self.snr] if self.snr else photometry.snr(points[self.flux], points[self.flux_error])

    def loads(self, data: bytes) -> Points:
        """Points from their bytes, without a copy (read-only); `BadRecord` if they are no whole number of points."""
        return packed_points.loads(data, self.dtype)

    def to_documents(self, points: Points, fields: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Documents of Python values, one a point, without what is missing, and with the name of the ``band``.

        Parameters
        ----------
        points
            Packed points.
        fields
            Only these fields.
        """
        if not len(points):
            return []
        wanted = None if fields is None else frozenset(fields)
        names, absent, texts, truths = _document_plan(self, wanted)
        named = wanted is None or "band" in wanted
        marks = self.band_names(points) if named else [None] * len(points)
        rows = points.tolist() if wanted is None else points[list(names)].tolist() if names else [()] * len(points)
        documents = []
        for row, band in zip(rows, marks, strict=True):
            document = {
                name: value
                for name, value, none in zip(names, row, absent, strict=True)
                if value == value and value != none
            }
            for name in texts:
                if name in document:
                    document[name] = document[name].decode()
            for name in truths:
                if name in document:
                    document[name] = document[name] == 1
            if band is not None:
                document["band"] = band
            documents.append(document)
        return documents

    def from_documents(self, documents: Sequence[Mapping[str, Any]]) -> Points:
        """Read documents back: the inverse of `to_documents`; `BadRecord` if a value does not fit its column."""
        return packed_points.pack(documents, self.dtype)


@lru_cache(maxsize=256)
def _document_plan(
    series: Series, fields: frozenset[str] | None
) -> tuple[tuple[str, ...], tuple[Any, ...], tuple[str, ...], tuple[str, ...]]:
    """Names, values that stand for none (None for floats: they are tested as NaN), texts, booleans."""
    dtype = series.dtype
    chosen = [(name, dtype[name]) for name in dtype.names or () if fields is None or name in fields]
    return (
        tuple(name for name, _ in chosen),
        tuple(None if kind.kind == "f" else packed_points.missing(kind) for _, kind in chosen),
        tuple(name for name, kind in chosen if kind.kind == "S"),
        tuple(name for name, _ in chosen if name in series.booleans),
    )

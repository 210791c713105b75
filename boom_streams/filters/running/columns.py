"""Fields of a batch's alerts as columns of numbers and kinds.

Values are pairs of columns, numbers and kinds: nothing (missing or null), a number, a boolean, or not known. A column
whose values are all of one kind has that instead of a column of kinds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray

__all__ = [
    "BOOLEAN",
    "EXACT",
    "FROM_ALERT",
    "FROM_RECORD",
    "NOTHING",
    "NUMBER",
    "UNKNOWN",
    "Columns",
    "Kind",
    "Path",
    "Value",
    "kind_of",
]

Kind: TypeAlias = int | NDArray[np.int8]
Value: TypeAlias = tuple[Any, Kind]
Path: TypeAlias = tuple[str, ...]

NOTHING, NUMBER, BOOLEAN, UNKNOWN = range(4)

#: Largest integer that a double has exactly.
EXACT = 2**53
FROM_ALERT = ("candidate", "coordinates")
FROM_RECORD = ("properties", "classifications")


class Columns:
    """Fields of a batch's alerts as columns, each made when it is first asked for.

    Parameters
    ----------
    alerts
        The part ``alert`` of each record.
    records
        The records, for properties and classifications.
    """

    def __init__(self, alerts: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        self.count = len(alerts)
        self._sources: dict[str, Sequence[Mapping[str, Any]]] = dict.fromkeys(FROM_ALERT, alerts)
        self._sources |= dict.fromkeys(FROM_RECORD, records)
        self._documents: dict[str, list[Any]] = {}
        self._columns: dict[Path, Value] = {}

    def get(self, path: Path) -> Value:
        """Numbers and kinds of a field, by its path."""
        if path not in self._columns:
            self._columns[path] = self._read(path)
        return self._columns[path]

    def _read(self, path: Path) -> Value:
        if path[0] not in self._documents:
            self._documents[path[0]] = [_plain(source.get(path[0], {})) for source in self._sources[path[0]]]
        found: list[Any] = self._documents[path[0]]
        for name in path[1:]:
            found = [value.get(name, _Missing) if isinstance(value, dict) else _below(value) for value in found]
        kinds = [kind_of(value) for value in found]
        numbers = [float(v) if k in (NUMBER, BOOLEAN) else math.nan for v, k in zip(found, kinds, strict=True)]
        return np.array(numbers), kinds[0] if len(set(kinds)) == 1 else np.array(kinds, np.int8)


class _Missing:
    """Stands for a field that is not there."""


def _below(value: Any) -> Any:
    """What a path finds below a value that is no document: nothing, but several values in an array."""
    return value if isinstance(value, list) else _Missing


def _plain(document: Any) -> Any:
    return bson.decode(document.raw) if isinstance(document, RawBSONDocument) else document


def kind_of(value: Any) -> int:
    """Kind of a value; integers that a double has not exactly, and texts, are not known."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, float):
        return NUMBER if math.isfinite(value) else UNKNOWN
    if isinstance(value, int):
        return NUMBER if -EXACT <= value <= EXACT else UNKNOWN
    return NOTHING if value is _Missing else UNKNOWN

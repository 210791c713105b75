"""The history of an object as bytes in a table: a head, and the points of each month with their books.

Layout: ``<SURVEY>:<objectId>`` holds the head, ``<SURVEY>:<objectId>:<month>`` the points of 30 days (``%`` and ``:``
in an id are escaped, as in a URL): their format with the fingerprint of the columns, then for each series a count, the
books of the points and their packed columns. What an earlier release packed is read, too, and packed as today whenever
it is written. The head is written last: what a crash left of a later revision is not known yet. Points are handled as
bytes in lists, which for tens of them is ten times faster than arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from boom_streams.schema import formats
from boom_streams.surveys import Series, Survey
from boom_streams.surveys.packed_points import Points, convert

__all__ = [
    "MONTH_DAYS",
    "NEVER",
    "Head",
    "Row",
    "State",
    "Store",
    "canonical",
    "load",
    "months_of",
    "points_of",
    "read_head",
    "rows_of",
    "save",
    "write_again",
]

#: Days of light curve in one value of the table.
MONTH_DAYS = 30.0

#: Carrier of a point of which it is not known who brought it: every packet has a better version.
NEVER = (float("-inf"), 0)

_HEAD = struct.Struct("<BIIIdqdqH")
_COUNT = struct.Struct("<I")
_BOOKS = struct.Struct("<IIIdq")
_NO_CANDID = int(np.iinfo(np.int64).min)


class Store(Protocol):
    """The table, as one record sees it."""

    def get(self, key: bytes) -> bytes | None:
        """Value of a key."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key."""
        ...


@dataclass(slots=True)
class Head:
    """What is known of an object besides its points.

    Attributes
    ----------
    partial
        First revision at which older history lay in the archive and could not be read; 0: none.
    restored
        Revision at which the history was read back from the archive; 0: never.
    """

    revision: int = 0
    partial: int = 0
    restored: int = 0
    first: tuple[float, int] = (float("inf"), 0)
    last: tuple[float, int] = (float("-inf"), 0)
    months: tuple[int, ...] = ()

    @classmethod
    def loads(cls, value: bytes) -> Head:
        """Read a head from the table; `FormatError` if a newer release wrote it."""
        if value[0] != formats.HEAD.version:
            formats.HEAD.check(value[0])
        _, revision, partial, restored, *ends, count = _HEAD.unpack_from(value)
        months = struct.unpack_from(f"<{count}i", value, _HEAD.size)
        return cls(revision, partial, restored, (ends[0], ends[1]), (ends[2], ends[3]), months)

    def dumps(self) -> bytes:
        """Value for the table."""
        numbers = self.revision, self.partial, self.restored
        head = _HEAD.pack(formats.HEAD.version, *numbers, *self.first, *self.last, len(self.months))
        return head + struct.pack(f"<{len(self.months)}i", *self.months)


@dataclass(slots=True)
class Row:
    """A point and its books.

    Attributes
    ----------
    identity
        candid of a detection that has one, else the values of its series' key.
    order
        Values of the columns by which its series is sorted, jd first.
    carrier
        (jd, candid) of the alert whose packet brought it.
    rev
        Revision that brought it.
    until
        Revision that replaced it; 0: none.
    own
        Revision at which the alert was processed whose own detection this is; 0: it was only listed.
    """

    identity: Any
    order: tuple[Any, ...]
    data: bytes
    carrier: tuple[float, int]
    rev: int = 0
    until: int = 0
    own: int = 0

    @property
    def month(self) -> int:
        """Month of the table that it belongs to."""
        return int(self.order[0] // MONTH_DAYS)


@dataclass(slots=True)
class State:
    """An object while it is in hand.

    Attributes
    ----------
    rows
        Points of the loaded months, by series, in their order.
    raw
        The loaded months as they are in the table.
    """

    key: bytes
    head: Head
    rows: dict[str, list[Row]]
    raw: dict[int, bytes] = field(default_factory=dict)


def read_head(store: Store, survey: Survey, object_id: str) -> Head | None:
    """Head of an object; None if the table does not know it."""
    value = store.get(_head_key(survey, object_id))
    return None if value is None else Head.loads(value)


def load(store: Store, survey: Survey, object_id: str, months: set[int], since: float) -> State:
    """Load the given months of an object, and all from a time (Julian date) on."""
    head = read_head(store, survey, object_id) or Head()
    state = State(_head_key(survey, object_id), head, {name: [] for name in survey.series})
    wanted = {month for month in head.months if (month + 1) * MONTH_DAYS > since}
    if head.restored:  # what came from the archive is written again with a repeated alert: see `write_again`
        wanted.update(head.months)
    for month in sorted(months | wanted):
        chunk = store.get(_chunk_key(state.key, month))
        if chunk is not None:
            state.raw[month] = chunk
            for name, rows in _unpack(chunk, survey).items():
                state.rows[name] += _committed(rows, head.revision)
    return state


def save(store: Store, survey: Survey, state: State, head: Head, months: set[int]) -> None:
    """Write some months, then the head."""
    begin = formats.packing(survey).header
    chunks: dict[int, list[bytes]] = {month: [begin] for month in sorted(months)}
    for rows in state.rows.values():
        by_month: dict[int, list[Row]] = {month: [] for month in chunks}
        for row in rows:
            chosen = by_month.get(row.month)
            if chosen is not None:
                chosen.append(row)
        for month, chosen in by_month.items():
            parts = chunks[month]
            parts.append(_COUNT.pack(len(chosen)))
            parts += [_BOOKS.pack(row.rev, row.until, row.own, *row.carrier) for row in chosen]
            parts += [row.data for row in chosen]
    for month, parts in chunks.items():
        store.put(_chunk_key(state.key, month), b"".join(parts))
    store.put(state.key, head.dumps())


def write_again(store: Store, state: State, months: set[int]) -> None:
    """Write some months and the head as they are: the changelog may lack them."""
    for month in sorted(months & state.raw.keys()):
        store.put(_chunk_key(state.key, month), state.raw[month])
    store.put(state.key, state.head.dumps())


def months_of(rows: Iterable[Row]) -> set[int]:
    """Months that some points belong to."""
    return {row.month for row in rows}


def canonical(items: Iterable[tuple[bytes, bytes]], survey: Survey) -> dict[bytes, Any]:
    """Content of the table without what depends on the order of arrival: for comparing two tables."""
    content: dict[bytes, Any] = {}
    for key, value in items:
        if key.count(b":") == 1:
            content[key] = Head.loads(value)
        else:
            content[key] = {
                name: [(row.data, row.carrier, row.own > 0) for row in rows if not row.until]
                for name, rows in _unpack(value, survey).items()
            }
    return content


def rows_of(series: Series, points: Points, carrier: tuple[float, int]) -> list[Row]:
    """Packed points one by one, with empty books."""
    if not len(points):
        return []
    size = points.dtype.itemsize
    data = points.tobytes()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    columns = [points[name].tolist() for name in series.order]
    orders = zip(*columns, strict=True)
    if not series.has_candid:
        return [Row(order, order, part, carrier) for order, part in zip(orders, parts, strict=True)]
    return [
        Row(order[2] if order[2] != _NO_CANDID else (*order[:2], *order[3:]), order, part, carrier)
        for order, part in zip(orders, parts, strict=True)
    ]


def points_of(rows: list[Row], dtype: np.dtype[Any]) -> Points:
    """Points packed together again."""
    return np.frombuffer(b"".join([row.data for row in rows]), dtype)


def _unpack(value: bytes, survey: Survey) -> dict[str, list[Row]]:
    """Rows by series; points that an earlier release packed get the columns of today."""
    packing = formats.packing(survey)
    at, columns = len(packing.header), packing.columns
    if not value.startswith(packing.header):
        mark, at = formats.read_header(formats.CHUNK, value)
        columns = packing.of(mark)
    series: dict[str, list[Row]] = {name: [] for name in packing.columns}
    for name, dtype in columns.items():
        (count,) = _COUNT.unpack_from(value, at)
        books = at + _COUNT.size
        data = books + count * _BOOKS.size
        at = data + count * dtype.itemsize
        if name not in series:  # one that there was
            continue
        points = np.frombuffer(value, dtype, count, data)
        if columns is not packing.columns:
            points = convert(points, packing.columns[name])
        rows = rows_of(survey.series[name], points, NEVER)
        for row, (rev, until, own, jd, candid) in zip(rows, _BOOKS.iter_unpack(value[books:data]), strict=True):
            row.rev, row.until, row.own, row.carrier = rev, until, own, (jd, candid)
        series[name] = rows
    return series


def _committed(rows: list[Row], revision: int) -> list[Row]:
    """Rows without what a crash left of later revisions."""
    for row in rows:
        row.until = row.until if row.until <= revision else 0
        row.own = row.own if row.own <= revision else 0
    return [row for row in rows if row.rev <= revision]


def _head_key(survey: Survey, object_id: str) -> bytes:
    """Key of an object; a colon in its id is escaped, or it could be the key of another object's month."""
    escaped = object_id.replace("%", "%25").replace(":", "%3A")
    return f"{survey.name}:{escaped}".encode()


def _chunk_key(key: bytes, month: int) -> bytes:
    return b"%s:%d" % (key, month)

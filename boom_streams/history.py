"""The history of an object: what is known of it, kept in a table of bytes by object and month.

Alerts of an object are numbered in the order in which they are processed: the *revision*. Every point knows the
revision that brought it and the one that replaced it, so that an alert that is delivered again gets its first answer
again, whatever came after. What is known in the end does not depend on the order of the alerts:

* A detection is identified by its candid, without one by (jd, fid, programid), like every other point.
* Of two versions of a point that of the packet with the greater (jd, candid) wins; a detection's own alert always wins.

Layout: ``<SURVEY>:<objectId>`` holds the head, ``<SURVEY>:<objectId>:<month>`` the points of 30 days: for each series a
count, the books of the points and their packed columns. The head is written last: what a crash left of a later revision
is not known yet. Points are handled as bytes in lists, which for tens of them is ten times faster than arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from boom_streams.points import Points
from boom_streams.sky import mean_position
from boom_streams.surveys import Survey

__all__ = ["Answer", "Arrival", "Head", "admit", "canonical", "needs_archive", "restore"]

#: Days of light curve in one value of the table.
MONTH_DAYS = 30.0

#: Revisions for which replaced points are kept, so that their alerts get the same answer again.
KEPT_REVISIONS = 8

_DETECTIONS = "prv_candidates"
_FORMAT = 1
_HEAD = struct.Struct("<BIBdqdqH")
_COUNT = struct.Struct("<I")
_BOOKS = struct.Struct("<IIIdq")
_NEVER = (float("-inf"), 0)
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
class Arrival:
    """An alert with the points of its packet, its own detection included."""

    survey: Survey
    object_id: str
    candid: int
    jd: float
    programid: int
    series: Mapping[str, Points]
    window_days: float = 365.0
    history_start: float = float("nan")
    partial: bool = False
    """Older history exists in the archive, which could not be read."""


@dataclass(slots=True)
class Answer:
    """What the history says to an alert."""

    revision: int
    repeated: bool
    changed: dict[str, Points]
    """Points that this alert added or changed."""
    replaced: bool
    """Some changed point replaces a version known before."""
    appended: bool
    """All changed points are later than all that was known of their series."""
    series: dict[str, Points]
    """The light curve as known at this revision: the window up to the alert's time."""
    position: tuple[float, float]
    """Mean of the known detections of the window before the newest alert, ICRS degrees."""
    partial: bool

    @property
    def history(self) -> str:
        """``complete``, or ``partial`` when older history could not be read back."""
        return "partial" if self.partial else "complete"


@dataclass(slots=True)
class Head:
    """What is known of an object besides its points."""

    revision: int = 0
    partial: bool = False
    first: tuple[float, int] = (float("inf"), 0)
    last: tuple[float, int] = (float("-inf"), 0)
    months: tuple[int, ...] = ()

    @classmethod
    def loads(cls, value: bytes) -> Head:
        """Read a head from the table."""
        _, revision, partial, *ends, count = _HEAD.unpack_from(value)
        months = struct.unpack_from(f"<{count}i", value, _HEAD.size)
        return cls(revision, bool(partial), (ends[0], ends[1]), (ends[2], ends[3]), months)

    def dumps(self) -> bytes:
        """Value for the table."""
        head = _HEAD.pack(_FORMAT, self.revision, self.partial, *self.first, *self.last, len(self.months))
        return head + struct.pack(f"<{len(self.months)}i", *self.months)


@dataclass(slots=True)
class _Row:
    """A point and its books."""

    identity: Any
    order: tuple[float, int, int]
    """jd, fid, candid or programid."""
    data: bytes
    rev: int
    until: int
    own: int
    carrier: tuple[float, int]


@dataclass(slots=True)
class _State:
    key: bytes
    head: Head | None
    rows: dict[str, list[_Row]]
    """Points of the loaded months."""


def admit(store: Store, arrival: Arrival) -> Answer:
    """Join an alert with the history of its object, and remember what it brought.

    Parameters
    ----------
    store : Store
        The table; written: the months of the packet's points, then the head.
    arrival : Arrival
        The alert.

    Returns
    -------
    Answer
        The same for the same alert, however often it comes (while one of the last `KEPT_REVISIONS`).
    """
    packet = {name: _rows(points, (arrival.jd, arrival.candid)) for name, points in arrival.series.items()}
    months = {_month(row.order[0]) for rows in packet.values() for row in rows}
    state = _load(store, arrival.survey, arrival.object_id, months, arrival.jd - arrival.window_days)
    head = state.head or Head()
    revision = _own_revision(state.rows[_DETECTIONS], arrival.candid)
    if revision:
        _write_again(store, state.key, head)
        return _answer(arrival, state, head, revision, repeated=True)
    revision = head.revision + 1
    for name, rows in packet.items():
        state.rows[name] = _merge(state.rows[name], rows, arrival.candid if name == _DETECTIONS else None, revision)
    head = Head(
        revision,
        head.partial or arrival.partial,
        min(head.first, (arrival.jd, arrival.candid)),
        max(head.last, (arrival.jd, arrival.candid)),
        tuple(sorted({*head.months, *months})),
    )
    _save(store, state, head, months)
    return _answer(arrival, state, head, revision, repeated=False)


def needs_archive(store: Store, arrival: Arrival) -> bool:
    """Whether the object began before the packet's history and the table does not hold what came before."""
    if not arrival.history_start < arrival.jd - MONTH_DAYS:
        return False
    value = store.get(_head_key(arrival.survey, arrival.object_id))
    return value is None or Head.loads(value).partial


def restore(
    store: Store,
    survey: Survey,
    object_id: str,
    series: Mapping[str, Points],
    own: Mapping[int, int],
    revision: int,
) -> None:
    """Put an object's history from the archive into the table.

    Parameters
    ----------
    series : mapping
        Points of the archive.
    own : mapping
        Revision of each alert among them, by candid.
    revision : int
        Newest revision that the archive holds.
    """
    found = {name: _rows(points, _NEVER) for name, points in series.items()}
    months = {_month(row.order[0]) for rows in found.values() for row in rows}
    state = _load(store, survey, object_id, months, float("-inf"))
    head = state.head or Head()
    for name, rows in found.items():
        known = {row.identity for row in state.rows[name]}
        state.rows[name] += [row for row in rows if row.identity not in known]
    for row in state.rows[_DETECTIONS]:
        row.own = row.own or own.get(row.identity, 0)
    alerts = [(row.order[0], row.identity) for row in state.rows[_DETECTIONS] if row.own]
    head = Head(
        max(head.revision, revision),
        False,
        min([head.first, *alerts]),
        max([head.last, *alerts]),
        tuple(sorted({*head.months, *months})),
    )
    _save(store, state, head, set(head.months))


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


def _merge(known: list[_Row], packet: list[_Row], own: int | None, revision: int) -> list[_Row]:
    """Known points with those of a packet merged in; ``own`` is the alert's candid among detections."""
    current = {row.identity: row for row in known if not row.until}
    added = []
    for row in packet:
        row.rev = revision
        is_own = row.identity == own
        if is_own:
            row.own = revision
        old = current.get(row.identity)
        if old is None:
            added.append(row)
        elif is_own or (not old.own and row.carrier > old.carrier):
            if row.data == old.data and not is_own:
                old.carrier = row.carrier
            else:
                old.until = revision
                added.append(row)
    oldest = max(0, revision - KEPT_REVISIONS)
    kept = [row for row in known if not row.until or row.until > oldest]
    return sorted(kept + added, key=_order)


def _answer(arrival: Arrival, state: _State, head: Head, revision: int, *, repeated: bool) -> Answer:
    changed: dict[str, Points] = {}
    series: dict[str, Points] = {}
    replaced, appended = False, True
    since, now = arrival.jd - arrival.window_days, arrival.jd
    for name, rows in state.rows.items():
        dtype = arrival.survey.SERIES[name]
        then = [row for row in rows if row.rev <= revision and not 0 < row.until <= revision]
        fresh = [row for row in then if row.rev == revision]
        replaced = replaced or any(row.until == revision for row in rows)
        if fresh:
            changed[name] = _points(fresh, dtype)
            before = max((row.order[0] for row in then if row.rev < revision), default=float("-inf"))
            appended = appended and fresh[0].order[0] > before
        series[name] = _points([row for row in then if since <= row.order[0] <= now], dtype)
        if name == _DETECTIONS:
            position = _position(_points(then, dtype), head.last[0] - arrival.window_days)
    return Answer(revision, repeated, changed, replaced, appended and not replaced, series, position, head.partial)


def _position(detections: Points, since: float) -> tuple[float, float]:
    columns = (detections[column].tolist() for column in ("jd", "ra", "dec"))
    placed = [(ra, dec) for jd, ra, dec in zip(*columns, strict=True) if jd >= since and ra == ra and dec == dec]
    return mean_position(*zip(*placed, strict=True))


def _own_revision(detections: list[_Row], candid: int) -> int:
    """Revision at which the alert with this candid was processed; 0 if it was not."""
    return next((row.own for row in detections if row.identity == candid and not row.until), 0)


def _load(store: Store, survey: Survey, object_id: str, months: set[int], since: float) -> _State:
    key = _head_key(survey, object_id)
    value = store.get(key)
    head = Head.loads(value) if value is not None else None
    state = _State(key, head, {name: [] for name in survey.SERIES})
    earlier = [month for month in (head.months if head else ()) if (month + 1) * MONTH_DAYS > since]
    for month in sorted({*months, *earlier}):
        chunk = store.get(_chunk_key(key, month))
        if chunk is not None:
            for name, rows in _unpack(chunk, survey).items():
                state.rows[name] += _committed(rows, head.revision if head else 0)
    return state


def _write_again(store: Store, key: bytes, head: Head) -> None:
    """Put all of an object once more: a crash may have kept any of it, what was restored too, from the changelog."""
    for month in head.months:
        chunk = store.get(_chunk_key(key, month))
        if chunk is not None:
            store.put(_chunk_key(key, month), chunk)
    store.put(key, head.dumps())


def _committed(rows: list[_Row], revision: int) -> list[_Row]:
    """Rows without what a crash left of later revisions."""
    for row in rows:
        row.until = row.until if row.until <= revision else 0
        row.own = row.own if row.own <= revision else 0
    return [row for row in rows if row.rev <= revision]


def _save(store: Store, state: _State, head: Head, months: set[int]) -> None:
    chunks: dict[int, list[bytes]] = {month: [bytes([_FORMAT])] for month in sorted(months)}
    for rows in state.rows.values():
        by_month: dict[int, list[_Row]] = {month: [] for month in chunks}
        for row in rows:
            chosen = by_month.get(_month(row.order[0]))
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


def _unpack(value: bytes, survey: Survey) -> dict[str, list[_Row]]:
    at = 1
    series = {}
    for name, dtype in survey.SERIES.items():
        (count,) = _COUNT.unpack_from(value, at)
        books = at + _COUNT.size
        data = books + count * _BOOKS.size
        at = data + count * dtype.itemsize
        rows = _rows(np.frombuffer(value, dtype, count, data), _NEVER)
        for row, (rev, until, own, jd, candid) in zip(rows, _BOOKS.iter_unpack(value[books:data]), strict=True):
            row.rev, row.until, row.own, row.carrier = rev, until, own, (jd, candid)
        series[name] = rows
    return series


def _rows(points: Points, carrier: tuple[float, int]) -> list[_Row]:
    """Packed points one by one, with empty books."""
    if not len(points):
        return []
    size = points.dtype.itemsize
    data = points.tobytes()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    jds, fids, programids = (points[column].tolist() for column in ("jd", "fid", "programid"))
    if "candid" not in (points.dtype.names or ()):
        return [
            _Row((jd, fid, programid), (jd, fid, programid), part, 0, 0, 0, carrier)
            for jd, fid, programid, part in zip(jds, fids, programids, parts, strict=True)
        ]
    return [
        _Row(candid if candid != _NO_CANDID else (jd, fid, programid), (jd, fid, candid), part, 0, 0, 0, carrier)
        for jd, fid, programid, candid, part in zip(
            jds, fids, programids, points["candid"].tolist(), parts, strict=True
        )
    ]


def _points(rows: list[_Row], dtype: np.dtype[Any]) -> Points:
    return np.frombuffer(b"".join([row.data for row in rows]), dtype)


def _order(row: _Row) -> tuple[float, int, int]:
    return row.order


def _month(jd: float) -> int:
    return int(jd // MONTH_DAYS)


def _head_key(survey: Survey, object_id: str) -> bytes:
    return f"{survey.name}:{object_id}".encode()


def _chunk_key(key: bytes, month: int) -> bytes:
    return b"%s:%d" % (key, month)

"""The history of an object: what is known of it, kept in a table of bytes by object and month.

Alerts of an object are numbered in the order in which they are processed: the *revision*. Every point knows the
revision that brought it and the one that replaced it, so that an alert that is delivered again gets its first answer
again, whatever came after. What is known in the end does not depend on the order of the alerts:

* A detection is identified by its candid, without one by (jd, fid, programid), like every other point.
* Of two versions of a point that of the packet with the greater (jd, candid) wins; a detection's own alert always wins.

Layout: ``<SURVEY>:<objectId>`` holds the head, ``<SURVEY>:<objectId>:<month>`` the points of 30 days. The head is
written last: what a crash left of a later revision is not known yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
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
_HIDDEN = [("rev", "<u4"), ("until", "<u4"), ("own", "<u4"), ("carrier_jd", "<f8"), ("carrier_candid", "<i8")]


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
class _State:
    key: bytes
    head: Head | None
    series: dict[str, Points]
    """Points of the loaded months, with the hidden columns."""
    raw: dict[int, bytes] = field(default_factory=dict)


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
    months = _packet_months(arrival.series.values())
    state = _load(store, arrival.survey, arrival.object_id, months, arrival.jd - arrival.window_days)
    head = state.head or Head()
    revision = _own_revision(state.series[_DETECTIONS], arrival.candid)
    if revision:
        for month in sorted(months):
            if month in state.raw:
                store.put(_chunk_key(state.key, month), state.raw[month])
        store.put(state.key, head.dumps())
        return _answer(arrival, state, head, revision, repeated=True)
    revision = head.revision + 1
    for name, packet in arrival.series.items():
        state.series[name] = _merge(name, state.series[name], packet, arrival, revision)
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
    value = store.get(_head_key(arrival.survey, arrival.object_id))
    if value is not None and not Head.loads(value).partial:
        return False
    return arrival.history_start < arrival.jd - MONTH_DAYS


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
    months = _packet_months(series.values())
    state = _load(store, survey, object_id, months, float("-inf"))
    head = state.head or Head()
    for name, found in series.items():
        known = set(_identities(state.series[name]))
        fresh = [i for i, identity in enumerate(_identities(found)) if identity not in known]
        rows = _with_hidden(found[fresh], 0, (float("-inf"), 0))
        if name == _DETECTIONS:
            rows["own"] = [own.get(candid, 0) for candid in rows["candid"].tolist()]
        state.series[name] = np.concatenate([state.series[name], rows])
    alerts = [
        (jd, candid)
        for jd, candid, n in zip(*(state.series[_DETECTIONS][c].tolist() for c in ("jd", "candid", "own")), strict=True)
        if n
    ]
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
            head = Head.loads(value)
            content[key] = (head.revision, head.partial, head.first, head.last, head.months)
            continue
        chunk = {}
        for name, rows in _unpack(value, survey).items():
            current = rows[rows["until"] == 0]
            chunk[name] = sorted(
                (*row.tolist()[: -len(_HIDDEN)], bool(row["own"])).__repr__() for row in current
            )
        content[key] = chunk
    return content


def _merge(name: str, known: Points, packet: Points, arrival: Arrival, revision: int) -> Points:
    """Known points with those of a packet merged in; the result is a new array."""
    carrier = (arrival.jd, arrival.candid)
    dtype = known.dtype
    width = packet.dtype.itemsize
    current = {i: row for row, (i, until) in enumerate(zip(_identities(known), known["until"].tolist(), strict=True)) if not until}
    identities = _identities(packet)
    rows = np.array([current.get(identity, -1) for identity in identities], np.int64)
    new = rows < 0
    known = known.copy()
    added = [_with_hidden(packet[new], revision, carrier)]
    seen, places = packet[~new], rows[~new]
    if len(seen):
        mine = known[places]
        as_bytes = mine.view(np.uint8).reshape(len(mine), dtype.itemsize)[:, :width]
        equal = (as_bytes == np.ascontiguousarray(seen).view(np.uint8).reshape(len(seen), width)).all(axis=1)
        own = mine["own"] > 0
        later = (mine["carrier_jd"] < carrier[0]) | (
            (mine["carrier_jd"] == carrier[0]) & (mine["carrier_candid"] < carrier[1])
        )
        if name == _DETECTIONS:
            is_own = seen["candid"] == arrival.candid
            raised = (equal & later & ~own) | is_own
            wins = ~equal & ((later & ~own) | is_own)
        else:
            raised, wins = equal & later, ~equal & later
        known["carrier_jd"][places[raised]] = carrier[0]
        known["carrier_candid"][places[raised]] = carrier[1]
        known["until"][places[wins]] = revision
        added.append(_with_hidden(seen[wins], revision, carrier))
    result = np.concatenate([known, *added])
    if name == _DETECTIONS:
        result["own"][(result["candid"] == arrival.candid) & (result["until"] == 0)] = revision
    return result[(result["until"] == 0) | (result["until"] > max(0, revision - KEPT_REVISIONS))]


def _answer(arrival: Arrival, state: _State, head: Head, revision: int, *, repeated: bool) -> Answer:
    changed, series = {}, {}
    replaced, appended = False, True
    position = (float("nan"), float("nan"))
    for name, rows in state.series.items():
        dtype = arrival.survey.SERIES[name]
        rev, until, jd = rows["rev"], rows["until"], rows["jd"]
        then = (rev <= revision) & ((until == 0) | (until > revision))
        fresh = then & (rev == revision)
        before = (rev < revision) & ((until == 0) | (until >= revision))
        replaced = replaced or bool((until == revision).any())
        if fresh.any():
            changed[name] = _plain(rows[fresh], dtype)
            appended = appended and not (before.any() and jd[fresh].min() <= jd[before].max())
        in_window = then & (jd <= arrival.jd) & (jd >= arrival.jd - arrival.window_days)
        series[name] = _plain(rows[in_window], dtype)
        if name == _DETECTIONS:
            placed = rows[then & np.isfinite(rows["ra"]) & (jd >= head.last[0] - arrival.window_days)]
            if len(placed):
                placed = placed[_order(placed)]
                position = mean_position(placed["ra"], placed["dec"])
    return Answer(
        revision, repeated, changed, replaced, appended and not replaced, series, position, head.partial
    )


def _own_revision(detections: Points, candid: int) -> int:
    """Revision at which the alert with this candid was processed; 0 if it was not."""
    own = detections["own"][(detections["candid"] == candid) & (detections["until"] == 0)]
    return int(own[0]) if len(own) else 0


def _load(store: Store, survey: Survey, object_id: str, months: set[int], since: float) -> _State:
    key = _head_key(survey, object_id)
    value = store.get(key)
    head = Head.loads(value) if value is not None else None
    earliest = _month(since) if np.isfinite(since) else -(1 << 30)
    wanted = months | {month for month in (head.months if head else ()) if month >= earliest}
    state = _State(key, head, {})
    chunks = []
    for month in sorted(wanted):
        chunk = store.get(_chunk_key(key, month))
        if chunk is not None:
            state.raw[month] = chunk
            chunks.append(_unpack(chunk, survey))
    for name in survey.SERIES:
        parts = [chunk[name] for chunk in chunks]
        rows = np.concatenate(parts) if parts else np.empty(0, _dtype(survey, name))
        state.series[name] = _committed(rows, head.revision if head else 0)
    return state


def _committed(rows: Points, revision: int) -> Points:
    """Rows without what a crash left of later revisions."""
    if not len(rows) or max(rows["rev"].max(), rows["until"].max(), rows["own"].max()) <= revision:
        return rows
    rows = rows[rows["rev"] <= revision].copy()
    for column in ("until", "own"):
        rows[column][rows[column] > revision] = 0
    return rows


def _save(store: Store, state: _State, head: Head, months: set[int]) -> None:
    by_series = {name: (rows, np.floor(rows["jd"] / MONTH_DAYS)) for name, rows in state.series.items()}
    for month in sorted(months):
        parts = [bytes([_FORMAT])]
        for rows, month_of in by_series.values():
            chosen = rows[month_of == month]
            chosen = chosen[_order(chosen)]
            parts += [_COUNT.pack(len(chosen)), chosen.tobytes()]
        store.put(_chunk_key(state.key, month), b"".join(parts))
    store.put(state.key, head.dumps())


def _unpack(value: bytes, survey: Survey) -> dict[str, Points]:
    at, series = 1, {}
    for name in survey.SERIES:
        dtype = _dtype(survey, name)
        (count,) = _COUNT.unpack_from(value, at)
        at += _COUNT.size
        series[name] = np.frombuffer(value, dtype, count, at)
        at += count * dtype.itemsize
    return series


@cache
def _hidden_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([*dtype.descr, *_HIDDEN])


def _dtype(survey: Survey, name: str) -> np.dtype[Any]:
    return _hidden_dtype(survey.SERIES[name])


def _with_hidden(packet: Points, revision: int, carrier: tuple[float, int]) -> Points:
    dtype = _hidden_dtype(packet.dtype)
    rows = np.zeros(len(packet), dtype)
    width = packet.dtype.itemsize
    rows.view(np.uint8).reshape(len(rows), dtype.itemsize)[:, :width] = (
        np.ascontiguousarray(packet).view(np.uint8).reshape(len(packet), width)
    )
    rows["rev"] = revision
    rows["carrier_jd"], rows["carrier_candid"] = carrier
    return rows


def _plain(rows: Points, dtype: np.dtype[Any]) -> Points:
    """Rows without the hidden columns, in order."""
    rows = rows[_order(rows)]
    width = dtype.itemsize
    packed = rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)[:, :width]
    return np.frombuffer(packed.tobytes(), dtype)


def _order(rows: Points) -> np.ndarray[Any, Any]:
    if "candid" in (rows.dtype.names or ()):
        return np.lexsort((rows["candid"], rows["fid"], rows["jd"]))
    return np.lexsort((rows["programid"], rows["fid"], rows["jd"]))


def _identities(rows: Points) -> list[Any]:
    composite = zip(*(rows[name].tolist() for name in ("jd", "fid", "programid")), strict=True)
    if "candid" not in (rows.dtype.names or ()):
        return list(composite)
    missing = np.iinfo(np.int64).min
    return [
        candid if candid != missing else other
        for candid, other in zip(rows["candid"].tolist(), composite, strict=True)
    ]


def _packet_months(series: Iterable[Points]) -> set[int]:
    return {month for points in series for month in np.floor(points["jd"] / MONTH_DAYS).astype(int).tolist()}


def _month(jd: float) -> int:
    return int(jd // MONTH_DAYS)


def _head_key(survey: Survey, object_id: str) -> bytes:
    return f"{survey.name}:{object_id}".encode()


def _chunk_key(key: bytes, month: int) -> bytes:
    return b"%s:%d" % (key, month)

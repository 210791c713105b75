"""The history of an object: what is known of it, joined with each of its alerts.

Alerts of an object are numbered in the order in which they are processed: the *revision*. Every point knows the
revision that brought it and the one that replaced it, so that an alert that is delivered again gets its first answer
again, whatever came after. What is known in the end does not depend on the order of the alerts:

* A detection is identified by its candid, without one by its series' key, like every other point: time, band, and
  what else the survey names.
* Of two versions of a point that of the packet with the greater (jd, candid) wins; a detection's own alert always wins.

`boom_streams.tables.objects.chunks` says how it is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from boom_streams.astro.sky import mean_position
from boom_streams.surveys import Survey
from boom_streams.surveys.packed_points import Points
from boom_streams.tables.objects.chunks import (
    MONTH_DAYS,
    NEVER,
    Head,
    Row,
    State,
    Store,
    canonical,
    load,
    months_of,
    points_of,
    read_head,
    rows_of,
    save,
    write_again,
)

__all__ = ["Answer", "Arrival", "admit", "canonical", "needs_archive", "restore"]

#: Revisions for which replaced points are kept, so that their alerts get the same answer again.
KEPT_REVISIONS = 8


@dataclass(slots=True)
class Arrival:
    """An alert with the points of its packet, its own detection included.

    Attributes
    ----------
    partial
        Older history exists in the archive, which could not be read.
    """

    survey: Survey
    object_id: str
    candid: int
    jd: float
    programid: int
    series: Mapping[str, Points]
    window_days: float = 365.0
    history_start: float = float("nan")
    partial: bool = False


@dataclass(slots=True)
class Answer:
    """What the history says to an alert.

    Attributes
    ----------
    changed
        Points that this alert added or changed.
    replaced
        Some changed point replaces a version known before.
    appended
        All changed points are later than all that was known of their series.
    series
        The light curve as known at this revision: the window up to the alert's time.
    newest
        No later alert of the object had been processed at this revision.
    position
        Mean of the detections known at this revision in the window before the newest alert, ICRS degrees.
    """

    revision: int
    repeated: bool
    changed: dict[str, Points]
    replaced: bool
    appended: bool
    series: dict[str, Points]
    newest: bool
    position: tuple[float, float]
    partial: bool

    @property
    def history(self) -> str:
        """``complete``, or ``partial`` when older history could not be read back."""
        return "partial" if self.partial else "complete"


def admit(store: Store, arrival: Arrival) -> Answer:
    """Join an alert with the history of its object, and remember what it brought.

    Parameters
    ----------
    store
        The table; written: the months of the packet's points, then the head.
    arrival
        The alert.

    Returns
    -------
    Answer
        The same for the same alert, however often it comes (while one of the last `KEPT_REVISIONS`).
    """
    packet = {
        name: rows_of(arrival.survey.series[name], points, (arrival.jd, arrival.candid))
        for name, points in arrival.series.items()
    }
    months = {month for rows in packet.values() for month in months_of(rows)}
    state = load(store, arrival.survey, arrival.object_id, months, arrival.jd - arrival.window_days)
    head, detections = state.head, arrival.survey.detections.name
    revision = _own_revision(state.rows[detections], arrival.candid)
    if revision:
        written = set(head.months) if head.restored else months | _replaced_at(state, revision)
        write_again(store, state, written)
        return _answer(arrival, state, revision, repeated=True)
    revision = head.revision + 1
    for name, rows in packet.items():
        state.rows[name] = _merge(state.rows[name], rows, arrival.candid if name == detections else None, revision)
    state.head = replace(
        head,
        revision=revision,
        partial=head.partial or (revision if arrival.partial else 0),
        first=min(head.first, (arrival.jd, arrival.candid)),
        last=max(head.last, (arrival.jd, arrival.candid)),
        months=tuple(sorted({*head.months, *months})),
    )
    save(store, arrival.survey, state, state.head, months | _replaced_at(state, revision))
    return _answer(arrival, state, revision, repeated=False)


def needs_archive(store: Store, arrival: Arrival) -> bool:
    """Whether the object began before the packet's history and the table does not hold what came before."""
    if not arrival.history_start < arrival.jd - MONTH_DAYS:
        return False
    head = read_head(store, arrival.survey, arrival.object_id)
    return head is None or _is_partial(head, head.revision)


def restore(
    store: Store, survey: Survey, object_id: str, series: Mapping[str, Points], own: Collection[int], revision: int
) -> None:
    """Put an object's history from the archive into the table; this is a revision of its own.

    Alerts that came while the archive was away keep their answers. One that only the archive knows has changed
    nothing when it is delivered again: what it brought is stored.

    Parameters
    ----------
    series
        Points of the archive.
    own
        candids of those detections that were processed as alerts.
    revision
        Newest revision that the archive holds.
    """
    found = {name: rows_of(survey.series[name], points, NEVER) for name, points in series.items()}
    detections = survey.detections.name
    months = {month for rows in found.values() for month in months_of(rows)}
    state = load(store, survey, object_id, months, float("-inf"))
    if not state.head.revision and not revision:
        return  # neither knows it
    number = max(state.head.revision, revision) + 1
    for name, rows in found.items():
        known = {row.identity: row for row in state.rows[name] if not row.until}
        for row in rows:
            row.rev = number
            row.own = number if name == detections and row.identity in own else 0
            old = known.get(row.identity)
            if old is None or (row.own and not old.own):
                state.rows[name].append(row)
                if old is not None:
                    old.until = number
        state.rows[name].sort(key=_order)
    alerts = [(row.order[0], row.identity) for row in state.rows[detections] if row.own]
    head = Head(
        number,
        state.head.partial,
        number,
        min([state.head.first, *alerts]),
        max([state.head.last, *alerts]),
        tuple(sorted({*state.head.months, *months})),
    )
    save(store, survey, state, head, set(head.months))


def _merge(known: list[Row], packet: list[Row], own: int | None, revision: int) -> list[Row]:
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


def _answer(arrival: Arrival, state: State, revision: int, *, repeated: bool) -> Answer:
    changed: dict[str, Points] = {}
    series: dict[str, Points] = {}
    replaced, appended = False, True
    since, now = arrival.jd - arrival.window_days, arrival.jd
    for name, rows in state.rows.items():
        dtype = arrival.survey.series[name].dtype
        then = [row for row in rows if row.rev <= revision and not 0 < row.until <= revision]
        fresh = [row for row in then if row.rev == revision != state.head.restored]
        replaced = replaced or any(row.until == revision for row in rows)
        if fresh:
            changed[name] = points_of(fresh, dtype)
            before = max((row.order[0] for row in then if row.rev < revision), default=since)
            appended = appended and fresh[0].order[0] > max(before, since)  # earlier months may not be loaded
        series[name] = points_of([row for row in then if since <= row.order[0] <= now], dtype)
        if name == arrival.survey.detections.name:
            last = max((row.order[0], row.identity) for row in then if 0 < row.own <= revision)
            position = _position(points_of(then, dtype), last[0] - arrival.window_days)
    partial = _is_partial(state.head, revision)
    newest = last <= (arrival.jd, arrival.candid)
    return Answer(revision, repeated, changed, replaced, appended and not replaced, series, newest, position, partial)


def _position(detections: Points, since: float) -> tuple[float, float]:
    columns = (detections[column].tolist() for column in ("jd", "ra", "dec"))
    placed = [(ra, dec) for jd, ra, dec in zip(*columns, strict=True) if jd >= since and ra == ra and dec == dec]
    return mean_position(*zip(*placed, strict=True))


def _own_revision(detections: list[Row], candid: int) -> int:
    """Revision at which the alert with this candid was processed; 0 if it was not."""
    return next((row.own for row in detections if row.identity == candid and not row.until), 0)


def _replaced_at(state: State, revision: int) -> set[int]:
    """Months of the points that a revision replaced."""
    return {month for rows in state.rows.values() for month in months_of(r for r in rows if r.until == revision)}


def _is_partial(head: Head, revision: int) -> bool:
    """Whether the history lacked what is in the archive at some revision."""
    return 0 < head.partial <= revision and not 0 < head.restored <= revision


def _order(row: Row) -> tuple[Any, ...]:
    return row.order

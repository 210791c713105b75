"""Table ``cells``: which objects of which survey are where, by fine HEALPix cell.

Key: the nested cell at nside 4096 (about 52 arcsec), 8 bytes big-endian, and the survey's name, so that what is under
a key comes from one source topic, whose offsets tell which value is newer. Value: its format with the fingerprint of
the columns, and BSON with the survey's objects in the cell, each with the detections its position is the mean of
(ICRS, degrees).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
import numpy as np

from boom_streams.astro import sky
from boom_streams.errors import FormatError
from boom_streams.schema import formats
from boom_streams.tables.store import View

__all__ = ["NSIDE", "Sighting", "key", "objects_in", "position", "record"]

NSIDE = 4096

#: Farthest that a detection lies from its object's position, arcsec.
SCATTER_ARCSEC = 3.0

#: Detections that the position of an object is the mean of: the newest so many.
_KEPT = 64
_KEY = struct.Struct(">Q")
_DETECTIONS = np.dtype([("jd", "<f8"), ("candid", "<i8"), ("ra", "<f8"), ("dec", "<f8")])

#: What a value begins with; release 0.1.0 packed the same columns without a fingerprint.
_MARK = formats.fingerprint({"detections": _DETECTIONS})
_HEADER = formats.header(formats.CELL, _MARK)


@dataclass(slots=True)
class Sighting:
    """A detection of an object, as an alert or a margin record tells it."""

    view: View
    survey: str
    object_id: str
    candid: int
    jd: float
    ra: float
    dec: float


Detection = tuple[float, int, float, float]

#: Values as they were before a batch, by partition and key.
_Before = dict[tuple[int, bytes], tuple[View, bytes | None]]


@dataclass(slots=True)
class _Object:
    """An object whose alerts are being placed.

    Attributes
    ----------
    detections
        By candid.
    seen
        Cells that were looked into.
    held
        Those that hold the object.
    repeated
        A detection came that is known.
    """

    view: View
    survey: str
    object_id: str
    before: _Before
    detections: dict[int, Detection] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    repeated: bool = False


def objects_in(value: bytes | None) -> dict[str, np.ndarray[Any, Any]]:
    """Detections of a survey's objects in a cell, by objectId; `FormatError` if a newer release wrote them."""
    if not value:
        return {}
    at = len(_HEADER)
    if not value.startswith(_HEADER):
        mark, at = formats.read_header(formats.CELL, value)
        if mark is not None:
            raise FormatError(f"a value of table cells has columns {mark}; {formats.UPGRADE}")
    return {o["objectId"]: np.frombuffer(o["detections"], _DETECTIONS) for o in bson.decode(value[at:])["objects"]}


def key(cell: int, survey: str) -> bytes:
    """Key of a survey's objects in a cell."""
    return _KEY.pack(cell) + survey.encode()


def position(detections: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Position of an object, (ra, dec) in degrees: the mean of its detections in their order."""
    return sky.mean_position(detections["ra"].tolist(), detections["dec"].tolist())


def record(sightings: Sequence[Sighting]) -> None:
    """Add detections to the objects they belong to; an object whose position moves changes its cell.

    A detection that is known leaves the values as they are and writes them again, those of the cells around it too:
    the object may have left one of them with this detection. Detections of one object are added one after the other,
    so that nothing depends on which of them came in one batch. Wherever the changelog ends, each object is in a cell:
    in what a batch writes, all additions come before all removals.
    """
    rest = list(sightings)
    moved = False
    before: _Before = {}
    while rest:
        first: dict[tuple[int, str, str], Sighting] = {}
        later: list[Sighting] = []
        for sighting in rest:
            name = (sighting.view.partition, sighting.survey, sighting.object_id)
            if first.setdefault(name, sighting) is not sighting:
                later.append(sighting)
        moved |= _record(list(first.values()), before)
        rest = later
    if moved:
        _remove_last(before)


def _remove_last(before: _Before) -> None:
    """Move values that an object has left to the end; one that has gained an object, too, has both first."""
    for (_, name), (view, value) in before.items():
        was, now = objects_in(value), objects_in(view.get(name))
        if was.keys() - now.keys():
            view.put_last(name, _dumps(was | now) if now.keys() - was.keys() else None)


def _record(sightings: Sequence[Sighting], before: _Before) -> bool:
    """Add detections of different objects; return whether one has changed its cell.

    An object near an edge is known to both partitions, and is two here.
    """
    ra = np.array([s.ra for s in sightings])
    dec = np.array([s.dec for s in sightings])
    own = sky.cells(ra, dec, NSIDE)
    neighbours = sky.neighbour_cells(ra, dec, NSIDE, SCATTER_ARCSEC)
    objects = []
    for sighting, cell, around in zip(sightings, own.tolist(), neighbours, strict=True):
        found = _Object(sighting.view, sighting.survey, sighting.object_id, before)
        objects.append(found)
        for near in (cell, *around):
            _look(found, near)
        found.repeated = sighting.candid in found.detections
        new = (sighting.jd, sighting.candid, sighting.ra, sighting.dec)
        found.detections.setdefault(sighting.candid, new)
    return _write(objects)


def _look(found: _Object, cell: int) -> None:
    """Take what a cell has of an object; after a crash two cells may have it."""
    if cell in found.seen:
        return
    found.seen.add(cell)
    detections = objects_in(_get(found, key(cell, found.survey))).get(found.object_id)
    if detections is not None:
        found.held.add(cell)
        for detection in detections.tolist():
            found.detections.setdefault(detection[1], detection)


def _write(objects: Sequence[_Object]) -> bool:
    newest = [np.array(sorted(found.detections.values())[-_KEPT:], _DETECTIONS) for found in objects]
    positions = np.array([position(detections) for detections in newest])
    cells = sky.cells(positions[:, 0], positions[:, 1], NSIDE).tolist()
    for found, detections, cell in zip(objects, newest, cells, strict=True):
        _put(found, cell, detections)
        for other in sorted(found.held - {cell}):
            _put(found, other, None)
        for other in sorted(found.seen - found.held - {cell}) if found.repeated else ():
            value = found.view.get(key(other, found.survey))
            if value is not None:
                found.view.put(key(other, found.survey), value)
    return any(found.held - {cell} for found, cell in zip(objects, cells, strict=True))


def _put(found: _Object, cell: int, detections: np.ndarray[Any, Any] | None) -> None:
    """Set an object's detections in a cell, or take it out."""
    name = key(cell, found.survey)
    objects = objects_in(_get(found, name))
    if detections is None:
        objects.pop(found.object_id, None)
    else:
        objects[found.object_id] = detections
    found.view.put(name, _dumps(objects))


def _get(found: _Object, name: bytes) -> bytes | None:
    value = found.view.get(name)
    found.before.setdefault((found.view.partition, name), (found.view, value))
    return value


def _dumps(objects: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """Value of a cell."""
    listed = [{"objectId": object_id, "detections": objects[object_id].tobytes()} for object_id in sorted(objects)]
    return _HEADER + bson.encode({"objects": listed})

"""Table ``cells``: which objects of which survey are where, by fine HEALPix cell.

Key: the nested cell at nside 4096 (about 52 arcsec), 8 bytes big-endian, and the survey's name: what stands under a key
comes from one source topic, whose offsets tell which value is newer. Value: its format with the fingerprint of the
columns, and BSON with the survey's objects in the cell, each with the detections its position is the mean of (ICRS,
degrees).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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


@dataclass(slots=True)
class _Object:
    view: View
    survey: str
    object_id: str
    detections: dict[int, Detection] = field(default_factory=dict)
    """By candid."""
    seen: set[int] = field(default_factory=set)
    """Cells that were looked into."""
    held: set[int] = field(default_factory=set)
    """Those that hold the object."""
    repeated: bool = False
    """A detection came that is known."""
    left: set[int] = field(default_factory=set)
    """Cells that the object has left in this batch, with earlier detections too."""


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
    so that nothing depends on which of them came in one batch.
    """
    rest = list(sightings)
    left: dict[tuple[int, str, str], set[int]] = {}
    while rest:
        first: dict[tuple[int, str, str], Sighting] = {}
        later: list[Sighting] = []
        for sighting in rest:
            name = (sighting.view.partition, sighting.survey, sighting.object_id)
            if first.setdefault(name, sighting) is not sighting:
                later.append(sighting)
        _record(list(first.values()), [left.setdefault(name, set()) for name in first])
        rest = later


def _record(sightings: Sequence[Sighting], left: Sequence[set[int]]) -> None:
    """Add detections of different objects; one near an edge is known to both partitions, and is two here."""
    ra = np.array([s.ra for s in sightings])
    dec = np.array([s.dec for s in sightings])
    own = sky.cells(ra, dec, NSIDE)
    neighbours = sky.neighbour_cells(ra, dec, NSIDE, SCATTER_ARCSEC)
    objects = []
    for sighting, cell, around, gone in zip(sightings, own.tolist(), neighbours, left, strict=True):
        found = _Object(sighting.view, sighting.survey, sighting.object_id, left=gone)
        objects.append(found)
        for near in (cell, *around):
            _look(found, near)
        found.repeated = sighting.candid in found.detections
        new = (sighting.jd, sighting.candid, sighting.ra, sighting.dec)
        found.detections.setdefault(sighting.candid, new)
    _write(objects)


def _look(found: _Object, cell: int) -> None:
    """Take what a cell has of an object; after a crash two cells may have it."""
    if cell in found.seen:
        return
    found.seen.add(cell)
    detections = objects_in(found.view.get(key(cell, found.survey))).get(found.object_id)
    if detections is not None:
        found.held.add(cell)
        for detection in detections.tolist():
            found.detections.setdefault(detection[1], detection)


def _write(objects: Sequence[_Object]) -> None:
    newest = [np.array(sorted(found.detections.values())[-_KEPT:], _DETECTIONS) for found in objects]
    positions = np.array([position(detections) for detections in newest])
    cells = sky.cells(positions[:, 0], positions[:, 1], NSIDE).tolist()
    for found, detections, cell in zip(objects, newest, cells, strict=True):
        _put(found, cell, detections)
        for other in sorted(found.held - {cell}):  # last: an object may be twice in the changelog, but never not at all
            _put(found, other, None)
        again = found.left | (found.seen if found.repeated else set())  # those left before in this batch: last, too
        found.left |= found.held - {cell}
        for other in sorted(again - found.held - {cell}):
            value = found.view.get(key(other, found.survey))
            if value is not None:
                found.view.put(key(other, found.survey), value)


def _put(found: _Object, cell: int, detections: np.ndarray[Any, Any] | None) -> None:
    """Set an object's detections in a cell, or take it out."""
    name = key(cell, found.survey)
    objects = objects_in(found.view.get(name))
    if detections is None:
        objects.pop(found.object_id, None)
    else:
        objects[found.object_id] = detections
    listed = [{"objectId": object_id, "detections": objects[object_id].tobytes()} for object_id in sorted(objects)]
    found.view.put(name, _HEADER + bson.encode({"objects": listed}))

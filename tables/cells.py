"""Table ``cells``: which objects of which survey are where, by fine HEALPix cell.

Key: the nested cell at nside 4096 (about 52 arcsec), 8 bytes big-endian. Value: a format byte and BSON with the
objects in the cell, each with the detections its position is the mean of (ICRS, degrees).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
import numpy as np

from boom_streams import sky
from boom_streams.tables.store import View

__all__ = ["NSIDE", "Sighting", "objects_in", "record"]

NSIDE = 4096

#: Farthest that a detection lies from its object's position, arcsec.
SCATTER_ARCSEC = 3.0

#: Detections that the position of an object is the mean of: the newest so many.
_KEPT = 64
_FORMAT = b"\x01"
_KEY = struct.Struct(">Q")
_DETECTIONS = np.dtype([("jd", "<f8"), ("candid", "<i8"), ("ra", "<f8"), ("dec", "<f8")])


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


@dataclass(slots=True)
class _Object:
    view: View
    detections: np.ndarray[Any, Any]
    known: set[int]
    others: set[int] = field(default_factory=set)
    """Cells to write besides the object's own: those that held it, and all around a repeated detection."""


def objects_in(value: bytes | None) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
    """Detections of the objects in a cell, by (survey, objectId)."""
    if not value:
        return {}
    objects = bson.decode(value[1:])["objects"]
    return {(o["survey"], o["objectId"]): np.frombuffer(o["detections"], _DETECTIONS) for o in objects}


def position(detections: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Position of an object, (ra, dec) in degrees: the mean of its detections in their order."""
    return sky.mean_position(detections["ra"].tolist(), detections["dec"].tolist())


def record(sightings: Sequence[Sighting]) -> None:
    """Add detections to the objects they belong to; an object whose position moves changes its cell.

    A detection that is known leaves the values as they are and writes them again, also the cell that the object had
    left: a crash may have kept either from the changelog.
    """
    if not sightings:
        return
    ra = np.array([s.ra for s in sightings])
    dec = np.array([s.dec for s in sightings])
    own = sky.cells(ra, dec, NSIDE)
    neighbours = sky.neighbour_cells(ra, dec, NSIDE, SCATTER_ARCSEC)
    objects: dict[tuple[int, str, str], _Object] = {}
    for sighting, cell, around in zip(sightings, own.tolist(), neighbours, strict=True):
        # One partition's view is one table: an object near an edge is known to both partitions.
        name = (sighting.view.partition, sighting.survey, sighting.object_id)
        found = objects.get(name)
        if found is None:
            found = objects[name] = _find(sighting, [cell, *around])
        found.view = sighting.view
        if sighting.candid in found.known:
            found.others.update([cell, *around])
        else:
            _add(found, sighting)
    _write(objects)


def _find(sighting: Sighting, cells: Sequence[int]) -> _Object:
    """What is known of the object; after a crash between two writes it may be in two cells."""
    held = {}
    for cell in cells:
        detections = objects_in(sighting.view.get(_KEY.pack(cell))).get((sighting.survey, sighting.object_id))
        if detections is not None:
            held[cell] = detections
    known = np.concatenate([np.empty(0, _DETECTIONS), *held.values()])
    if len(held) > 1:
        known = _newest(known[np.unique(known["candid"], return_index=True)[1]])
    return _Object(sighting.view, known, set(known["candid"].tolist()), set(held))


def _add(found: _Object, sighting: Sighting) -> None:
    found.known.add(sighting.candid)
    new = np.array([(sighting.jd, sighting.candid, sighting.ra, sighting.dec)], _DETECTIONS)
    found.detections = _newest(np.concatenate([found.detections, new]))


def _newest(detections: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return detections[np.lexsort((detections["candid"], detections["jd"]))][-_KEPT:]


def _write(objects: dict[tuple[int, str, str], _Object]) -> None:
    positions = np.array([position(found.detections) for found in objects.values()])
    cells = sky.cells(positions[:, 0], positions[:, 1], NSIDE).tolist()
    for ((_, survey, object_id), found), cell in zip(objects.items(), cells, strict=True):
        _put(found.view, cell, (survey, object_id), found.detections)  # first, so that it is never in no cell
        for other in sorted(found.others - {cell}):
            _put(found.view, other, (survey, object_id), None)


def _put(view: View, cell: int, name: tuple[str, str], detections: np.ndarray[Any, Any] | None) -> None:
    key = _KEY.pack(cell)
    value = view.get(key)
    if detections is None and value is None:
        return
    objects = objects_in(value)
    if detections is None:
        objects.pop(name, None)
    else:
        objects[name] = detections
    listed = [
        {"survey": survey, "objectId": object_id, "detections": found.tobytes()}
        for (survey, object_id), found in sorted(objects.items(), key=lambda item: item[0])
    ]
    view.put(key, _FORMAT + bson.encode({"objects": listed}))

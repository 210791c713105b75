"""The table ``cells``: an object is in one cell, whatever the order, anywhere on the sky."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from astropy_healpix import boundaries_lonlat
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.astro import sky
from boom_streams.tables import cells
from boom_streams.tables.store import View

ARCSEC = 1 / 3600
#: Cells at the poles, at RA 0, and where the base pixels meet.
PIXELS = (0, 1, 4095, 12 * 4096**2 - 1, 4 * 4096**2, 5 * 4096**2 + 77, 8 * 4096**2, 123456789)
Place = tuple[float, float]
#: candid, days, position.
Seen = tuple[int, float, Place]


class Table:
    """The table of one partition and the puts that went into it."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}
        self.puts: list[tuple[bytes, bytes]] = []

    def record(self, batch: Sequence[tuple[str, str, Seen]], partition: int = 0) -> None:
        """Record sightings (survey, objectId, detection) as one batch."""
        writes: dict[bytes, tuple[int, bytes]] = {}
        early: dict[bytes, bytes] = {}
        cells.record(
            [
                cells.Sighting(View(self.content.get, writes, partition, 0, early), survey, name, candid, jd, ra, dec)
                for survey, name, (candid, jd, (ra, dec)) in batch
            ]
        )
        self.puts += early.items()
        for key, (_, value) in writes.items():
            self.puts.append((key, value))
            self.content[key] = value


def objects(content: dict[bytes, bytes]) -> dict[tuple[str, str], list[tuple[int, list[Any]]]]:
    """Cell and detections of each object, wherever it is."""
    found: dict[tuple[str, str], list[tuple[int, list[Any]]]] = {}
    for key, value in content.items():
        cell, survey = int.from_bytes(key[:8], "big"), key[8:].decode()
        for name, detections in cells.objects_in(value).items():
            found.setdefault((survey, name), []).append((cell, detections.tolist()))
    return found


def offset(place: Place, arcsec: float, angle: float) -> Place:
    """The place at a distance in a direction."""
    lon, lat = map(math.radians, place)
    centre = np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])
    east = np.array([-math.sin(lon), math.cos(lon), 0.0])
    north = np.cross(centre, east)
    step = math.radians(arcsec * ARCSEC)
    x, y, z = centre * math.cos(step) + (east * math.cos(angle) + north * math.sin(angle)) * math.sin(step)
    return math.degrees(math.atan2(y, x)) % 360.0 % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


@st.composite
def places(draw: st.DrawFn) -> Place:
    """Anywhere, but often at a corner of a cell, at a pole, or at RA 0."""
    kind = draw(st.sampled_from(["corner", "pole", "meridian", "anywhere"]))
    if kind == "corner":
        lon, lat = boundaries_lonlat(draw(st.sampled_from(PIXELS)), 1, cells.NSIDE, order="nested")
        return float(lon.deg[0, draw(st.integers(0, 3))]) % 360.0, float(lat.deg[0, 0])
    if kind == "pole":
        return draw(st.floats(0, 359)), draw(st.sampled_from([90.0, -90.0, 89.9999]))
    lon = draw(st.sampled_from([0.0, 359.99999, 1e-7])) if kind == "meridian" else draw(st.floats(0, 359.999))
    return lon, draw(st.floats(-89, 89))


@st.composite
def sightings(draw: st.DrawFn, most: int = 8) -> list[tuple[str, str, Seen]]:
    """Detections of a few objects that lie close together, each within 1.4 arcsec of its object."""
    centre = draw(places())
    found = []
    for number in range(draw(st.integers(1, most))):
        survey = draw(st.sampled_from(["ZTF", "LSST"]))
        name = draw(st.sampled_from("ab"))
        middle = offset(centre, 4.0 if name == "b" else 0.0, 1.0)
        place = offset(middle, draw(st.floats(0, 1.4)), draw(st.floats(0, 6.28)))
        found.append((survey, name, (number, draw(st.sampled_from([1.0, 2.0, 3.0])), place)))
    return found


def batches(data: st.DataObject, delivered: list[Any]) -> list[list[Any]]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(delivered)), max_size=4)))
    return [delivered[a:b] for a, b in zip([0, *cuts], [*cuts, len(delivered)], strict=True)]


@given(sightings(), st.data())
@settings(deadline=None)
def test_any_order_and_repetition_ends_the_same(found: list[Any], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(found), max_size=5))
    table = Table()
    for batch in batches(data, data.draw(st.permutations(found + again))):
        table.record(batch)
    expected: dict[Any, list[Any]] = {}
    for survey, name, (candid, jd, (ra, dec)) in found:
        expected.setdefault((survey, name), []).append((jd, candid, ra, dec))
    stored = objects(table.content)
    assert stored.keys() == expected.keys()
    for name, detections in expected.items():
        detections.sort()
        ra, dec = sky.mean_position([d[2] for d in detections], [d[3] for d in detections])
        (cell,) = sky.cells([ra], [dec], cells.NSIDE).tolist()
        assert stored[name] == [(cell, detections)]


@given(sightings(most=12), st.data())
@settings(deadline=None)
def test_an_object_is_in_a_cell_wherever_the_changelog_ends(found: list[Any], data: st.DataObject) -> None:
    """Objects that exchange their cells, too; and what comes again repairs what is in two."""
    known = data.draw(st.integers(0, len(found)))
    table = Table()
    for one in found[:known]:
        table.record([one])
    before = objects(table.content)
    least = len(table.puts)
    for batch in batches(data, found[known:]):
        table.record(batch)
    for end in range(least, len(table.puts) + 1):
        left = objects(dict(table.puts[:end]))
        assert left.keys() >= before.keys()
        for name, places in before.items():
            assert {d[1] for _, ds in places for d in ds} <= {d[1] for _, ds in left[name] for d in ds}
    again = Table()
    again.content = dict(table.puts[: data.draw(st.integers(least, len(table.puts)))])
    for batch in batches(data, found[known:]):
        again.record(batch)
    assert objects(again.content) == objects(table.content)


def test_two_objects_exchange_their_cells() -> None:
    """Each has been in the other's cell; both leave in one batch."""
    lon, lat = boundaries_lonlat(123456789, 1, cells.NSIDE, order="nested")
    centre = float(lon.deg[0].mean()), float(lat.deg[0].mean())
    side = float(lon.deg[0, :2].mean()), float(lat.deg[0, :2].mean())
    angle = math.atan2(side[1] - centre[1], (side[0] - centre[0]) * math.cos(math.radians(centre[1])))
    inside, outside = offset(side, 0.4, angle + math.pi), offset(side, 0.4, angle)
    far_inside, far_outside = offset(side, 1.2, angle + math.pi), offset(side, 1.2, angle)
    table = Table()
    table.record([("ZTF", "a", (1, 1.0, inside)), ("ZTF", "b", (2, 1.0, outside))])
    known = len(table.puts)
    (a,), (b,) = objects(table.content)["ZTF", "a"], objects(table.content)["ZTF", "b"]
    table.record([("ZTF", "a", (3, 2.0, far_outside)), ("ZTF", "b", (4, 2.0, far_inside))])
    (after_a,), (after_b,) = objects(table.content)["ZTF", "a"], objects(table.content)["ZTF", "b"]
    assert (after_a[0], after_b[0]) == (b[0], a[0])
    for end in range(known, len(table.puts) + 1):
        assert objects(dict(table.puts[:end])).keys() == {("ZTF", "a"), ("ZTF", "b")}


def test_a_cell_that_is_left_is_emptied_after_the_last_write_of_the_one_that_is_entered() -> None:
    """Two detections of one batch: after a crash between their values the one from before must not be gone."""
    pole = (0.0, 90.0)
    first, *rest = [("ZTF", "a", (n, 1.0, where)) for n, where in enumerate((pole, offset(pole, 1.0, 2.0), pole))]
    table, expected = Table(), Table()
    expected.record([first, *rest])
    table.record([first])
    table.record(rest)
    assert len(table.puts) > 2
    for survived in range(1, len(table.puts) + 1):
        again = Table()
        again.content = dict(table.puts[:survived])
        again.record(rest)
        assert objects(again.content) == objects(expected.content)


@given(sightings(), st.data())
@settings(deadline=None)
def test_crash_in_the_middle_of_the_changelog(found: list[Any], data: st.DataObject) -> None:
    """RocksDB is gone, and the changelog has a part of what a batch wrote."""
    acknowledged = data.draw(st.integers(0, len(found)))
    table, expected = Table(), Table()
    expected.record(found)
    for one in found[:acknowledged]:
        table.record([one])
    least = len(table.puts)
    for batch in batches(data, found[acknowledged:]):
        table.record(batch)
    survived = Table()
    survived.content = dict(table.puts[: data.draw(st.integers(least, len(table.puts)))])
    for batch in batches(data, found[acknowledged:]):
        survived.record(batch)
    assert objects(survived.content) == objects(expected.content)


def test_an_object_moves_to_another_cell() -> None:
    lon, lat = boundaries_lonlat(123456789, 1, cells.NSIDE, order="nested")
    edge = float(lon.deg[0].mean()), float(lat.deg[0].mean())  # the middle; go to the side between two corners
    side = float(lon.deg[0, :2].mean()), float(lat.deg[0, :2].mean())
    angle = math.atan2(side[1] - edge[1], (side[0] - edge[0]) * math.cos(math.radians(edge[1])))
    inside, outside = (offset(side, 0.5 * sign, angle + math.pi) for sign in (1, -2))
    table = Table()
    table.record([("ZTF", "a", (1, 1.0, inside))])
    ((before, _),) = objects(table.content)["ZTF", "a"]
    table.record([("ZTF", "a", (2, 2.0, outside))])
    ((after, detections),) = objects(table.content)["ZTF", "a"]
    assert before == 123456789 != after
    assert [candid for _, candid, _, _ in detections] == [1, 2]


def test_the_newest_64_detections_are_kept() -> None:
    table = Table()
    for number in [*range(50, 100), *range(50), 3]:
        table.record([("ZTF", "a", (number, float(number), (10.0, 20.0)))])
    ((_, detections),) = objects(table.content)["ZTF", "a"]
    assert [candid for _, candid, _, _ in detections] == list(range(36, 100))


def test_partitions_know_the_object_each_for_itself() -> None:
    """At the edge of two partitions an alert is in one, and its margin record in the other."""
    here, there = {}, {}
    writes: dict[int, dict[bytes, tuple[int, bytes]]] = {0: {}, 1: {}}
    views = [View(stored.get, writes[partition], partition, 7) for partition, stored in enumerate((here, there))]
    cells.record([cells.Sighting(view, "ZTF", "a", 1, 1.0, 10.0, 20.0) for view in views])
    assert writes[0] == writes[1]
    assert [offset_ for offset_, _ in writes[0].values()] == [7]


def test_nothing() -> None:
    cells.record([])
    assert cells.objects_in(None) == {}


@pytest.mark.parametrize("place", [(0.0, 90.0), (0.0, -90.0), (0.0, 0.0)])
def test_mean_around_a_pole_and_the_meridian(place: Place) -> None:
    around = [offset(place, 1.0, math.pi * quarter / 2) for quarter in range(4)]
    ra, dec = sky.mean_position(*map(list, zip(*around, strict=True)))
    assert 0 <= ra < 360
    assert sky.separation_arcsec(ra, dec, *place) < 1e-6

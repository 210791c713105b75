"""Matching with a tile's sources: equal to brute force with astropy, wherever on the sky."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.crossmatch import Catalog, Tile, find, pack
from boom_streams.crossmatch.match import MOST

NEAREST = Catalog(name="stars", radius=2.0)
DISTANCE = Catalog(
    name="galaxies",
    radius=300.0,
    mode="distance",
    distance_key="z",
    distance_max=30.0,
    distance_max_near=300.0,
    order=6,
)


def found(catalog: Catalog, tile: Tile, ra: float, dec: float) -> list[dict[str, Any]]:
    (matches,) = find(catalog, [tile], [ra], [dec])
    return matches


def tile_at(ra: Any, dec: Any, z: Any = None) -> Tile:
    return Tile.unpack(pack(ra, dec, [bson.encode({"_id": i}) for i in range(len(ra))], z))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.floats(0, 360, exclude_max=True), st.sampled_from([0.0, 359.9999999, 180.0])),
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0, 89.9999])),
    st.floats(0.05, 600.0),
    st.integers(0, 40),
    st.integers(0, 2**32 - 1),
)
def test_equal_to_brute_force(ra: float, dec: float, radius: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = SkyCoord(ra, dec, unit="deg")
    around = centre.directional_offset_by(
        rng.uniform(0, 360, count) * units.deg, radius * 2 * np.sqrt(rng.random(count)) * units.arcsec
    )
    lon, lat = np.atleast_1d(around.ra.deg), np.atleast_1d(around.dec.deg)
    separations = centre.separation(around).arcsec if count else np.array([])
    clear = np.abs(separations - radius) > 1e-6
    expected = sorted((s, i) for i, s in enumerate(separations) if s <= radius and clear[i])
    answer = found(Catalog(name="c", radius=radius, order=6), tile_at(lon, lat), ra, dec)
    answer = [match for match in answer if clear[match["_id"]]]
    assert sorted(match["_id"] for match in answer) == sorted(i for _, i in expected)
    assert [match["distance_arcsec"] for match in answer] == pytest.approx([s for s, _ in expected], abs=1e-6)


def test_the_nearest_come_first_and_no_more_than_wanted() -> None:
    tile = tile_at([10.0, 10.0, 10.0], [20.0 + 1.5 / 3600, 20.0 + 0.5 / 3600, 20.0 + 1.0 / 3600])
    assert [match["_id"] for match in found(NEAREST, tile, 10.0, 20.0)] == [1, 2, 0]
    assert [match["_id"] for match in found(NEAREST.model_copy(update={"limit": 2}), tile, 10.0, 20.0)] == [1, 2]


def test_projected_distance() -> None:
    # z, separation in arcsec, whether it is a match (30 kpc is 30 arcsec at z = 0.05), distance in kpc
    cases = [
        (0.05, 20.0, True, 20.0),
        (0.05, 31.0, False, None),
        (0.1, 14.0, True, 28.0),
        (0.1, 16.0, False, None),
        (0.009, 200.0, True, 36.0),
        (0.004, 250.0, True, -1.0),
        (-0.001, 10.0, True, -1.0),
        (float("nan"), 1.0, False, None),
    ]
    tile = tile_at([10.0] * len(cases), [20.0 + s / 3600 for _, s, _, _ in cases], z=[z for z, *_ in cases])
    answer = found(DISTANCE, tile, 10.0, 20.0)
    assert {match["_id"] for match in answer} == {i for i, case in enumerate(cases) if case[2]}
    for match in answer:
        assert match["distance_kpc"] == pytest.approx(cases[match["_id"]][3], rel=1e-6)
    order = [(match["distance_kpc"] != -1, match["distance_kpc"], match["distance_arcsec"]) for match in answer]
    assert order == sorted(order)
    assert [match["_id"] for match in answer[:2]] == [6, 5]


def test_sources_at_equal_separation_stay_in_their_order() -> None:
    same = tile_at([10.0] * 30, [20.0001] * 30, z=[0.05] * 30)
    for catalog in (NEAREST, DISTANCE):
        assert [match["_id"] for match in found(catalog, same, 10.0, 20.0)] == list(range(30))


def test_an_empty_tile() -> None:
    assert found(NEAREST, tile_at([], []), 10.0, 20.0) == []
    for catalog in (NEAREST, DISTANCE):
        assert found(catalog, Tile.unpack(pack([], [], [], [])), 10.0, 20.0) == []


def test_a_large_batch_is_matched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = [tile_at([10.0 + place, 10.0 + place], [20.0, 20.0]) for place in range(5)]
    positions = [10.0 + place for place in range(5)], [20.0] * 5
    whole = find(NEAREST, tiles, *positions)
    monkeypatch.setattr("boom_streams.crossmatch.match._PAIRS", 3)
    assert find(NEAREST, tiles, *positions) == whole
    assert [len(matches) for matches in whole] == [2] * 5


def test_no_alert_has_thousands_of_matches() -> None:
    tile = tile_at([10.0] * (MOST + 10), [20.0] * (MOST + 10))
    assert [match["_id"] for match in found(NEAREST, tile, 10.0, 20.0)] == list(range(MOST))

"""Packed tiles: what goes in comes out, in its order."""

from __future__ import annotations

import datetime
from typing import Any

import bson
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.crossmatch import Tile, pack

VALUES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=8)
)
ROWS = st.dictionaries(st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True), VALUES, max_size=4)
SOURCES = st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90), st.floats(), ROWS), max_size=20)


@given(SOURCES)
def test_what_is_packed_is_there(sources: list[tuple[float, float, float, dict[str, Any]]]) -> None:
    rows = [bson.encode(row) for *_, row in sources]
    ra, dec, key = ([source[i] for source in sources] for i in range(3))
    data = pack(ra, dec, rows, key)
    tile = Tile.unpack(data)
    assert len(tile) == len(sources)
    assert tile.positions.tolist() == [ra, dec]
    assert tile.key is not None
    np.testing.assert_array_equal(tile.key, key)
    assert [tile.row(place) for place in range(len(tile))] == rows
    assert pack(ra, dec, rows, key) == data


def test_the_format() -> None:
    """Other programs may read tiles, too."""
    rows = [bson.encode({"_id": 7, "ra": 1.5, "dec": -2.0}), bson.encode({"_id": "b", "name": "M 31"})]
    document = bson.decode(pack([1.5, 2.5], [-2.0, 3.0], rows, [0.1, float("nan")]))
    assert list(document) == ["v", "columns", "ra", "dec", "key", "ends", "rows"]
    assert document["ra"] == np.array([1.5, 2.5], "<f8").tobytes()
    assert document["key"][:8] == np.array([0.1], "<f8").tobytes()
    assert document["ends"] == np.array([len(rows[0]), len(rows[0]) + len(rows[1])], "<u4").tobytes()
    assert document["rows"] == rows[0] + rows[1]
    assert list(bson.decode(pack([1.5, 2.5], [-2.0, 3.0], rows))) == ["v", "columns", "ra", "dec", "ends", "rows"]


def test_a_tile_without_sources() -> None:
    assert len(Tile.unpack(pack([], [], []))) == 0
    assert Tile.unpack(pack([], [], [])).key is None


def test_times_are_kept() -> None:
    moment = datetime.datetime(2024, 6, 17, 1, 2, 3)  # noqa: DTZ001 - BSON's times are in UTC, and read as such
    assert bson.decode(Tile.unpack(pack([1.0], [2.0], [bson.encode({"t": moment})])).row(0)) == {"t": moment}

"""Packed points: to documents and back, and what does not fit."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.errors import BadRecord
from boom_streams.surveys import Series, packed_points

DTYPE = np.dtype(
    [
        ("jd", "f8"),
        ("fid", "i1"),
        ("pid", "i8"),
        ("mag", "f4"),
        ("isdiffpos", "i1"),
        ("name", "S8"),
        ("n", "i2"),
    ]
)
BANDS = {1: "g", 2: "r"}
SERIES = Series(
    "limits", "limit", DTYPE, BANDS, band="fid", flux_error="mag", key=("jd", "fid"), booleans=frozenset({"isdiffpos"})
)

POINT = st.fixed_dictionaries(
    {"jd": st.floats(2e6, 3e6), "fid": st.sampled_from([1, 2])},
    optional={
        "pid": st.integers(-(2**63) + 1, 2**63 - 1),
        "mag": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "isdiffpos": st.booleans(),
        "name": st.text("abcXYZ 1/", min_size=1, max_size=8),
        "n": st.integers(-(2**15) + 1, 2**15 - 1),
    },
)


@given(st.lists(POINT, max_size=5))
def test_documents_and_back(history: list[dict[str, Any]]) -> None:
    packed = packed_points.pack(history, DTYPE)
    documents = SERIES.to_documents(packed)
    assert documents == [{**point, "band": BANDS[point["fid"]]} for point in history]
    again = SERIES.from_documents(documents)
    assert again.tobytes() == packed.tobytes()
    assert packed_points.loads(packed_points.dumps(packed), DTYPE).tobytes() == packed.tobytes()
    bson.encode({"points": documents})


def test_what_is_missing_is_absent() -> None:
    history = [
        {"jd": 1.0, "fid": 9, "mag": None, "name": None, "other": 3},
        {"jd": float("inf"), "fid": None, "mag": float("nan"), "pid": None, "isdiffpos": None, "n": None},
    ]
    packed = packed_points.pack(history, DTYPE)
    packed_points.drop_infinities(packed)
    assert SERIES.to_documents(packed) == [{"jd": 1.0, "fid": 9}, {}]
    assert packed["isdiffpos"].tolist() == [-128, -128]


def test_types_are_plain() -> None:
    point = {"jd": 1.5, "fid": 1, "pid": 2, "mag": 3.5, "isdiffpos": 0, "name": "x", "n": 4}
    (document,) = SERIES.to_documents(packed_points.pack([point], DTYPE))
    assert {name: type(value) for name, value in document.items()} == {
        "jd": float,
        "fid": int,
        "pid": int,
        "mag": float,
        "isdiffpos": bool,
        "name": str,
        "n": int,
        "band": str,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"jd"}, {"jd": 1.0}),
        ({"jd", "band"}, {"jd": 1.0, "band": "g"}),
        ({"band"}, {"band": "g"}),
        ({"isdiffpos", "nothing"}, {"isdiffpos": True}),
        (set(), {}),
    ],
)
def test_only_some_fields(fields: set[str], expected: dict[str, Any]) -> None:
    packed = packed_points.pack([{"jd": 1.0, "fid": 1, "isdiffpos": True}], DTYPE)
    assert SERIES.to_documents(packed, fields) == [expected]


def test_none() -> None:
    packed = packed_points.pack([], DTYPE)
    assert len(packed) == 0
    assert SERIES.to_documents(packed) == []
    assert len(packed_points.loads(b"", DTYPE)) == 0


@pytest.mark.parametrize("point", [{"fid": 300}, {"fid": "x"}, {"n": 2**20}, {"jd": "soon"}, {"pid": float("nan")}])
def test_what_does_not_fit_names_its_column(point: dict[str, Any]) -> None:
    with pytest.raises(BadRecord, match=next(iter(point))):
        packed_points.pack([{"jd": 1.0}, point], DTYPE)


def test_bytes_that_are_no_points() -> None:
    with pytest.raises(BadRecord, match="whole number"):
        packed_points.loads(b"12345", DTYPE)

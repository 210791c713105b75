"""What a light curve's declaration must say, and how its points are put in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boom_streams.surveys import Series, packed_points

DTYPE = np.dtype(
    [("jd", "f8"), ("band", "S4"), ("candid", "i8"), ("ra", "f8"), ("dec", "f8"), ("f", "f8"), ("e", "f8")]
)
GOOD: dict[str, Any] = {
    **{"name": "seen", "role": "detection", "dtype": DTYPE, "bands": {b"g": "g", b"r": "r"}},
    **{"flux": "f", "flux_error": "e"},
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flux": "x"}, "seen has no column x"),
        ({"key": ("jd", "band", "y")}, "seen has no column y"),
        ({"key": ("band", "jd")}, "key of seen begins with"),
        ({"flux_error": ""}, "which column is the flux's error"),
        ({"bands": {b"g": "green"}}, "must hold the bands' names"),
        ({"dtype": np.dtype([("jd", "f8"), ("band", "S4"), ("f", "f8"), ("e", "f8")])}, "lacks candid, ra or dec"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], reason: str) -> None:
    Series(**GOOD)
    with pytest.raises(ValueError, match=reason):
        Series(**(GOOD | changes))


def test_points_are_sorted_and_of_equal_ones_the_last_stays() -> None:
    series = Series(**GOOD)
    points = [
        *({"jd": 2.0, "band": "r", "f": value, "e": 1.0} for value in (1.0, 2.0)),
        {"jd": 2.0, "band": "g", "candid": 7, "f": 3.0, "e": 1.0},
        {"jd": 1.0, "band": "r", "candid": 9, "f": 4.0, "e": 1.0},
        {"jd": 3.0, "band": "g", "candid": 7, "f": 5.0, "e": 1.0},
    ]
    found = series.arranged(packed_points.pack(points, DTYPE))
    assert found["f"].tolist() == [4.0, 2.0, 5.0]


def test_magnitudes_and_ratios_follow_from_fluxes() -> None:
    series = Series(**GOOD)
    points = packed_points.pack([{"jd": 1.0, "band": "g", "f": -3630.78, "e": 363.078}], DTYPE)
    magnitudes, errors = series.magnitudes(points)
    assert magnitudes.tolist() == [pytest.approx(22.5, abs=1e-4)]
    assert errors.tolist() == [pytest.approx(0.10857, abs=1e-4)]
    assert series.ratios(points).tolist() == [pytest.approx(10)]

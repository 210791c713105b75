"""The light curve of the page: every point at its place, and what is left out is said."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.astro.photometry import flux_to_mag
from boom_streams.page.axes import magnitude_ticks, nice_ticks, round_number
from boom_streams.page.curves import BOTTOM, LEFT, RIGHT, TOP, Plot, plot
from tests.support.page_alerts import JD, point


def drawn(photometry: list[dict[str, Any]], *, whole: bool = False) -> Plot:
    found = plot(photometry, JD, whole=whole)
    assert found is not None
    return found


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def scale(ticks: list[tuple[float, str]], place: float) -> float:
    """Value at a place, from the labels of an axis."""
    (first, a), *_, (last, b) = ticks
    return number(a) + (place - first) * (number(b) - number(a)) / (last - first)


PHOTOMETRY = [
    point(-20.5, "r", "limit", None, 3e3),
    point(-10, "g", "forced", -2e4, 4e3),
    point(-10, "r", "alert", 5e4, 5e3),
    point(-4, "i", "alert", 8.5e4, 6e3),
    point(0, "g", "alert", 1e5, 5e3),
]


def test_points_are_where_the_axes_say() -> None:
    found = drawn(PHOTOMETRY)
    assert found.unit == "µJy"
    assert len(found.marks) == len(PHOTOMETRY)
    for expected in PHOTOMETRY:
        flux = expected["flux"] if expected["flux"] is not None else 5 * expected["flux_error"]
        (mark,) = [
            mark
            for mark in found.marks
            if (mark.band, mark.origin) == (expected["band"], expected["origin"])
            and scale(found.x_ticks, mark.x) == pytest.approx(expected["jd"] - JD, abs=1e-6)
        ]
        assert scale(found.y_ticks, mark.y) == pytest.approx(flux / 1e3, abs=1e-6)
        if expected["origin"] == "limit":
            assert mark.bar is None
        else:
            assert mark.bar is not None
            top, bottom = (scale(found.y_ticks, end) for end in mark.bar)
            assert (top - bottom) / 2 == pytest.approx(expected["flux_error"] / 1e3, abs=1e-6)


def test_the_zero_line_and_the_alert_are_marked() -> None:
    found = drawn(PHOTOMETRY)
    assert scale(found.y_ticks, found.y_zero) == pytest.approx(0, abs=1e-6)
    assert scale(found.x_ticks, found.x_zero) == pytest.approx(0, abs=1e-6)
    (own,) = [mark for mark in found.marks if mark.own]
    assert (own.x, own.band) == (found.x_zero, "g")


def test_the_magnitude_scale_agrees_with_the_flux_axis() -> None:
    found = drawn(PHOTOMETRY)
    assert len(found.mag_ticks) >= 2
    for place, label in found.mag_ticks:
        magnitude, _ = flux_to_mag(scale(found.y_ticks, place) * 1e3, 1.0)
        assert float(magnitude) == pytest.approx(float(label), abs=1e-6)


def test_titles_have_the_numbers() -> None:
    titles = {mark.title for mark in drawn(PHOTOMETRY).marks}
    assert "g detection, 0 d, MJD 59540.2500: 100 ± 5 µJy, 18.90 ± 0.05 mag" in titles
    assert "g forced measurement, −10 d, MJD 59530.2500: −20 ± 4 µJy" in titles
    assert "r 5σ upper limit, −20.5 d, MJD 59519.7500: 15 µJy, 20.96 mag" in titles


def test_old_points_are_counted_and_are_in_the_whole_curve() -> None:
    photometry = [point(-300, "r", "limit", None, 3e3), point(-200, "g", "forced", 1e3, 4e3), *PHOTOMETRY]
    found = drawn(photometry)
    assert found.earlier
    assert len(found.marks) == len(PHOTOMETRY)
    assert found.notes == [f"2 points before {found.notes[0].rsplit(' before ')[1]}"]
    whole = drawn(photometry, whole=True)
    assert (len(whole.marks), whole.notes, whole.earlier) == (len(photometry), [], False)


def test_limits_far_above_the_detections_do_not_flatten_them() -> None:
    found = drawn([*PHOTOMETRY, point(-2, "r", "limit", None, 1e6)])
    assert found.notes == ["1 upper limit beyond the frame's fluxes"]
    assert len(found.marks) == len(PHOTOMETRY)


def test_one_point() -> None:
    found = drawn([point(0)])
    (mark,) = found.marks
    assert mark.own
    assert LEFT < mark.x < RIGHT
    assert TOP < mark.y < BOTTOM
    assert found.counts == [("g", [("alert", "detection", 1)])]


def test_all_limits() -> None:
    found = drawn([point(-days, "r", "limit", None, 1e3 * days) for days in (1, 2, 30, 200)])
    assert [mark.origin for mark in found.marks] == ["limit"] * 4
    assert found.notes == []
    assert found.counts == [("r", [("limit", "upper limits", 4)])]


def test_points_without_numbers_are_counted() -> None:
    nothing = [point(-1, flux=None), point(-2, flux=math.nan), point(-3, "r", "limit", None, None)]
    assert plot(nothing, JD) is None
    assert plot([], JD) is None
    assert drawn([*nothing, point(0)]).notes == ["3 points without a flux"]
    assert drawn([point(0, error=None)]).marks[0].bar is None


def test_only_negative_fluxes_have_no_magnitudes_but_all_else() -> None:
    found = drawn([point(-1, flux=-1e5), point(0, flux=-2e5)])
    assert all(float(label) > 20 for _, label in found.mag_ticks)
    assert all("mag" not in mark.title for mark in found.marks)
    assert found.y_zero < min(mark.y for mark in found.marks)


@pytest.mark.parametrize(("flux", "unit"), [(300.0, "nJy"), (5e4, "µJy"), (5e8, "mJy")])
def test_the_unit_suits_the_fluxes(flux: float, unit: str) -> None:
    found = drawn([point(0, flux=flux, error=flux / 20)])
    assert found.unit == unit
    assert scale(found.y_ticks, found.marks[0].y) * {"nJy": 1, "µJy": 1e3, "mJy": 1e6}[unit] == pytest.approx(flux)


@given(
    st.lists(
        st.builds(
            point,
            st.floats(-365, 0),
            st.sampled_from(["g", "r", "i", "z", "w"]),
            st.sampled_from(["alert", "forced", "limit"]),
            st.one_of(st.none(), st.floats(-1e9, 1e9)),
            st.one_of(st.none(), st.floats(1, 1e9)),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_every_point_is_drawn_inside_or_counted(photometry: list[dict[str, Any]], whole: bool) -> None:
    found = plot(photometry, JD, whole=whole)
    if found is None:
        return
    assert all(LEFT <= mark.x <= RIGHT and TOP <= mark.y <= BOTTOM for mark in found.marks)
    assert len(found.marks) + sum(int(note.split()[0]) for note in found.notes) == len(photometry)
    assert sum(n for _, kinds in found.counts for _, _, n in kinds) == len(found.marks)
    detections = [p for p in photometry if p["origin"] == "alert" and p["flux"] is not None]
    assert sum(mark.origin == "alert" for mark in found.marks) == len(detections)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_ticks_are_few_and_within(low: float, span: float, count: int) -> None:
    ticks = nice_ticks(low, low + span, count)
    assert len(ticks) <= count + 1
    slack = 1e-6 * (span + abs(low))
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


@given(st.floats(1, 1e9), st.floats(20, 300))
def test_magnitude_ticks_keep_apart(top: float, height: float) -> None:
    places = [flux / top * height for _, flux in magnitude_ticks(top, height, 13)]
    assert all(13 - 1e-6 <= place <= height * (1 + 1e-6) for place in places)
    assert all(a - b >= 13 - 1e-6 for a, b in itertools.pairwise(places))


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0, 3, "0"), (-300.0, 6, "−300"), (1.23456, 3, "1.23"), (3.1e10, 5, "3.1e10"), (-2e-9, 3, "−2e−9")],
)
def test_numbers_for_people(value: float, digits: int, text: str) -> None:
    assert round_number(value, digits) == text

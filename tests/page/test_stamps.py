"""Stamps of the page: pictures that any program reads, and reasons where there is none."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boom_streams.page.stamps import Bar, Stamp, encode_png, grey_levels, oriented, stamps
from boom_streams.surveys import Stamps
from tests.support.page_alerts import alert, fits_stamp, star


def pixels_of(stamp: Stamp) -> Any:
    """Grey levels and opacity of a picture of ZTF, read by another library; the first row is the upper one."""
    kind, _, data = stamp.uri.partition(",")
    assert kind == "data:image/png;base64"
    image = read(base64.b64decode(data, validate=True))
    return image[..., 0], image[..., 3]


def read(png: bytes) -> Any:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return np.asarray(image.convert("RGBA")).astype(int)


def test_a_picture_has_the_stamp_s_size_and_brightest_pixel() -> None:
    for stamp in stamps(alert(cutoutTemplate=fits_stamp(star(10, 50)[:48]))):
        image, _ = pixels_of(stamp)
        row, column = (10, 50) if stamp.name == "Template" else (40, 20)
        assert image.shape == ((48, 63) if stamp.name == "Template" else (63, 63)) == (stamp.height, stamp.width)
        assert image[row, column] == image.max() == 255
        assert stamp.problem == ""


def test_pixels_without_a_value_are_transparent_and_counted() -> None:
    values = star(40, 20)
    values[:5] = np.nan
    values[30, 30] = np.inf
    for stamp in stamps(alert(**dict.fromkeys(("cutoutScience", "cutoutDifference"), fits_stamp(values))))[::2]:
        _, opacity = pixels_of(stamp)
        np.testing.assert_array_equal(opacity == 0, ~np.isfinite(values))
        assert stamp.blank == 5 * 63 + 1


@pytest.mark.parametrize(
    ("first_row", "first_column", "place"),
    [("north", "east", (1, 2)), ("south", "east", (-2, 2)), ("north", "west", (1, -3)), ("", "", (-2, 2))],
)
def test_north_is_on_top_and_east_on_the_left_where_that_is_known(
    first_row: Any, first_column: Any, place: tuple[int, int]
) -> None:
    values = np.zeros((5, 7))
    values[1, 2] = 1
    found = oriented(values, Stamps("s", "t", "d", first_row=first_row, first_column=first_column))
    assert found[place] == 1


def test_ztf_s_first_row_is_on_top_with_its_directions_and_a_scale() -> None:
    for stamp in stamps(alert()):
        assert (stamp.north, stamp.east) == (True, True)
        assert stamp.arcsec == pytest.approx((64, 64), abs=0.3)
        assert stamp.bar == Bar(20, pytest.approx(20 / 63.756))


def test_of_a_survey_that_is_not_known_nothing_is_claimed() -> None:
    stamp, *_ = stamps(alert(survey="ELSEWHERE"))
    assert (stamp.north, stamp.east, stamp.arcsec, stamp.bar) == (False, False, None, None)
    image, _ = pixels_of(stamp)
    assert image[::-1][40, 20] == 255, "as FITS has it"


def test_a_difference_is_symmetric_about_mid_grey() -> None:
    values = star(40, 20) - np.float32(100)
    bright, faint = (grey_levels(image, symmetric=True).astype(int) for image in (values, -values))
    assert np.abs(bright + faint - 256).max() <= 1
    assert faint[40, 20] == 1
    assert grey_levels(np.array([[0.0, 1.0, -1.0]]), symmetric=True).tolist() == [[128, 255, 1]]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"cutoutScience": None, "cutouts_missing": "the archive has none"}, "the archive has none"),
        ({"cutoutScience": None}, "this stamp was not published"),
        ({"cutoutScience": b"\xff\xd8\xff"}, "it is no FITS image but a JPEG"),
        ({"cutoutScience": fits_stamp(np.full((5, 5), np.nan))}, "no pixel has a value"),
        ({"cutoutScience": fits_stamp(np.zeros((600, 600)))}, "it has 600 × 600 pixels, too many to show here"),
    ],
)
def test_what_cannot_be_shown_has_a_reason(changes: dict[str, Any], problem: str) -> None:
    science, *others = stamps(alert(**changes))
    assert (science.uri, science.problem) == ("", problem)
    assert all(stamp.uri for stamp in others)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([0.0, 1e-20, 1.0, 1e6, 1e30]),
    st.sampled_from([0.0, 1.0, -1e6]),
    st.booleans(),
    st.integers(0, 9),
)
def test_any_image_has_grey_levels(
    shape: tuple[int, int], scale: float, offset: float, symmetric: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(offset, 1, shape) * scale).astype(np.float32)
    values[rng.random(shape) < 0.2] = np.nan
    if not np.isfinite(values).any():
        return
    grey = grey_levels(values, symmetric=symmetric)
    assert ((grey == 0) == np.isnan(values)).all()
    order = np.argsort(values[np.isfinite(values)])
    assert (np.diff(grey[np.isfinite(values)][order].astype(int)) >= 0).all()


def test_a_png_is_read_back() -> None:
    grey = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    image = read(encode_png(grey))
    np.testing.assert_array_equal(image[..., 0], grey)
    assert (image[..., 3] == 255).all()

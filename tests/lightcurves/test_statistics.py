"""Light-curve statistics against an independent computation, BOOM's own unit cases, and a real alert's known values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.lightcurves import statistics as lightcurve
from boom_streams.lightcurves.statistics import BANDS, Point, fit_rate, photometry, photstats, stationary, statistics
from boom_streams.surveys import Alert, packed_points
from boom_streams.tables.objects import history
from boom_streams.testing import stages
from boom_streams.testing.stages import ZTF, Memory
from tests.support.ztf_packets import candidate, container, decode, detection, forced

JD = 2460000.5

MAGS = st.floats(10, 25, width=32)
ERRORS = st.floats(2**-10, 1.0, width=32)
DAYS = st.sampled_from([0.0, 0.009, 0.01, 0.011, 1.0, 2.5, 30.0, 364.0])


@st.composite
def curves(draw: st.DrawFn, most: int = 8) -> list[Point]:
    """Points in time and then in the order of bands, one a (jd, band), as `photometry` gives them."""
    places = draw(st.sets(st.tuples(DAYS, st.sampled_from("gri")), max_size=most))
    ordered = sorted(places, key=lambda place: (place[0], BANDS.index(place[1])))
    return [Point(JD + day, band, draw(MAGS), draw(ERRORS)) for day, band in ordered]


def line(days: list[float], mags: list[float], error: float) -> list[Point]:
    return [Point(JD + day, "g", mag, error) for day, mag in zip(days, mags, strict=True)]


def polyfit(part: list[Point]) -> tuple[float, float, float]:
    """Slope, its error and chi squared, by numpy's least squares of (mag - model) / error."""
    t, mag, error = np.array([(p.jd - part[0].jd, p.mag, p.mag_err) for p in part]).T
    design = np.stack([t, np.ones_like(t)], axis=1) / error[:, None]
    solution, _, _, _ = np.linalg.lstsq(design, mag / error, rcond=None)
    covariance = np.linalg.inv(design.T @ design)
    chi2 = float(np.sum((mag / error - design @ solution) ** 2))
    return float(solution[0]), math.sqrt(covariance[0, 0]), chi2


@given(curves())
def test_each_band_has_its_peak_and_its_fits(points_: list[Point]) -> None:
    stats = photstats(points_)
    assert list(stats) == [band for band in BANDS if any(p.band == band for p in points_)]
    for band, entry in stats.items():
        mine = [p for p in points_ if p.band == band]
        mags = np.array([p.mag for p in mine])
        peak = int(np.argmin(mags))  # the first of equals
        assert (entry["peak_jd"], entry["peak_mag"], entry["peak_mag_err"]) == mine[peak][:1] + mine[peak][2:]
        assert entry["dt"] == mine[-1].jd - mine[0].jd
        for name, part in (("rising", mine[: peak + 1]), ("fading", mine[peak:])):
            check_fit(entry.get(name), part)


def check_fit(fit: dict[str, float | int] | None, part: list[Point]) -> None:
    bright, faint = min(part, key=lambda p: p.mag), max(part, key=lambda p: p.mag)
    wanted = (
        len(part) > 1
        and part[-1].jd - part[0].jd > 0.01
        and not bright.mag + bright.mag_err >= faint.mag - faint.mag_err
    )
    assert (fit is not None) == wanted
    if fit is None:
        return
    rate, error, chi2 = polyfit(part)
    assert fit["rate"] == pytest.approx(rate, rel=1e-6, abs=1e-6)
    assert fit["rate_error"] == pytest.approx(error, rel=1e-6)
    assert (fit["nb_data"], fit["dt"]) == (len(part), part[-1].jd - part[0].jd)
    if len(part) == 2:
        assert "red_chi2" not in fit
    else:
        assert fit["red_chi2"] == pytest.approx(chi2 / (len(part) - 2), rel=1e-5, abs=1e-5)


@given(curves())
def test_stationary(points_: list[Point]) -> None:
    times = [p.jd for p in points_]
    assert stationary(points_) == (bool(times) and max(times) - min(times) > 0.01)


@pytest.mark.parametrize(
    ("days", "mags", "error", "expected"),
    [
        ([0, 1, 2, 3, 4], [10.0, 12.1, 14.0, 16.1, 18.2], 0.1, (2.04, 0.031623, 0.400001)),
        ([0, 1], [10.0, 12.0], 0.1, (2.0, 0.141421, None)),
    ],
)
def test_lines_with_the_results_that_boom_states(
    days: list[float], mags: list[float], error: float, expected: tuple[float, float, float | None]
) -> None:
    fit = fit_rate(line(days, mags, error))
    assert fit is not None
    assert (fit["rate"], fit["rate_error"]) == pytest.approx(expected[:2], rel=1e-5)
    assert fit.get("red_chi2") == (None if expected[2] is None else pytest.approx(expected[2], rel=1e-5))


def test_a_poor_fit_says_so() -> None:
    part = line([0, 1, 2, 3, 4], [10.0, 14.0, 11.0, 17.0, 12.0], 0.1)
    fit = fit_rate(part)
    assert fit is not None
    assert fit["red_chi2"] == pytest.approx(polyfit(part)[2] / 3)
    assert fit["red_chi2"] > 100


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(line([0], [10.0], 0.1), id="one point"),
        pytest.param(line([0, 0.01], [10.0, 12.0], 0.1), id="too short a span"),
        pytest.param(line([0, 0, 0], [10.0, 12.0, 11.0], 0.1), id="one time"),
        pytest.param(line([0, 1], [10.0, 10.0], 0.1), id="equal magnitudes"),
        pytest.param(line([0, 1], [10.0, 10.2], 0.1), id="flat within the errors"),
        pytest.param(line([0, 1, 2], [10.0, 12.0, 14.0], 0.0), id="an error of zero"),
        pytest.param(line([0, 1, 2], [10.0, 12.0, 14.0], -0.1), id="a negative error"),
        pytest.param(line([0, 1, 2], [10.0, 12.0, 14.0], math.inf), id="an infinite error"),
        pytest.param(line([0, 1, 2], [10.0, 12.0, 14.0], math.nan), id="no error"),
        pytest.param([], id="nothing"),
    ],
)
def test_no_fit(part: list[Point]) -> None:
    assert fit_rate(part) is None


def test_a_bad_error_in_the_middle_prevents_the_fit() -> None:
    part = line([0, 1, 2], [10.0, 12.0, 14.0], 0.1)
    part[1] = part[1]._replace(mag_err=0.0)
    assert fit_rate(part) is None


def test_a_span_just_long_enough() -> None:
    jd = 2460000.0
    part = [Point(jd, "g", 10.0, 0.1), Point(jd + 0.0101, "g", 12.0, 0.1)]
    assert fit_rate(part) is not None
    assert stationary(part)


@given(curves())
def test_nothing_is_infinite_or_missing(points_: list[Point]) -> None:
    numbers = [v for entry in photstats(points_).values() for v in flat(entry)]
    assert all(math.isfinite(number) for number in numbers)


def flat(entry: dict[str, Any]) -> list[float]:
    return [v for value in entry.values() for v in (value.values() if isinstance(value, dict) else [value])]


def admitted(*containers: bytes, at: int = -1) -> tuple[Alert, dict[str, packed_points.Points]]:
    """The last alert and its light curve as the history has it."""
    store = Memory()
    answers = [history.admit(store, stages.arrival(value)) for value in stages.enriched(list(containers))]
    return decode(containers[at]), answers[at].series


def used(alert: Alert, series: dict[str, packed_points.Points]) -> list[tuple[float, str, float]]:
    chosen = photometry(ZTF, series, alert.candid, alert.jd, alert.programid)
    return [(p.jd - JD, p.band, round(p.mag, 3)) for p in chosen]


def test_one_point_a_time_and_band_the_alerts_own_then_the_smallest_candid() -> None:
    prv = [
        detection(JD, 41, magpsf=17.0),  # the alert's own wins over a smaller candid
        detection(JD - 1, 8, magpsf=16.0),
        detection(JD - 1, 7, magpsf=19.0),
        detection(JD - 1, 6, magpsf=18.5, fid=2),
    ]
    fps = [forced(JD - 1, 1e5, fid=1), forced(JD - 2, 1e4, fid=1), forced(JD, 1e4, fid=2)]
    alert, series = admitted(container(candidate=candidate(jd=JD, magpsf=18.0), prv_candidates=prv, fp_hists=fps))
    before = [(-2.0, "g", 16.0), (-1.0, "g", 19.0), (-1.0, "r", 18.5)]
    assert used(alert, series) == [*before, (0.0, "g", 18.0), (0.0, "r", 16.0)]


def test_which_forced_photometry_counts() -> None:
    fps = [
        forced(JD - 1, 30.001, 10.0),
        forced(JD - 2, 30.0, 10.0),  # not more than 3 sigma
        forced(JD - 3, -1e4, 10.0),  # faded: its magnitude counts all the same
        forced(JD - 4, 1e4, 10.0, procstatus="56"),
        forced(JD - 5, 1e4, 10.0, procstatus=None),
        forced(JD - 6, 1e4, None),
        forced(JD - 7, 1e4, 10.0, magzpsci=None),
        forced(JD + 1, 1e4, 10.0),  # later than the alert
    ]
    alert, series = admitted(container(candidate=candidate(jd=JD, magpsf=18.0), fp_hists=fps))
    assert [day for day, _, _ in used(alert, series)] == [-3.0, -1.0, 0.0]
    assert used(alert, series)[0][2] == 16.0


def test_later_points_and_those_of_a_year_ago_are_not_used() -> None:
    old, now, later = (
        container(candid=n, candidate=candidate(candid=n, jd=JD + day)) for n, day in ((1, -365.1), (2, 0), (3, 1))
    )
    alert, series = admitted(later, old, now)
    assert used(alert, series) == [(0.0, "g", 18.0)]


@pytest.mark.parametrize(
    ("programid", "visible"),
    [(1, {1}), (2, {1, 2}), (3, {0, 1, 2, 3, 64}), (0, {0, 1, 2, 3, 64})],
)
def test_only_points_that_everyone_who_sees_the_alert_may_see(programid: int, visible: set[int]) -> None:
    programmes = (0, 1, 2, 3, 64)
    prv = [detection(JD - 10 - p, 100 + p, programid=p) for p in programmes]
    fps = [forced(JD - 100 - p, 1e4, programid=p) for p in programmes]
    own = candidate(jd=JD, programid=programid)
    alert, series = admitted(container(candidate=own, prv_candidates=prv, fp_hists=fps))
    days = [day for day, _, _ in used(alert, series)]
    assert {-day - 10 for day in days if -90 < day < 0} == visible
    assert {-day - 100 for day in days if day <= -100} == visible


def test_private_points_change_nothing_of_a_public_alert() -> None:
    own = candidate(jd=JD)
    hidden = [detection(JD - 5, 3, programid=2, magpsf=12.0), detection(JD, 1, programid=3, magpsf=11.0)]
    public = [detection(JD - 3, 5, magpsf=17.0)]
    results = []
    for prv in (public, public + hidden):
        alert, series = admitted(container(candidate=own, prv_candidates=prv))
        results.append(statistics(ZTF, series, alert.candid, alert.jd, alert.programid))
    assert results[0] == results[1]
    assert results[0]["stationary"]


@given(st.lists(st.tuples(DAYS, MAGS), min_size=1, max_size=6), st.randoms())
def test_the_order_of_points_does_not_matter(places: list[tuple[float, float]], rng: Any) -> None:
    dtype = ZTF.detections.dtype
    documents = [
        {"jd": JD - day, "fid": 1 + i % 2, "programid": 1, "candid": i, "magpsf": mag, "sigmapsf": 0.1, "snr_psf": 10.0}
        for i, (day, mag) in enumerate(places)
    ]
    results = []
    for _ in range(2):
        rng.shuffle(documents)
        series = {"prv_candidates": packed_points.pack(documents, dtype)}
        results.append(statistics(ZTF, series, 0, JD, 1))
    assert results[0] == results[1]


def test_a_detection_without_magnitude_error_or_ratio_is_not_used() -> None:
    whole = {"jd": JD, "fid": 1, "programid": 1, "candid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "snr_psf": 10.0}
    for name in ("magpsf", "sigmapsf", "snr_psf"):
        found = packed_points.pack([{k: v for k, v in whole.items() if k != name}], ZTF.detections.dtype)
        assert statistics(ZTF, {"prv_candidates": found}, 1, JD, 1) == {"stationary": False, "photstats": {}}
    assert lightcurve.photometry(ZTF, {"prv_candidates": packed_points.pack([whole], found.dtype)}, 1, JD, 1)


def test_the_reference_alert(shared: Path) -> None:
    """Values that the BOOM broker's own tests state."""
    stated = json.loads((shared / "data" / "expected_results.json").read_text())["boom_ztf_2695378462115010012"]
    data = (shared / "data" / stated["alert"]).read_bytes()
    alert, series = admitted(data)
    for name in ("prv_candidates", "prv_nondetections", "fp_hists"):
        assert len(series[name]) == stated["ingest"][name]
    found = alert.properties | statistics(ZTF, series, alert.candid, alert.jd, alert.programid)
    for name, value in stated["properties"].items():
        assert found[name] == value
    assert found["photstats"].keys() == stated["photstats"].keys()
    compared = compare(found["photstats"], stated["photstats"])
    assert compared == 18


def compare(found: dict[str, Any], stated: dict[str, Any]) -> int:
    """Compare within the stated tolerance, |a - b| <= 1e-6 + 5e-6 |b|; the number of values compared."""
    count = 0
    for name, value in stated.items():
        if isinstance(value, dict):
            count += compare(found[name], value)
            continue
        count += 1
        if isinstance(value, str):
            assert value.startswith("NaN")
            assert name not in found
        else:
            assert abs(found[name] - value) <= 1e-6 + 5e-6 * abs(value), (name, found[name], value)
    return count

"""Light curves of made-up sources: their maxima, their slopes, their scatter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.astro.photometry import mag_to_flux as measured_flux
from boom_streams.synthetic import lightcurves

DAYS = np.linspace(-200.0, 400.0, 60_001)
PEAKS = st.floats(1.0, 1e7)


@given(peak=PEAKS, rise=st.floats(0.2, 8.0), times=st.floats(1.5, 20.0))
def test_a_supernova_has_its_maximum_at_its_peak(peak: float, rise: float, times: float) -> None:
    curve = lightcurves.bazin(DAYS, peak, rise, rise * times)
    assert curve.max() == pytest.approx(peak, rel=1e-3)
    assert DAYS[curve.argmax()] == pytest.approx(0.0, abs=0.02)
    assert np.all(curve >= 0)
    assert np.all(np.diff(curve[: curve.argmax()]) >= 0)
    assert np.all(np.diff(curve[curve.argmax() :]) <= 0)


def test_a_supernova_falls_by_its_time() -> None:
    early, late = lightcurves.bazin(np.array([100.0, 120.0]), 1.0, 3.0, 20.0)
    assert early / late == pytest.approx(np.e, rel=1e-6)


def test_a_supernova_long_before_and_after_is_nothing() -> None:
    assert lightcurves.bazin(np.array([-1e5, 1e5]), 1.0, 3.0, 20.0).tolist() == [0.0, 0.0]


@given(peak=PEAKS, rise=st.floats(2.0, 30.0), fallback=st.floats(10.0, 100.0))
def test_a_disruption_falls_as_the_gas_falls_back(peak: float, rise: float, fallback: float) -> None:
    curve = lightcurves.tidal_disruption(DAYS, peak, rise, fallback)
    assert curve.max() == pytest.approx(peak, rel=1e-6)
    assert DAYS[curve.argmax()] == pytest.approx(0.0, abs=0.02)
    first, second = lightcurves.tidal_disruption(np.array([9.0, 99.0]) * fallback, peak, rise, fallback)
    assert np.log10(second / first) == pytest.approx(-5 / 3, rel=1e-6)


@given(period=st.floats(0.2, 2.0), amplitude=st.floats(0.1, 2.0), day=st.floats(-100.0, 100.0))
def test_a_pulsation_repeats_within_its_amplitude(period: float, amplitude: float, day: float) -> None:
    now, later = lightcurves.pulsation(np.array([day, day + period]), period, amplitude)
    assert now == pytest.approx(later, abs=1e-6 * amplitude)
    phases = lightcurves.pulsation(np.linspace(0, period, 2001), period, amplitude)
    assert phases.max() - phases.min() == pytest.approx(amplitude, rel=1e-3)


def test_a_pulsation_brightens_faster_than_it_fades() -> None:
    curve = lightcurves.pulsation(np.linspace(0, 1, 1000), 1.0, 1.0)
    assert -np.diff(curve).min() > 1.5 * np.diff(curve).max()


def test_a_random_walk_has_its_spread_and_its_memory() -> None:
    normals = np.random.default_rng(1).standard_normal(40_000)
    walk = lightcurves.random_walk(np.arange(40_000.0), 0.3, 10.0, normals)
    assert walk.std() == pytest.approx(0.3, rel=0.1)
    assert np.corrcoef(walk[:-10], walk[10:])[0, 1] == pytest.approx(np.exp(-1), abs=0.06)


@given(st.floats(5.0, 30.0))
def test_magnitudes_are_the_brokers(mag: float) -> None:
    flux = lightcurves.mag_to_flux(mag)
    assert float(flux) == pytest.approx(float(measured_flux(mag, 0.1)[0]))
    assert float(lightcurves.flux_to_mag(-flux)) == pytest.approx(mag)


@pytest.mark.parametrize(("z", "modulus"), [(0.01, 33.18), (0.1, 38.31), (0.2, 39.96)])
def test_distances_are_those_of_the_usual_cosmology(z: float, modulus: float) -> None:
    """Of astropy's FlatLambdaCDM(70, 0.3)."""
    assert lightcurves.distance_modulus(z) == pytest.approx(modulus, abs=0.03)

"""Fluxes and magnitudes against stated values and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.astro import photometry


def test_reference_values() -> None:
    mag, error = photometry.flux_to_mag(200.0, 20.0, 23.9)
    assert float(mag) == pytest.approx(18.147425, abs=1e-6)
    assert float(error) == pytest.approx(0.108574, abs=1e-6)
    assert float(photometry.limit_to_fluxerr(18.9 + 7.5)) == pytest.approx(20.0)  # µJy's 18.9 is nJy's 26.4
    flux, error = photometry.mag_to_flux(14.906532, 0.015333954, -1)
    assert float(flux) == pytest.approx(-3957191.6, rel=5e-6)
    assert float(error) == pytest.approx(55887.786, rel=5e-6)


def test_an_ab_magnitude_of_8_90_is_a_jansky() -> None:
    assert float(photometry.mag_to_flux(8.90, 0.1)[0]) == pytest.approx(1e9)
    assert float(photometry.mag_to_flux(31.4, 0.1)[0]) == 1.0


@given(st.floats(5, 30), st.floats(0.001, 1))
def test_there_and_back(mag: float, error: float) -> None:
    flux, flux_error = photometry.mag_to_flux(mag, error)
    back, back_error = photometry.flux_to_mag(flux, flux_error)
    assert float(back) == pytest.approx(mag, abs=1e-9)
    assert float(back_error) == pytest.approx(error, rel=1e-9)


@given(st.floats(0.1, 1e6), st.floats(20, 30))
def test_forced_counts_have_the_magnitude_of_their_image(counts: float, zero_point: float) -> None:
    from_flux, _ = photometry.flux_to_mag(photometry.forced_to_flux(counts, zero_point), 1.0)
    from_image, _ = photometry.flux_to_mag(counts, 1.0, zero_point)
    assert float(from_flux) == pytest.approx(float(from_image), abs=1e-9)


def test_placeholders_have_no_flux() -> None:
    flux, error = photometry.mag_to_flux([np.nan, -999.0, 99.0, 18.0, 18.0], [0.1, 0.1, 0.1, 0.0, -999.0])
    assert np.isnan(flux).tolist() == [True, True, True, False, False]
    assert np.isnan(error).all()
    assert np.isnan(photometry.limit_to_fluxerr([-999.0, np.nan])).all()
    assert np.isnan(photometry.snr([1.0, 1.0], [0.0, np.nan])).all()
    assert np.isnan(photometry.flux_to_mag([0.0, -1.0], 1.0)[0]).all()
    assert photometry.snr(-6.0, 2.0) == 3.0

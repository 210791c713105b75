"""Cells, their neighbours, galactic coordinates, separations, Kafka's partitioner."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from hypothesis import example, given, settings
from hypothesis import strategies as st

from boom_streams.astro import sky
from boom_streams.kafka.partitions import murmur2, raw_partition

RA = st.floats(0, 360, exclude_max=True)
DEC = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0]))


def brute_force(ra: float, dec: float, nside: int, radius_arcsec: float) -> set[int]:
    """Cells of a dense grid of points in a disc, its edge included."""
    grid = HEALPix(nside, order="nested")
    centre = SkyCoord(ra * units.deg, dec * units.deg)
    angles = np.repeat(np.linspace(0, 360, 720, endpoint=False), 8) * units.deg
    steps = np.tile([0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0], 720) * radius_arcsec * units.arcsec
    disc = centre.directional_offset_by(angles, steps)
    touched = grid.lonlat_to_healpix(disc.ra, disc.dec)
    return {int(cell) for cell in np.unique(touched)} - {int(sky.cells(ra, dec, nside))}


@settings(max_examples=60, deadline=None)
@given(RA, DEC, st.sampled_from([256, 4096]), st.floats(0, 360), st.floats(0, 2))
@example(0.0, 90.0, 256, 0.0, 0.5)
@example(0.0, -90.0, 4096, 0.0, 0.5)
@example(0.0, 0.0, 256, 0.0, 0.0)
@example(45.0, 41.8103149, 256, 0.0, 1.0)
@example(359.9999999, 10.0, 256, 10.0, 0.3)
@example(90.0, 66.44, 4096, 200.0, 0.9)
def test_neighbours_against_brute_force(ra: float, dec: float, nside: int, direction: float, distance: float) -> None:
    # most random positions are far from an edge, so go to a corner of the cell, and a little away from it
    grid = HEALPix(nside, order="nested")
    corner_ra, corner_dec = grid.boundaries_lonlat(sky.cells([ra], [dec], nside), 1)
    corner = SkyCoord(corner_ra[0, 0], corner_dec[0, 0])
    near = corner.directional_offset_by(direction * units.deg, distance * 5 * units.arcsec)
    for lon, lat in ((ra, dec), (float(near.ra.deg) % 360, float(near.dec.deg))):
        (found,) = sky.neighbour_cells([lon], [lat], nside, 5.0)
        assert brute_force(lon, lat, nside, 5.0) <= set(found)
        assert set(found) <= brute_force(lon, lat, nside, 5.55)
        assert list(found) == sorted(set(found))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12 * 256**2 - 1), st.floats(0, 1), st.integers(0, 3), st.floats(0, 1.5))
def test_neighbours_along_edges(cell: int, along: float, side: int, inward: float) -> None:
    grid = HEALPix(256, order="nested")
    inside = inward * 5 / 824  # about that many times 5 arcsec, in units of the cell's side
    x, y = [(along, inside), (along, 1 - inside), (inside, along), (1 - inside, along)][side]
    lon, lat = grid.healpix_to_lonlat([cell], [min(x, 1 - 1e-9)], [min(y, 1 - 1e-9)])
    ra, dec = float(lon.to_value("deg")[0]) % 360, float(lat.to_value("deg")[0])
    (found,) = sky.neighbour_cells([ra], [dec], 256, 5.0)
    assert brute_force(ra, dec, 256, 5.0) <= set(found) <= brute_force(ra, dec, 256, 5.55)


def test_a_batch_is_its_members() -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    together = sky.neighbour_cells(ra, dec, 256, 5.0)
    near = [i for i, cells in enumerate(together) if cells]
    assert 0.01 < len(near) / len(ra) < 0.05
    for i in [*near[:20], *range(20)]:
        assert sky.neighbour_cells([ra[i]], [dec[i]], 256, 5.0) == [together[i]]


@pytest.mark.parametrize("radius", [0.0, -1.0, 800.0])
def test_radius_must_be_small(radius: float) -> None:
    with pytest.raises(ValueError, match="not small"):
        sky.neighbour_cells([0.0], [0.0], 256, radius)


def test_known_cells() -> None:
    assert sky.cells([45.0, 0.0, 359.9], [41.8, 0.0, 0.0], 1).tolist() == [0, 4, 4]
    assert sky.neighbour_cells([], [], 256, 5.0) == []


def test_galactic_matrix_is_astropys() -> None:
    rng = np.random.default_rng(2)
    ra = np.append(rng.uniform(0, 360, 1000), [0.0, 266.4049948, 192.859508, 0.0, 0.0])
    dec = np.append(np.degrees(np.arcsin(rng.uniform(-1, 1, 1000))), [0.0, -28.9361739, 27.128336, 90.0, -90.0])
    truth = SkyCoord(ra * units.deg, dec * units.deg).galactic
    longitude, latitude = sky.galactic(ra, dec)
    assert np.abs(latitude - truth.b.deg).max() < 1e-9
    across = np.abs((longitude - truth.l.deg + 180) % 360 - 180) * np.cos(np.radians(latitude))
    assert across.max() < 1e-9
    assert ((longitude >= 0) & (longitude <= 360)).all()


@given(RA, DEC, RA, DEC)
def test_separation_is_astropys(ra1: float, dec1: float, ra2: float, dec2: float) -> None:
    one, two = SkyCoord(ra1 * units.deg, dec1 * units.deg), SkyCoord(ra2 * units.deg, dec2 * units.deg)
    assert float(sky.separation_arcsec(ra1, dec1, ra2, dec2)) == pytest.approx(one.separation(two).arcsec, abs=1e-6)


def test_separation_of_very_near_positions() -> None:
    assert float(sky.separation_arcsec(10.0, 0.0, 10.0 + 1e-9, 0.0)) == pytest.approx(3.6e-6, rel=1e-5)
    assert float(sky.separation_arcsec(359.9999, 60.0, 0.0001, 60.0)) == pytest.approx(0.36, rel=1e-6)
    assert float(sky.separation_arcsec(0.0, 0.0, 180.0, 0.0)) == pytest.approx(180 * 3600)


@pytest.mark.parametrize(
    ("data", "signed"),
    [  # org.apache.kafka.common.utils.UtilsTest
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


@given(st.binary(max_size=40), st.integers(1, 100))
def test_partition_is_fausts(key: bytes, partitions: int) -> None:
    assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF
    assert raw_partition(key, partitions) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % partitions

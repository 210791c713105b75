"""Descriptions of catalogues: those that come with the broker, those of a user, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from boom_streams.crossmatch import Catalog, load_descriptions
from boom_streams.crossmatch.description import tile_size
from boom_streams.errors import CatalogError

#: Radius, and (distance_key, distance_max, distance_max_near), as BOOM has them for ZTF.
BOOM = {
    "PS1_DR1": (2.0, (None, None, None)),
    "Gaia_DR3": (2.0, (None, None, None)),
    "milliquas_v6": (2.0, (None, None, None)),
    "NED": (300.0, ("z", 30.0, 300.0)),
    "DESI_DR1": (30.0, ("z", 30.0, 300.0)),
    "LS_DR10_PHOTOZ": (30.0, ("z_phot", 60.0, 300.0)),
}


def test_catalogues_of_boom_are_described(tmp_path: Path) -> None:
    shipped = load_descriptions(tmp_path / "absent").catalogs
    assert set(shipped) == set(BOOM)
    for name, catalog in shipped.items():
        assert (catalog.radius, (catalog.distance_key, catalog.distance_max, catalog.distance_max_near)) == BOOM[name]
        assert {"ZTF", "WINTER"} <= set(catalog.surveys)
        assert ("LSST" in catalog.surveys) == (catalog.mode == "distance")
        assert catalog.about
        assert catalog.distance_key is None or catalog.distance_key in catalog.projection


def test_descriptions_of_a_user_win(tmp_path: Path) -> None:
    (tmp_path / "GCVS.toml").write_text('radius = 1.5\nsurveys = ["ZTF", "LSST"]\n')
    (tmp_path / "NED.toml").write_text('name = "NED"\nradius = 10\n')
    (tmp_path / "notes.txt").write_text("no description")
    found = load_descriptions(tmp_path).catalogs
    assert set(found) == {*BOOM, "GCVS"}
    assert found["GCVS"] == Catalog(name="GCVS", radius=1.5, surveys=("ZTF", "LSST"))
    assert found["NED"] == Catalog(name="NED", radius=10)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("A", "radius = ", r"A\.toml: cannot be read: Invalid value"),
        ("A", "", r"A\.toml: radius: is missing$"),
        ("A", 'radius = "wide"', r"A\.toml: radius: Input should be a valid number"),
        (
            "A",
            "radius = 2\nradiuss = 3",
            r"A\.toml: radiuss: there is no such field; the fields are about, .*radius, .*id$",
        ),
        ("A", 'radius = 2\nname = "B"', r"A\.toml: name: is 'B', but the file's is A"),
        ("A", 'radius = 2\nmode = "distance"', r"A\.toml: description: mode `distance` needs distance_key"),
        ("ztf_alerts", "radius = 2", r"ztf_alerts\.toml: name: ztf_alerts would be a collection of the broker's own"),
        ("A", b"about = '\xff'", r"A\.toml: cannot be read: 'utf-8'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str | bytes, reason: str) -> None:
    (tmp_path / f"{name}.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = load_descriptions(tmp_path)
    assert set(found.catalogs) == set(BOOM), "the others go on"
    with pytest.raises(CatalogError, match=reason):
        found.get(name)


def test_a_wrong_description_hides_the_one_that_comes_with_the_broker(tmp_path: Path) -> None:
    (tmp_path / "NED.toml").write_text("radiu = 3\n")
    found = load_descriptions(tmp_path)
    assert "NED" not in found.catalogs
    assert set(found.wrong) == {"NED"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"radius": 0.0}, "greater than 0"),
        ({"radius": 601.0}, "less than or equal to 600"),
        ({"radius": 83.0}, r"more than a fifth of a tile of order 9 \(82 arcsec\)"),
        ({"name": "a b"}, "match pattern"),
        ({"name": "catalog_tiles"}, "collection of the broker's own"),
        ({"name": "LSST_alerts_aux"}, "collection of the broker's own"),
        ({"mode": "distance"}, "needs distance_key"),
        ({"distance_key": "z"}, "for mode `distance`"),
        ({"ra": "RA"}, "ra and dec, or neither"),
        ({"surveys": ["ztf"]}, "match pattern"),
        ({"radiuss": 1.0}, "Extra inputs"),
    ],
)
def test_a_wrong_description_says_what(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Catalog.model_validate({"name": "c", "radius": 2.0, **changes})


def test_a_radius_that_is_allowed_suits_the_margins() -> None:
    from boom_streams.astro import sky

    for order in range(3, 13):
        radius = min(0.2 * tile_size(order), 600.0)
        catalog = Catalog(name="c", radius=radius, order=order)
        assert sky.neighbour_cells([10.0], [20.0], catalog.nside, catalog.radius * (1 - 1e-12))

"""Imports on a real mongod: exact matches everywhere on the sky, versions, documents."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from boom_streams.astro import sky
from boom_streams.crossmatch import Catalog, Imported
from boom_streams.crossmatch.description import tile_size
from boom_streams.settings import Settings
from tests.support.catalogs import STARS, Here, matches, place_for_imports

#: Places where cells meet in unusual ways, and one in the middle of nowhere.
SPOTS = [(0.0, 90.0), (0.0, -90.0), (0.0, 0.0), (45.0, 41.8103149), (90.0, 0.0), (315.0, -41.8103149), (123.4, 12.3)]


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Iterator[Here]:
    with place_for_imports(settings, tmp_path) as found:
        yield found


def scattered(spots: list[tuple[float, float]], count: int, width: float, seed: int) -> SkyCoord:
    """Positions around some others, up to so many arcsec away; then those others themselves."""
    rng = np.random.default_rng(seed)
    centres = SkyCoord([spots[i % len(spots)] for i in range(count)], unit="deg")
    around = centres.directional_offset_by(
        rng.uniform(0, 360, count) * units.deg, width * np.sqrt(rng.random(count)) * units.arcsec
    )
    lon, lat = (
        np.append(getattr(around, name).deg, [spot[i] for spot in spots]) for i, name in enumerate(("ra", "dec"))
    )
    return SkyCoord(lon % 360.0, lat, unit="deg")


@given(st.sampled_from(SPOTS), st.floats(0, 359), st.floats(-89, 89), st.integers(0, 9), st.integers(0, 2**32 - 1))
@with_settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_matches_are_those_of_brute_force(
    here: Here, spot: tuple[float, float], ra: float, dec: float, fine: int, seed: int
) -> None:
    """Sources and alerts on both sides of edges and corners, with small and the largest margins."""
    order = 3 + fine
    radius = min(600.0, tile_size(order) * (0.2, 0.05, 0.001)[seed % 3])
    corners = sky._corners(sky.cells([ra], [dec], 1 << order), 1 << order)
    spots = [spot, *zip(*(values[0].tolist() for values in corners), strict=True)]
    sources, alerts = scattered(spots, 300, radius * 3, seed), scattered(spots, 30, radius * 2, seed + 1)
    file = here.folder / "c.parquet"
    pa.parquet.write_table(pa.table({"ra": sources.ra.deg, "dec": sources.dec.deg}), file)
    here.run(Catalog(name="C", radius=radius, order=order), file, again=True)
    for alert in alerts:
        separations = alert.separation(sources).arcsec
        clear = np.abs(separations - radius) > 1e-6
        expected = {i + 1 for i in np.flatnonzero((separations <= radius) & clear).tolist()}
        answer = matches(here, "C", alert.ra.deg.item(), alert.dec.deg.item())
        assert {match["_id"] for match in answer if clear[match["_id"] - 1]} == expected
        told = [match["distance_arcsec"] for match in answer]
        assert told == sorted(told)
        assert told == pytest.approx([separations[match["_id"] - 1] for match in answer], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "radius", "file", "column", "label", "labelled", "more"),
    [
        ("GCVS", 1.5, "gcvs.parquet", "VarType", "gcvs", 18, [0.411]),
        ("SPICY", 1.2, "spicy.parquet", "class", "spicy_class", 28, []),
    ],
)
def test_labels_of_another_broker_are_found_again(
    here: Here,
    shared: Path,
    name: str,
    radius: float,
    file: str,
    column: str,
    label: str,
    labelled: int,
    more: list[float],
) -> None:
    alerts = [alert for alert in labels(shared, label) if alert["dec"] is not None]
    part = around(shared / "data/catalogs/fink" / file, alerts, here.folder / file)
    here.run(Catalog(name=name, radius=radius, order=5), part)
    found = [matches(here, name, alert["ra"], alert["dec"]) for alert in alerts]
    told = {alert["candid"]: found[i][0][column].strip() for i, alert in enumerate(alerts) if found[i]}
    known = {alert["candid"]: alert["label"] for alert in alerts if alert["label"] is not None}
    assert len(known) == labelled
    assert {candid: told.get(candid) for candid in known} == known
    extra = [found[i][0]["distance_arcsec"] for i, a in enumerate(alerts) if found[i] and a["candid"] not in known]
    assert extra == pytest.approx(more, abs=1e-3)


def labels(shared: Path, label: str) -> list[dict[str, Any]]:
    """Alerts with a label of Fink's, None where it is unknown."""
    alerts = {}
    for path in sorted((shared / "data/alerts/ztf/labelled_parquet").rglob("*.parquet")):
        file = pa.parquet.ParquetFile(path)
        if label in file.schema_arrow.names:
            for row in file.read(columns=["candid", "candidate", label]).to_pylist():
                known = row[label] if row[label] not in (None, "Unknown", "nan", "") else None
                position = {name: row["candidate"][name] for name in ("ra", "dec")}
                alerts[row["candid"]] = {"candid": row["candid"], "label": known and known.strip(), **position}
    return list(alerts.values())


def around(file: Path, alerts: list[dict[str, Any]], part: Path) -> Path:
    """Write the rows of a catalogue within some degrees of alerts; the rest only takes time."""
    table = pa.parquet.read_table(file)
    ra, dec = (table.column(i).to_numpy() for i in range(2))
    wanted = np.unique(sky.cells([a["ra"] for a in alerts], [a["dec"] for a in alerts], 16))
    pa.parquet.write_table(table.filter(pa.array(np.isin(sky.cells(ra, dec, 16), wanted))), part)
    return part


def test_csv_of_a_radio_survey(here: Here, shared: Path) -> None:
    original = shared / "data/catalogs/kowalski/CIRADA_VLASS1QL_table1_components_v1_head100.csv"
    zipped = here.folder / "vlass.csv.gz"
    zipped.write_bytes(gzip.compress(original.read_bytes()))
    catalog = Catalog(name="VLASS", radius=5.0, projection=("Component_name", "Peak_flux"))
    report = here.run(catalog, zipped)
    assert (report.columns.ra, report.columns.dec, report.rows) == ("RA", "DEC", 99)
    (match,) = matches(here, "VLASS", 0.00017675657877, 80.0126674455376 + 1 / 3600)
    assert {"_id", "ra", "dec", "Component_name", "Peak_flux", "distance_arcsec"} == set(match)
    assert match["Component_name"] == "VLASS1QLCIR J000000.04+800045.6"
    assert match["distance_arcsec"] == pytest.approx(1.0, abs=1e-6)


def test_galaxies_keep_their_redshifts_beside_the_rows(here: Here) -> None:
    catalog = Catalog(
        name="G", radius=60.0, mode="distance", distance_key="z", distance_max=30.0, distance_max_near=300.0,
        projection=("type",),
    )  # fmt: skip
    here.run(catalog, here.csv("ra,dec,z,type\n10,20.001,0.05,S\n10,20.001,,E\n10,20.01,0.5,S\n"))
    (match,) = matches(here, "G", 10.0, 20.0)
    assert (match["_id"], match["type"], "z" in match) == (1, "S", False)
    assert match["distance_kpc"] == match["distance_arcsec"] == pytest.approx(3.6)


def test_documents_can_be_searched(here: Here) -> None:
    here.run(STARS, here.stars())
    assert here.database["STARS"].find_one({"_id": 7}) == {
        "_id": 7, "id": 7, "ra": 107.0, "dec": 7.0, "mag": 15.5, "coordinates": sky.coordinates([107.0], [7.0])[0],
    }  # fmt: skip
    circle = {"$geoWithin": {"$centerSphere": [[107.0 - 180, 7.0], 1e-5]}}
    assert [d["_id"] for d in here.database["STARS"].find({"coordinates.radec_geojson": circle})] == [7]
    assert "position" in here.database["STARS"].index_information()


def test_a_catalogue_that_names_no_survey_is_for_all(here: Here) -> None:
    here.run(STARS.model_copy(update={"surveys": ()}), here.stars())
    assert [each.catalog.name for each in here.store.load("MAYFLY")] == ["STARS"]
    assert STARS.model_copy(update={"surveys": ()}).serves("MAYFLY")
    assert not STARS.model_copy(update={"surveys": ("ZTF",)}).serves("MAYFLY")


def test_what_is_known_of_a_catalogue(here: Here) -> None:
    catalog = STARS.model_copy(update={"surveys": ("LSST", "ZTF"), "projection": ("mag",)})
    report = here.run(catalog, here.stars(",1,99,", "1,2,,3"), max_rejected=10)
    assert here.store.load("ZTF") == here.store.load("lsst") == [Imported(catalog, report.version)]
    assert here.store.load("WINTER") == []
    (document,) = here.store.list_all()
    assert document["versions"] == [report.version]
    assert document["rejected"] == {"no position": 1, "no id": 1}
    assert (document["rows"], document["tiles"]) == (30, report.tiles)
    assert document["columns"] == {"ra": "ra", "dec": "dec", "_id": "id", "stored": ["ra", "dec", "id", "mag"]}
    assert here.tiles() == {f"STARS/{report.version}": report.tiles}


def test_the_same_files_are_the_same_version(here: Here) -> None:
    first = here.run(STARS, here.stars())
    before = list(here.database["catalog_tiles"].find())
    assert here.run(STARS, here.stars()).already_there
    assert here.store.list_all()[0]["imported_at"] == (second := here.store.list_all()[0])["imported_at"]
    again = here.run(STARS, here.stars(), again=True)
    assert (again.version, again.already_there) == (first.version, False)
    assert here.store.list_all()[0]["imported_at"] > second["imported_at"]
    assert list(here.database["catalog_tiles"].find()) == before
    assert here.run(STARS.model_copy(update={"radius": 3.0}), here.stars()).version != first.version


def test_the_version_before_stays_and_older_ones_go(here: Here) -> None:
    reports = [here.run(STARS, here.stars(*extra)) for extra in ([], ["1,2,77,3"], ["1,2,78,3"])]
    first, second, third = (report.version for report in reports)
    assert here.versions("STARS") == (third, second)
    assert set(here.tiles()) == {f"STARS/{second}", f"STARS/{third}"}
    assert [each.version for each in here.store.load("ZTF")] == [third]
    assert here.database["STARS"].find_one({"_id": 77}) is None
    here.run(STARS, here.stars("1,2,78,3"), again=True)
    assert here.versions("STARS") == (third, second)
    back = here.run(STARS, here.stars("1,2,77,3"))
    assert (back.version, back.already_there) == (second, False)
    assert here.versions("STARS") == (second, third)
    assert here.database["STARS"].find_one({"_id": 78}) is None
    assert here.versions("OTHER") == ()
    assert here.run(STARS, here.stars()).version == first


def test_other_catalogues_are_left_alone(here: Here) -> None:
    longer = STARS.model_copy(update={"name": "STARS_2"})
    before = here.run(longer, here.stars())
    for extra in ("1,2,77,3", "1,2,78,3", "1,2,79,3"):
        here.run(STARS, here.stars(extra))
    assert here.tiles()[f"STARS_2/{before.version}"] == before.tiles
    assert here.versions("STARS_2") == (before.version,)


def test_sources_are_numbered_through_all_files(here: Here) -> None:
    files = [here.csv(f"ra,dec\n1{i},2\n,\n1{i},3\n", f"{i}.csv") for i in range(2)]
    here.run(STARS, *files, max_rejected=50)
    assert {d["_id"]: (d["ra"], d["dec"]) for d in here.database["STARS"].find()} == {
        1: (10.0, 2.0), 3: (10.0, 3.0), 4: (11.0, 2.0), 6: (11.0, 3.0),
    }  # fmt: skip

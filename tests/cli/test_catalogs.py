"""Importing, listing and describing catalogues from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from boom_streams.archive import mongo
from boom_streams.crossmatch import Catalog
from boom_streams.settings import Settings
from tests.conftest import MakeSettings
from tests.support import commands

STARS = "RAJ2000,DEJ2000,objID,mag\n" + "".join(f"{i},{i - 10},{i},15.5\n" for i in range(30))


@pytest.fixture
def own(make_settings: MakeSettings, tmp_path: Path) -> Settings:
    """Settings with a folder of descriptions, and a file to describe."""
    (tmp_path / "own").mkdir()
    (tmp_path / "stars.csv").write_text(STARS)
    return make_settings(catalogs_dir=tmp_path / "own")


def run(settings: Settings, *arguments: str | Path, code: int = 0) -> str:
    return commands.run(settings, "catalogs", *arguments, code=code)


def test_from_a_file_to_a_catalogue_in_use(own: Settings, tmp_path: Path) -> None:
    file = tmp_path / "stars.csv"
    told = run(own, "import", "STARS", file, code=1)
    assert "Error: STARS has no description; make one with `mkdir -p " in told
    assert f"{tmp_path / 'own'} && boom-streams catalogs describe STARS FILE > " in told
    described = run(own, "describe", "STARS", file)
    assert 'ra = "RAJ2000"\ndec = "DEJ2000"\n' in described
    assert 'id = "objID"' in described
    (tmp_path / "own" / "STARS.toml").write_text(described)
    told = run(own, "import", "STARS", file)
    assert "position RAJ2000, DEJ2000; _id objID" in told
    assert ": 30 sources in " in told
    assert "STARS is already there, version " in run(own, "import", "STARS", file)
    assert "imported STARS" in run(own, "import", "STARS", file, "--again", "--quiet")


def test_an_unknown_format_is_told_before_a_missing_description(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "stars.vot").touch()
    assert "stars.vot: unknown format; known are .parquet" in run(own, "import", "NEW", tmp_path / "stars.vot", code=1)


def test_a_source_of_a_fits_file_is_found_by_its_name(own: Settings, tmp_path: Path) -> None:
    from astropy.table import Table

    Table({"RAJ2000": [1.0, 2.0], "DEJ2000": [3.0, 4.0], "Source_Name": ["4FGL J1", "4FGL J2"]}).write(
        tmp_path / "g.fits"
    )
    (tmp_path / "own" / "G.toml").write_text('radius = 1.5\nid = "Source_Name"\n')
    run(own, "import", "G", tmp_path / "g.fits")
    found = mongo.database(own)["G"].find_one({"_id": "4FGL J2"})
    assert found is not None
    assert found["Source_Name"] == "4FGL J2"


def test_the_table_says_what_is_in_use_and_what_is_absent(own: Settings, tmp_path: Path) -> None:
    for name in ("STARS", "GONE"):
        (tmp_path / "own" / f"{name}.toml").write_text('radius = 1.5\nabout = "some stars"\n')
        run(own, "import", name, tmp_path / "stars.csv")
    assert row(own, "STARS")[:5] == ["STARS", '1.5"', "nearest", "all", row(own, "STARS")[4]]
    assert row(own, "STARS")[5:] == ["30", "in use", "some stars"]
    assert row(own, "Gaia_DR3")[4:7] == ["", "", "not imported"]
    (tmp_path / "own" / "STARS.toml").write_text("radius = 2.5\n")
    (tmp_path / "own" / "GONE.toml").unlink()
    state = " ".join(line[6] for line in rows(own))
    assert "description has changed" in state
    assert "no description any more" in state
    assert row(own, "STARS")[1] == '1.5"', "alerts are matched as it was described when it was imported"


def rows(settings: Settings) -> list[list[str]]:
    lines = [line for line in run(settings, "list").splitlines() if "│" in line]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def row(settings: Settings, name: str) -> list[str]:
    return next(cells for cells in rows(settings) if cells[0] == name)


def test_what_was_rejected_is_shown(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "own" / "STARS.toml").write_text("radius = 1.5\n")
    (tmp_path / "stars.csv").write_text(STARS + ",1,99,\n")
    assert "3.23 % of 31 rows would be rejected" in run(own, "import", "STARS", tmp_path / "stars.csv", code=1)
    told = run(own, "import", "STARS", tmp_path / "stars.csv", "--max-rejected", "5")
    assert "rejected 1 row: no position (first: " in told
    assert "stars.csv, line 32" in told


def test_a_wrong_description_is_named(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "own" / "STARS.toml").write_text("radius = 700\n")
    told = run(own, "import", "STARS", tmp_path / "stars.csv", code=1)
    assert "STARS.toml: radius: Input should be less than or equal to 600" in told


def test_a_wrong_description_stops_no_other_catalogue(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "own" / "GOOD.toml").write_text("radius = 1.5\n")
    (tmp_path / "own" / "BAD.toml").write_text("radius = 1.5\n")
    run(own, "import", "BAD", tmp_path / "stars.csv")
    for name in ("BAD", "WORSE"):
        (tmp_path / "own" / f"{name}.toml").write_text("radiu = 3\n")
    assert "imported GOOD" in run(own, "import", "GOOD", tmp_path / "stars.csv")
    told = run(own, "import", "WORSE", tmp_path / "stars.csv", code=1)
    assert (
        "WORSE.toml: radius: is missing; radiu: there is no such field; the fields are about, surveys, radius" in told
    )
    state = "".join(line[6] for line in rows(own)).replace(" ", "")
    assert "BAD.toml:radius:ismissing;radiu:thereisnosuchfield" in state
    assert "WORSE.toml:radius:ismissing;radiu:thereisnosuchfield" in state
    assert row(own, "GOOD")[6] == "in use"


def test_a_file_is_described_wrong_or_not_at_all(own: Settings, tmp_path: Path) -> None:
    for name in ("absent.csv", "absent.parquet", "absent.fits"):
        assert run(own, "describe", "NEW", tmp_path / name, code=1).endswith(f"{name}: there is no such file\n")
    (tmp_path / "stars.csv").write_text("ra;dec;id\n1,5;2,5;3\n")
    told = run(own, "describe", "NEW", tmp_path / "stars.csv", code=1)
    assert "stars.csv, line 1: columns are separated by commas here, not by semicolons" in told


def test_without_mongodb_it_says_what_to_do(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pymongo.errors import ServerSelectionTimeoutError

    from boom_streams.crossmatch import CatalogStore

    def fail(_: CatalogStore) -> None:
        raise ServerSelectionTimeoutError("connection refused")

    monkeypatch.setattr(CatalogStore, "list_all", fail)
    told = run(own, "list", code=1)
    assert "MongoDB does not answer (connection refused); start it with `boom-streams services start`, or set" in told


def test_the_description_is_read_with_the_catalogue(own: Settings, tmp_path: Path) -> None:
    (tmp_path / "own" / "NED.toml").write_text('radius = 1.5\nra = "RAJ2000"\ndec = "DEJ2000"\n')
    run(own, "import", "NED", tmp_path / "stars.csv")
    from boom_streams.archive import mongo
    from boom_streams.crossmatch import CatalogStore

    (found,) = CatalogStore(mongo.database(own)).load("ZTF")
    assert found.catalog == Catalog(name="NED", radius=1.5, ra="RAJ2000", dec="DEJ2000")

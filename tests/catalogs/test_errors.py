"""Imports that fail or are interrupted leave the version that is in use, on a real mongod."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from boom_streams.catalogs.importer import Import, Report
from boom_streams.catalogs.sorter import Sorter
from boom_streams.crossmatch import Catalog
from boom_streams.errors import CatalogError
from boom_streams.settings import Settings
from tests.support.catalogs import STARS, Here, place_for_imports


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Iterator[Here]:
    with place_for_imports(settings, tmp_path) as found:
        yield found


def broken(here: Here, change: str) -> tuple[Catalog, Path]:
    """A file or description with one thing wrong."""
    rows = {
        "no position": ["x,y", "1,2"],
        "sexagesimal": ["ra,dec", "10:20:30,-1:2:3"],
        "radians": ["ra,dec", *(f"{i / 5},{i / 20 - 1}" for i in range(30))],
        "duplicates": ["ra,dec,id", "1,2,7", "3,4,8", "5,6,7"],
        "ragged": ["ra,dec", "1,2", "3,4,5"],
        "many rejected": ["ra,dec", *("1,2" for _ in range(98)), ",3", "400,3"],
        "none left": ["ra,dec", ",", "1,91"],
        "empty": ["ra,dec"],
    }
    if change == "truncated":
        file = here.folder / "stars.parquet"
        pa.parquet.write_table(pa.table({"ra": [1.0], "dec": [2.0]}), file)
        file.write_bytes(file.read_bytes()[:-20])
        return STARS, file
    if change == "no column":
        return STARS.model_copy(update={"projection": ("gmag",)}), here.stars("1,2,77,3")
    if change == "format":
        return STARS, Path(shutil.copy(here.stars("1,2,77,3"), here.folder / "stars.vot"))
    return STARS, here.csv("\n".join(rows[change]) + "\n", "wrong.csv")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("no position", r"wrong\.csv: no columns look like a position"),
        ("sexagesimal", r"wrong\.csv, line 2: column ra holds text"),
        ("radians", r"wrong\.csv: columns ra and dec look like radians \(up to 5\.8 and 1 in 30 rows\); .* --degrees"),
        ("duplicates", r"wrong\.csv, line 4: column id: 7 is there already"),
        ("ragged", r"wrong\.csv: cannot be read: .*line 3: Expected 2 columns"),
        ("many rejected", r"STARS: 2 % of 100 rows would be rejected, more than 1 % .*first: .*wrong\.csv, line 100"),
        ("none left", r"100 % of 2 rows would be rejected"),
        ("empty", r"wrong\.csv: there are no rows to import$"),
        ("truncated", r"stars\.parquet: cannot be read"),
        ("no column", r"stars\.csv: there is no column gmag"),
        ("format", r"stars\.vot: unknown format"),
    ],
)
def test_an_error_leaves_the_old_version(here: Here, change: str, reason: str) -> None:
    here.run(STARS, here.stars())
    before, tiles = here.store.list_all(), here.tiles()
    with pytest.raises(CatalogError, match=reason):
        here.run(*broken(here, change))
    assert (here.store.list_all(), here.tiles()) == (before, tiles)
    assert set(here.database.list_collection_names()) == {"STARS", "catalogs", "catalog_tiles", "formats"}
    assert here.database["STARS"].count_documents({}) == 30
    assert not list((here.folder / "data" / "catalogs").iterdir())


def test_what_looks_wrong_can_be_right(here: Here) -> None:
    assert here.run(STARS, broken(here, "radians")[1], degrees=True).rows == 30
    assert here.run(STARS, broken(here, "many rejected")[1], max_rejected=2.0).rows == 98
    with pytest.raises(CatalogError, match=r"no rows are left to import; .* no position"):
        here.run(STARS, broken(here, "none left")[1], max_rejected=100.0)


def test_a_tile_that_is_too_large_is_an_error(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    from boom_streams.catalogs import importer

    before = here.run(STARS, here.stars())
    monkeypatch.setattr(importer, "_LARGEST_TILE", 500)
    with pytest.raises(CatalogError, match=r"tile .* has 10 sources in .* choose an order above 9 or a projection"):
        here.run(STARS, here.stars(*(f"200.001,0,{70 + i},1" for i in range(10))))
    assert here.tiles() == {f"STARS/{before.version}": before.tiles}


def test_a_collection_of_somebody_else_is_not_replaced(here: Here) -> None:
    here.database["STARS"].insert_one({"_id": 1})
    with pytest.raises(CatalogError, match=r"there is a collection STARS .* not imported here"):
        here.run(STARS, here.stars())
    assert here.database["STARS"].find_one() == {"_id": 1}
    assert here.store.list_all() == []


def test_a_file_named_twice_is_an_error(here: Here) -> None:
    with pytest.raises(CatalogError, match="a file is named twice"):
        here.run(STARS, here.stars(), here.stars())


def test_two_imports_of_one_name_do_not_mix(here: Here) -> None:
    with (
        Sorter(here.folder / "data" / "catalogs" / "STARS.importing"),
        pytest.raises(CatalogError, match=r"another import works in .*STARS\.importing"),
    ):
        here.run(STARS, here.stars())
    assert here.run(STARS, here.stars()).rows == 30


@pytest.mark.parametrize("step", ["open", "compare", "read", "tiles"])
def test_ctrl_c_leaves_the_old_version(here: Here, step: str) -> None:
    def interrupt(name: str, done: int, total: int) -> None:
        if name == step:
            raise KeyboardInterrupt

    before = here.run(STARS, here.stars())
    with pytest.raises(KeyboardInterrupt):
        here.run(STARS, here.stars("1,2,77,3"), progress=interrupt)
    check_old_then_new(here, before)


def test_a_killed_import_leaves_the_old_version(here: Here, settings: Settings) -> None:
    before = here.run(STARS, here.stars())
    code = f"""
import os
from pathlib import Path
from pymongo import MongoClient
from boom_streams.crossmatch import Catalog
from boom_streams.catalogs import writer
from boom_streams.catalogs.importer import Import

def die(step, done, total):
    if step == "tiles" and done > 20:
        os._exit(7)

writer._TILES = 5
database = MongoClient({settings.mongo_uri.get_secret_value()!r})[{settings.mongo_db!r}]
stars = Path({str(here.stars("1,2,77,3"))!r})
Import(database, Catalog(name="STARS", radius=2.0), [stars], Path({str(here.folder / "data")!r}), progress=die).run()
"""
    root = str(Path(__file__).resolve().parent.parent.parent)
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root}, cwd=here.folder)
    assert done.returncode == 7
    assert len(here.tiles()) == 2, "some tiles of the new version are there"
    assert "STARS.importing" in here.database.list_collection_names()
    check_old_then_new(here, before)


def check_old_then_new(here: Here, before: Report) -> None:
    """The old version is in use as it was; the next import, of something else, works and leaves nothing behind."""
    assert here.versions("STARS") == (before.version,)
    assert here.tiles()[f"STARS/{before.version}"] == before.tiles
    assert here.database["STARS"].count_documents({}) == 30
    after = here.run(STARS, here.stars("1,2,78,3"))
    assert here.versions("STARS") == (after.version, before.version)
    assert set(here.tiles()) == {f"STARS/{before.version}", f"STARS/{after.version}"}
    assert set(here.database.list_collection_names()) == {"STARS", "catalogs", "catalog_tiles", "formats"}
    assert here.database["STARS"].count_documents({}) == 31
    assert not list((here.folder / "data" / "catalogs").iterdir())


def test_of_two_imports_the_later_one_wins(here: Here) -> None:
    """As on two machines, each with a folder of its own: the earlier one must not publish what the later removed."""
    before = here.run(STARS, here.stars("1,2,77,3"))
    slow, fast = here.stars("1,2,78,3"), here.csv(here.stars("1,2,79,3").read_text(), "other.csv")
    begun = False

    def another(step: str, done: int, total: int) -> None:
        nonlocal begun
        if step == "tiles" and not begun:
            begun = True
            Import(here.database, STARS, [fast], here.folder / "other machine").run()

    with pytest.raises(CatalogError, match="another import of STARS has begun"):
        Import(here.database, STARS, [slow], here.folder / "data", progress=another).run()
    used = here.active("STARS")
    assert here.versions("STARS") == (used.version, before.version)
    assert here.database["STARS"].count_documents({"_id": 79}) == 1
    assert set(here.tiles()) >= {f"STARS/{used.version}", f"STARS/{before.version}"}


def test_a_text_in_another_encoding_is_an_error(here: Here) -> None:
    file = here.csv("", "latin.csv")
    rows = "".join(f"{1 + i % 300},{i % 80},{i},abcdefgh\n" for i in range(200_000))
    file.write_bytes(b"ra,dec,id,name\n" + rows.encode() + b"1,2,300000,caf\xe9\n")
    with pytest.raises(CatalogError, match=r"latin\.csv"):
        here.run(STARS, file)


def test_values_that_bson_does_not_have_are_an_error(here: Here) -> None:
    file = here.folder / "large.parquet"
    pa.parquet.write_table(
        pa.table({"ra": [1.0], "dec": [2.0], "id": [1], "list": pa.array([[2**64 - 1]], pa.list_(pa.uint64()))}), file
    )
    with pytest.raises(CatalogError, match=r"STARS: a value cannot be stored"):
        here.run(STARS, file)


def test_tiles_alone_leave_the_documents(here: Here) -> None:
    here.run(STARS, here.stars("1,2,77,3"))
    after = here.run(STARS, here.stars("1,2,78,3"), documents=False)
    assert here.active("STARS").version == after.version
    assert here.database["STARS"].count_documents({"_id": 77}) == 1
    assert "STARS.importing" not in here.database.list_collection_names()

"""An archive of another release is refused with the command that helps; migrations can be cut off anywhere."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import bson
import pytest
from bson.int64 import Int64
from pymongo.database import Database

from boom_streams import names
from boom_streams.archive import Archive, ensure, formats, migrations, mongo
from boom_streams.archive.migrations import step0001_matches_by_programme as step0001
from boom_streams.crossmatch import CatalogStore
from boom_streams.errors import FormatError
from boom_streams.schema import formats as schema_formats
from boom_streams.settings import Settings
from boom_streams.surveys import get_survey
from tests.support.commands import run

ZTF = get_survey("ZTF")
AUX = "ZTF_alerts_aux"


@pytest.fixture
def database(settings: Settings) -> Database[dict[str, Any]]:
    return mongo.database(settings)


def said(database: Database[dict[str, Any]], name: str, **changes: Any) -> None:
    database[names.FORMATS].update_one({"_id": name}, {"$set": changes})


def old_object(number: int, programid: int = 1) -> dict[str, Any]:
    """An object as release 0.1.0 kept it."""
    points = [
        {"candid": Int64(10 * number + k), "programid": programid, "ra": 10.0 + number, "dec": 5.0} for k in (1, 2)
    ]
    matched = {"jd": 2460000.5, "candid": Int64(10 * number + 2)}
    return {
        "_id": f"ZTF{number}",
        "prv_candidates": points,
        "matched": matched,
        "cross_matches": {"NED": [{"_id": number}]},
        "catalogs": {"NED": "v1"},
        "revision": 2,
    }


def test_a_new_archive_says_its_formats_and_is_used(database: Database[dict[str, Any]]) -> None:
    ensure(database, ["ZTF"])
    stated = {document["_id"]: document for document in database[names.FORMATS].find()}
    assert stated.keys() == {each.name for each in formats.expected(["ZTF"])}
    assert stated[AUX] == {"_id": AUX, "version": 2, "columns": schema_formats.packing(ZTF).mark}
    database[AUX].insert_one({"_id": "a"})
    formats.check(database, ["ZTF"])
    assert migrations.plan(database, ["ZTF"]) == []


def test_an_archive_that_was_never_initialised_is_used_too(database: Database[dict[str, Any]]) -> None:
    assert Archive(database, ["ZTF"]).read_objects("ZTF", ["a"]) == {}
    database[AUX].insert_one({"_id": "a"})
    assert Archive(database, ["ZTF"]).read_objects("ZTF", ["a"]) == {}


def test_an_archive_of_the_first_release_is_refused_with_the_command(
    settings: Settings, database: Database[dict[str, Any]]
) -> None:
    database[AUX].insert_one(old_object(1))
    for use in (
        lambda: formats.check(database, ["ZTF"]),
        lambda: ensure(database, ["ZTF"]),
        lambda: Archive(database, ["ZTF"]).read_objects("ZTF", ["a"]),
    ):
        with pytest.raises(FormatError, match=r"ZTF_alerts_aux has version 1 .*`boom-streams migrate`"):
            use()
    assert names.FORMATS not in database.list_collection_names()
    for command in (["init"], ["filters", "list"], ["catalogs", "list"], ["up"]):
        assert "`boom-streams migrate`" in run(settings, *command, code=1)


@pytest.mark.parametrize("newer", [{"version": 99}, {"columns": "00000000"}])
def test_an_archive_of_a_newer_release_is_refused_and_not_migrated(
    settings: Settings, database: Database[dict[str, Any]], newer: dict[str, Any]
) -> None:
    ensure(database, ["ZTF"])
    said(database, AUX, **newer)
    before = list(database[names.FORMATS].find())
    for use in (formats.check, ensure, migrations.plan, migrations.migrate):
        with pytest.raises(FormatError, match=r"newer release wrote the archive .*upgrade boom-streams"):
            use(database, ["ZTF"])  # type: ignore[operator]
    assert list(database[names.FORMATS].find()) == before
    assert "a newer release" in run(settings, "migrate", code=1)


def test_catalogues_of_a_newer_release_are_refused(database: Database[dict[str, Any]]) -> None:
    ensure(database, ["ZTF"])
    said(database, names.CATALOG_TILES, version=99)
    with pytest.raises(FormatError, match="catalog_tiles has version 99"):
        CatalogStore(database).load()


def test_columns_of_an_earlier_release_are_only_said_anew(database: Database[dict[str, Any]]) -> None:
    ensure(database, ["ZTF"])
    packing = schema_formats.packing(ZTF)
    other = {name: dtype for name, dtype in packing.columns.items() if name != "fp_hists"}
    mark = schema_formats.fingerprint(other)
    said(database, AUX, columns=mark)
    with mock.patch.dict(packing.earlier, {mark: other}):  # type: ignore[arg-type]
        with pytest.raises(FormatError, match="`boom-streams migrate`"):
            formats.check(database, ["ZTF"])
        (task,) = migrations.migrate(database, ["ZTF"])
    assert task.step is None
    formats.check(database, ["ZTF"])


def test_steps_are_numbered_and_lead_to_todays_formats() -> None:
    assert [step.number for step in migrations.STEPS] == list(range(1, len(migrations.STEPS) + 1))
    for kind, today in schema_formats.COLLECTIONS.items():
        versions = [step.version for step in migrations.STEPS if step.kind == kind]
        assert versions == list(range(2, today.version + 1)), kind


def test_objects_get_their_matches_put_under_a_programme(database: Database[dict[str, Any]]) -> None:
    lost = old_object(3) | {"prv_candidates": []}
    database[AUX].insert_many([old_object(1), old_object(2, programid=2), lost, {"_id": "unmatched", "revision": 1}])
    migrations.migrate(database, ["ZTF"])
    found = {document["_id"]: document for document in database[AUX].find()}
    assert found["ZTF1"].keys() - {"by_programme"} == old_object(1).keys()
    assert found["ZTF1"]["by_programme"].keys() == {"1"}
    assert found["ZTF2"]["by_programme"].keys() == {"2"}
    shown = found["ZTF1"]["by_programme"]["1"]
    assert (shown["candid"], shown["jd"], shown["cross_matches"]) == (12, 2460000.5, {"NED": [{"_id": 1}]})
    assert shown["coordinates"]["radec_geojson"]["coordinates"] == [11.0 - 180, 5.0]
    assert found["ZTF3"]["by_programme"] == {}
    assert found["unmatched"] == {"_id": "unmatched", "revision": 1}


def test_a_migration_that_was_cut_off_goes_on(database: Database[dict[str, Any]]) -> None:
    database[AUX].insert_many([old_object(number) for number in range(1, 8)])
    told: list[tuple[int, int]] = []

    def cut(_: str, done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    with mock.patch.object(step0001, "_BATCH", 3):
        with pytest.raises(KeyboardInterrupt):
            migrations.migrate(database, ["ZTF"], cut)
        assert told == [(3, 7), (6, 7)]
        with pytest.raises(FormatError, match="`boom-streams migrate`"):
            formats.check(database, ["ZTF"])
        (task,) = migrations.plan(database, ["ZTF"])
        assert task.left == 1
        migrations.migrate(database, ["ZTF"], cut)
    assert told[2:] == [(1, 1)]
    formats.check(database, ["ZTF"])
    (stated,) = database[names.FORMATS].find({"_id": AUX})
    ((step,),) = [stated["steps"]]
    assert step["step"] == 1
    assert step["done_at"] == pytest.approx(time.time() / 86400 + 2440587.5, abs=0.01)
    once = [bson.encode(document) for document in database[AUX].find().sort("_id")]
    assert migrations.migrate(database, ["ZTF"]) == []
    assert [bson.encode(document) for document in database[AUX].find().sort("_id")] == once

"""Matching in the stream: which catalogues, in which version, and what is said when one cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from pymongo.database import Database

from boom_streams.agents import enrich
from boom_streams.archive import Archive, mongo
from boom_streams.astro import sky
from boom_streams.crossmatch import Catalog, CatalogStore, Crossmatcher, Matches, pack
from boom_streams.schema import records as schemas
from boom_streams.settings import Settings
from boom_streams.tables.tiles import Tiles
from boom_streams.testing import stages
from boom_streams.testing.stages import MemoryTable
from tests.support.ztf_packets import candidate, container

RADIUS = 3.0
STARS = Catalog(name="STARS", radius=RADIUS, order=9)
QUASARS = Catalog(name="QUASARS", radius=RADIUS, order=6, limit=1, projection=("z",))
ELSEWHERE = Catalog(name="ELSEWHERE", radius=RADIUS, order=6, surveys=("LSST",))

Source = tuple[int, float, float]


def put(
    database: Database[Any], catalog: Catalog, version: str, sources: Sequence[Source], keep: Sequence[str] = ()
) -> None:
    """Store a version as the importer does, and make it the active one."""
    tiles: dict[int, list[Source]] = {}
    for number, ra, dec in sources:
        own = sky.cells(ra, dec, 1 << catalog.order).item()
        (around,) = sky.neighbour_cells(ra, dec, 1 << catalog.order, catalog.radius)
        for tile in (own, *around):
            tiles.setdefault(tile, []).append((number, ra, dec))
    for tile, held in tiles.items():
        rows = [bson.encode({"_id": number, "ra": ra, "dec": dec, "z": 0.1}) for number, ra, dec in held]
        data = pack([s[1] for s in held], [s[2] for s in held], rows)
        database["catalog_tiles"].insert_one({"_id": f"{catalog.name}/{version}/{tile}", "data": data})
    document = {"version": version, "versions": [version, *keep], "description": catalog.model_dump(mode="json")}
    database["catalogs"].replace_one({"_id": catalog.name}, document, upsert=True)


def forget(database: Database[Any], catalog: Catalog, version: str) -> None:
    """Remove the tiles of a version, as the importer does with old ones."""
    database["catalogs"].update_one({"_id": catalog.name}, {"$pull": {"versions": version}})
    database["catalog_tiles"].delete_many({"_id": {"$regex": f"^{catalog.name}/{version}/"}})


@pytest.fixture
def database(settings: Settings) -> Database[Any]:
    return mongo.database(settings)


class Stream:
    """A crossmatcher as the enrich stage has it."""

    def __init__(self, settings: Settings, folder: Path, configured: Sequence[Catalog], refresh: float = 0.0) -> None:
        store = CatalogStore(mongo.database(settings))
        self.matcher = Crossmatcher(
            store, {c.name: c for c in configured}, mongo.Patience(0.0, "test", lambda: "away"), refresh
        )
        self.tiles = Tiles(folder / "tiles", self.matcher.read)

    def match(self, *positions: tuple[float, float]) -> list[Matches]:
        """Match (ra, dec) pairs, ICRS degrees."""
        ra, dec = zip(*positions, strict=True)
        return self.matcher.match("ZTF", ra, dec, self.tiles.get)


@pytest.fixture
def make_stream(settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Stream]]:
    made: list[Stream] = []

    def make(*configured: Catalog, settings: Settings = settings, refresh: float = 0.0) -> Stream:
        made.append(Stream(settings, tmp_path / str(len(made)), configured, refresh))
        return made[-1]

    yield make
    for stream in made:
        stream.tiles.close()


def ids(found: Matches) -> dict[str, list[int]]:
    return {name: [match["_id"] for match in matches] for name, matches in found.cross_matches.items()}


def test_all_positions_with_all_catalogues_are_as_by_brute_force(
    database: Database[Any], make_stream: Callable[..., Stream]
) -> None:
    noise = np.random.default_rng(5)
    poles = [(noise.uniform(0, 360), sign * (90 - noise.uniform(0, 0.004))) for sign in (1, -1) for _ in range(100)]
    meridian = [(noise.normal(0, 0.003) % 360, noise.normal(0, 0.003)) for _ in range(300)]
    sources = [(number, *where) for number, where in enumerate([*poles, *meridian])]
    put(database, STARS, "v1", sources)
    put(database, QUASARS, "q1", sources)
    put(database, ELSEWHERE, "e1", sources)
    positions = [(ra, dec) for _, ra, dec in sources[::3]] + [(180.0, 45.0)]
    lon, lat = np.array([s[1] for s in sources]), np.array([s[2] for s in sources])
    stream = make_stream(STARS, QUASARS)
    cold, warm = stream.match(*positions), stream.match(*positions)
    assert cold == warm
    several = 0
    for found, (ra, dec) in zip(cold, positions, strict=True):
        far = sky.separation_arcsec(ra, dec, lon, lat)
        expected = [place for place in np.argsort(far, kind="stable").tolist() if far[place] <= RADIUS]
        assert ids(found) == {"STARS": expected, "QUASARS": expected[:1]}
        assert found.catalogs == {"STARS": "v1", "QUASARS": "q1"}
        assert found.unmatched == {}
        several += len(expected) > 1
    assert several > 50
    assert ids(cold[-1]) == {"STARS": [], "QUASARS": []}


def test_a_catalogue_that_is_not_imported_is_named(database: Database[Any], make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(STARS, QUASARS, ELSEWHERE)
    (found,) = stream.match((10.0, 20.0))
    assert found == Matches({}, {}, {"STARS": "not imported", "QUASARS": "not imported"})
    put(database, STARS, "v1", [(1, 10.0, 20.0)])
    (found,) = stream.match((10.0, 20.0))
    assert (ids(found), found.catalogs) == ({"STARS": [1]}, {"STARS": "v1"})
    assert found.unmatched == {"QUASARS": "not imported"}


def test_another_version_is_noticed(database: Database[Any], make_stream: Callable[..., Stream]) -> None:
    stream, slow = make_stream(STARS), make_stream(STARS, refresh=3600.0)
    put(database, STARS, "v1", [(1, 10.0, 20.0)])
    for each in (stream, slow):
        assert ids(each.match((10.0, 20.0))[0]) == {"STARS": [1]}
    put(database, STARS, "v2", [(2, 10.0, 20.0), (3, 50.0, 20.0)], keep=["v1"])
    found = stream.match((10.0, 20.0), (50.0, 20.0))
    assert [(ids(each)["STARS"], each.catalogs) for each in found] == [([2], {"STARS": "v2"}), ([3], {"STARS": "v2"})]
    found = slow.match((10.0, 20.0), (50.0, 20.0))
    assert [(ids(each)["STARS"], each.catalogs) for each in found] == [([1], {"STARS": "v1"}), ([], {"STARS": "v1"})]


def test_tiles_of_a_version_that_is_gone_are_no_empty_tiles(
    database: Database[Any], make_stream: Callable[..., Stream]
) -> None:
    """A worker that has not noticed two imports must not find nothing where the tiles have been removed."""
    slow = make_stream(STARS, refresh=3600.0)
    put(database, STARS, "v1", [(1, 10.0, 20.0), (4, 50.0, 20.0)])
    slow.match((10.0, 20.0))
    put(database, STARS, "v2", [(2, 10.0, 20.0), (5, 50.0, 20.0)], keep=["v1"])
    put(database, STARS, "v3", [(3, 10.0, 20.0), (6, 50.0, 20.0)], keep=["v2"])
    forget(database, STARS, "v1")
    (found,) = slow.match((50.0, 20.0))
    assert (ids(found), found.catalogs) == ({"STARS": [6]}, {"STARS": "v3"})
    (found,) = slow.match((10.0, 20.0))
    assert (ids(found), found.catalogs) == ({"STARS": [3]}, {"STARS": "v3"})


def test_without_mongodb_what_is_at_hand_is_used_and_the_rest_is_named(
    settings: Settings, database: Database[Any], make_stream: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, STARS, "v1", [(1, 10.0, 20.0), (2, 50.0, 20.0)])
    stream = make_stream(STARS, QUASARS)
    stream.match((10.0, 20.0))
    away = mongo.database(
        settings.model_copy(
            update={"mongo_uri": type(settings.mongo_uri)("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=20")}
        )
    )
    monkeypatch.setattr(stream.matcher, "_store", CatalogStore(away))
    (found,) = stream.match((10.0, 20.0))
    assert (ids(found), found.unmatched) == ({"STARS": [1]}, {"QUASARS": "not imported"}), "as it was last seen"
    here, found = stream.match((10.0, 20.0), (50.0, 20.0))
    assert (ids(here), here.catalogs) == ({"STARS": [1]}, {"STARS": "v1"}), "whatever else is in the batch"
    assert (ids(found), found.catalogs) == ({}, {})
    assert found.unmatched == {"STARS": "MongoDB is away", "QUASARS": "not imported"}


def test_without_mongodb_from_the_beginning_nothing_is_known(
    make_settings: Callable[..., Settings], make_stream: Callable[..., Stream]
) -> None:
    away = make_settings(mongo_uri="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=20")
    (found,) = make_stream(STARS, QUASARS, settings=away).match((10.0, 20.0))
    assert found == Matches({}, {}, {"STARS": "MongoDB is away", "QUASARS": "MongoDB is away"})


def test_a_catalogue_of_another_version_of_the_program_is_left_out(
    database: Database[Any], make_stream: Callable[..., Stream]
) -> None:
    put(database, STARS, "v1", [(1, 10.0, 20.0)])
    put(database, QUASARS, "v1", [(1, 10.0, 20.0)])
    database["catalogs"].update_one({"_id": "QUASARS"}, {"$set": {"description.colour": "blue"}})
    database["catalogs"].insert_one({"_id": "ODD", "version": "v1"})
    (found,) = make_stream(STARS, QUASARS).match((10.0, 20.0))
    assert ids(found) == {"STARS": [1]}
    assert list(found.unmatched) == ["QUASARS"]


def test_a_wrong_description_does_not_keep_enrich_from_its_work(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "NED.toml").write_text("radius = ")
    settings = settings.model_copy(update={"catalogs_dir": tmp_path})
    (raw,) = stages.raw_records(container(), settings)
    (result,) = stages.run(enrich.make(settings), [raw], MemoryTable("cells"))
    assert len(result.sends) == 1


def test_enrich_says_it_in_the_record_and_the_archive_has_it(settings: Settings, database: Database[Any]) -> None:
    ra, dec = 10.0, 20.0
    put(database, STARS, "v1", [(1, ra, dec), (2, ra, dec + 1 / 3600)])
    data = container(candidate=candidate(ra=ra, dec=dec))
    (raw,) = stages.raw_records(data, settings)
    (result,) = stages.run(enrich.make(settings), [raw], MemoryTable("cells"))
    (send,) = result.sends
    schemas.check("enriched", send.value)
    value = bson.decode(send.value)
    assert [match["_id"] for match in value["cross_matches"]["STARS"]] == [1, 2]
    assert value["cross_matches"]["STARS"][1]["distance_arcsec"] == pytest.approx(1.0, abs=1e-6)
    assert value["catalogs"] == {"STARS": "v1"}
    assert value["unmatched"]["PS1_DR1"] == "not imported"
    (classified,) = stages.classified([send.value], stages.Memory())
    schemas.check("classified", classified)
    Archive(database, ["ZTF"]).write_classified([classified])
    (aux,) = database["ZTF_alerts_aux"].find()
    for name in ("cross_matches", "catalogs", "unmatched"):
        assert aux[name] == value[name] == bson.decode(classified)[name]
    assert aux["matched"] == {"jd": value["jd"], "candid": value["candid"]}

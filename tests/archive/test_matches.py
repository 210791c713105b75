"""What is around objects, as stored and as shown to people of different rights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from pymongo.database import Database

from boom_streams.archive import Archive, read_matches
from boom_streams.filters import Filter, archive_pipeline
from boom_streams.testing import scratch_database, stages
from boom_streams.testing.stages import Memory
from tests.support.ztf_packets import candidate, container

OBJECT, START = "ZTF00aaaaaaa", 2460000.5


@pytest.fixture
def database(services: dict[str, str]) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database


def record(jd: float, candid: int, programid: int | None, separation: float, **found: Any) -> bytes:
    """Enriched record of an alert of one object, with a source so far away."""
    own = candidate(jd=jd, candid=candid, programid=programid, ra=10.0 + candid / 36000)
    (value,) = stages.enriched([container(candid=candid, candidate=own)])
    matches = {"cross_matches": {"GCVS": [{"distance_arcsec": separation}]}} | found
    return bson.encode(bson.decode(value) | matches)


RECORDS = [
    record(START, 1, 1, 0.50, aliases={"LSST": ["a"]}),
    record(START + 1, 2, 2, 1.35),
    record(START + 2, 3, 3, 2.0),
    record(START + 3, 4, None, 3.0),
]

SHOWN = {(1,): 0.50, (1, 2): 1.35, (2,): 1.35, (1, 2, 3): 3.0, (3,): 3.0, (1, 3): 3.0}


def archived(database: Any, values: list[bytes]) -> dict[str, Any]:
    database.client.drop_database(database.name)
    for value in values:
        Archive(database, ["ZTF"]).write_classified([value])
    (document,) = database.ZTF_alerts_aux.find()
    return dict(document)


def test_an_object_shows_what_the_newest_alert_says_that_one_may_see(database: Any) -> None:
    values = stages.classified(RECORDS, Memory())
    archived(database, values)
    Archive(database, ["ZTF"]).write_enriched(RECORDS)
    for programmes, separation in SHOWN.items():
        found = read_matches(database, "ZTF", [OBJECT], programmes)
        assert found == {OBJECT: {"GCVS": [{"distance_arcsec": separation}]}}, programmes
        last = {"$project": {"objectId": 1, "annotations": {"m": "$cross_matches", "a": "$aliases"}}}
        one = Filter("f", "f", "ZTF", {"ZTF": programmes}, "v", ({"$match": {}}, last))
        for alert in database.ZTF_alerts.aggregate(archive_pipeline(one)):
            aliases = {"LSST": ["a"]} if programmes == (1,) else {}
            assert alert["annotations"] == {"m": found[OBJECT], "a": aliases}, programmes
    assert read_matches(database, "ZTF", [OBJECT]) == read_matches(database, "ZTF", [OBJECT], (1, 2, 3))
    assert read_matches(database, "ZTF", [OBJECT], ()) == {}


def test_an_object_of_private_alerts_shows_the_public_nothing(database: Any) -> None:
    archived(database, stages.classified(RECORDS[1:], Memory()))
    assert read_matches(database, "ZTF", [OBJECT], (1,)) == {}


def test_the_newest_alert_of_each_programme_stays_in_any_order(database: Any) -> None:
    expected: Any = None
    for processed in itertools.permutations(RECORDS[:3]):
        values = stages.classified(processed, Memory())
        for order in itertools.permutations([*values, values[0]]):
            shown = archived(database, list(order))["by_programme"]
            expected = expected or shown
            assert shown == expected
    assert {name: entry["candid"] for name, entry in expected.items()} == {"1": 1, "2": 2, "3": 3}
    assert expected["1"]["coordinates"]["radec_geojson"]["coordinates"][0] == pytest.approx(-170 + 1 / 36000)


def test_matches_are_read_by_object(database: Database[dict[str, Any]]) -> None:
    found = {"GCVS": [{"name": "a"}], "NED": []}
    (value,) = stages.enriched([container()])
    value = bson.encode({**bson.decode(value), "cross_matches": found})
    Archive(database, ["ZTF"]).write_classified(stages.classified([value], Memory()))
    database["ZTF_alerts_aux"].insert_one({"_id": "only points"})
    assert read_matches(database, "ZTF", [OBJECT, OBJECT, "only points", "none"]) == {OBJECT: found}

"""Kowalski's and Fritz's dialects: what is changed, and that the answer stays the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from boom_streams.filters import Filter, archive_pipeline, check_pipeline
from boom_streams.filters.language.translate import translate
from boom_streams.testing import classify, sample_packets, scratch_database, store
from tests.support.alerts import containers
from tests.support.pipelines import FRITZ_01_CHANGES

DROP_CUTOUTS = {"$project": {"cutoutScience": 0, "cutoutTemplate": 0, "cutoutDifference": 0}}
LOOKUP = {"$lookup": {"from": "ZTF_alerts_aux", "localField": "objectId", "foreignField": "_id", "as": "aux"}}
MATCH = {"$match": {"candidate.drb": {"$gt": 0.9}}}
LAST = {"$project": {"objectId": 1, "annotations.n": {"$size": "$prv_candidates"}}}


def taken(condition: Any, name: str = "prv_candidates") -> dict[str, Any]:
    curve = {"$arrayElemAt": [f"$aux.{name}", 0]}
    cut = curve if condition is None else {"$filter": {"input": curve, "as": "item", "cond": condition}}
    return {"$project": {"objectId": 1, "candidate": 1, name: cut}}


PROGRAMMES = {"$in": ["$$item.programid", [1, 2]]}
RECENT = {"$lt": [{"$subtract": ["$candidate.jd", "$$item.jd"]}, 100]}


def test_fritz_says_the_same_in_four_stages(shared: Path) -> None:
    own = json.loads((shared / "data/filters/fritz/fritz_filter_01.json").read_text())
    stages, changes = check_pipeline(own)
    assert list(stages) == [
        own[4],
        {"$addFields": {"candid": "$_id"}},
        own[5],
        {"$project": {"candid": 1, "objectId": 1, "annotations": 1}},
    ]
    assert changes == FRITZ_01_CHANGES


def test_conditions_besides_the_programme_stay() -> None:
    for condition in ({"$and": [PROGRAMMES, RECENT]}, {"$and": [RECENT, PROGRAMMES]}):
        stages, _ = translate([LOOKUP, taken(condition), MATCH, LAST])
        cut = {"$filter": {"input": "$prv_candidates", "as": "item", "cond": RECENT}}
        assert stages == [{"$project": {"objectId": 1, "candidate": 1, "prv_candidates": cut}}, MATCH, LAST]


@pytest.mark.parametrize("name", ["prv_candidates", "fp_hists", "prv_nondetections"])
@pytest.mark.parametrize("condition", [None, PROGRAMMES, {"$and": [PROGRAMMES]}])
def test_every_series_is_taken_from_the_alert(name: str, condition: Any) -> None:
    stages, changes = translate([DROP_CUTOUTS, LOOKUP, taken(condition, name), MATCH, LAST])
    assert stages == [MATCH, LAST]
    assert any(f"stage 3: {name}: " in change for change in changes)


UNTOUCHED = [
    [MATCH, LAST],
    [MATCH, {"$project": {"objectId": 1, "candid": 1}}],
    [DROP_CUTOUTS, MATCH, LAST],
    [{"$lookup": {"from": "users", "as": "aux", "localField": "a", "foreignField": "b"}}, MATCH, LAST],
    [{"$match": {}, "$out": "x"}, LOOKUP, LAST],
    {"pipeline": []},
    "text",
    None,
    [],
]


@pytest.mark.parametrize("pipeline", UNTOUCHED, ids=str)
def test_what_is_no_dialect_is_left_alone(pipeline: Any) -> None:
    assert translate(pipeline) == (pipeline, [])


def test_a_lookup_that_says_more_is_left_for_the_validator() -> None:
    other = {"$lookup": {**LOOKUP["$lookup"], "pipeline": [{"$match": {}}]}}
    stages, _ = translate([other, MATCH, LAST])
    assert stages[0] == other


def test_the_given_pipeline_is_not_changed(shared: Path) -> None:
    for file in sorted((shared / "data/filters").rglob("*.json")):
        content = json.loads(file.read_text())
        before = copy.deepcopy(content)
        translate(content)
        assert content == before


@pytest.fixture(scope="module")
def archive(services: dict[str, str], shared: Path) -> Iterator[Any]:
    """Real alerts, and copies of some as other objects with matches, under the names that Fritz's filters have."""
    nights = [shared / "data/alerts/ztf" / night for night in ("20211121_snappy", "20231012", "20200202")]
    with scratch_database(services["mongo_uri"]) as database:
        store(database, classify(containers(*nights)))
        add_matched(database)
        keep_newest(database)
        yield database


@pytest.fixture(scope="module")
def made_up(services: dict[str, str]) -> Iterator[Any]:
    """Made-up alerts."""
    with scratch_database(services["mongo_uri"]) as database:
        store(database, classify(sample_packets("ZTF", 60)))
        keep_newest(database)
        yield database


def add_matched(database: Any) -> None:
    """Copy some alerts as other objects that have matches."""
    for number, name in enumerate(["ZTF20abjoqjy", "ZTF20aacbyec", "ZTF20acvbneg"]):
        for alert in list(database.ZTF_alerts.find({"objectId": {"$regex": "^ZTF"}}).limit(8)):
            found = database.ZTF_alerts_aux.find_one({"_id": alert["objectId"]})
            assert found is not None
            if found["prv_candidates"][-1]["jd"] <= alert["candidate"]["jd"]:
                galaxy = {"name": "MESSIER 031", "coordinates": {"distance_arcsec": 3.5}, "_id": 7, "z": 0.01}
                alert |= {"_id": number + 1, "objectId": name, "classifications": {"braai": 0.98765432}}
                database.ZTF_alerts.insert_one(alert)
                matches = {"CLU_20190625": [galaxy, {"name": "other"}]}
                database.ZTF_alerts_aux.insert_one(found | {"_id": name, "cross_matches": matches})
                break


def keep_newest(database: Any) -> None:
    """Keep the newest alert of each object, with which its light curve ends."""
    newest = [{"$sort": {"candidate.jd": -1}}, {"$group": {"_id": "$objectId", "id": {"$first": "$_id"}}}]
    kept = [group["id"] for group in database.ZTF_alerts.aggregate(newest)]
    database.ZTF_alerts.delete_many({"_id": {"$nin": kept}})


FRITZ = {"fritz_filter_01": (1,), "fritz_filter_02": (1,), "fritz_filter_clu": (1, 2, 3), "fritz_filter_m31": (1, 2, 3)}


@pytest.mark.parametrize("name", FRITZ)
def test_mongod_gives_the_same_before_and_after(shared: Path, archive: Any, name: str) -> None:
    """The user's own text, on a collection with `candid` as Kowalski has it, against the translated one."""
    compare(archive, json.loads((shared / f"data/filters/fritz/{name}.json").read_text()), FRITZ[name])


@pytest.mark.parametrize("name", ["prv_candidates", "fp_hists", "prv_nondetections"])
@pytest.mark.parametrize("condition", [None, PROGRAMMES, {"$and": [PROGRAMMES, RECENT]}, RECENT])
def test_mongod_gives_the_same_on_made_up_alerts(made_up: Any, name: str, condition: Any) -> None:
    bright = {"$match": {"candidate.drb": {"$gt": 0.5}, f"{name}.0.jd": {"$gt": 0}}}
    shown = {"n": {"$size": f"${name}"}, "sum": {"$sum": f"${name}.diffmaglim"}, "mag": "$candidate.magpsf"}
    last = {"$project": {"_id": 0, "objectId": 1, "annotations": shown}}
    compare(made_up, [DROP_CUTOUTS, LOOKUP, taken(condition, name), bright, last], (1, 2))


def compare(archive: Any, own: list[dict[str, Any]], programids: tuple[int, ...]) -> None:
    """Run a pipeline as it was written, and translated."""
    stages, _ = check_pipeline(own)
    one = Filter("id", "name", "ZTF", {"ZTF": programids}, "v", stages)
    archive.ZTF_alerts.aggregate([{"$addFields": {"candid": "$_id"}}, {"$out": "kowalski"}])
    before = _results(archive.kowalski, own)
    assert 1 <= len(before) < archive.kowalski.count_documents({})
    assert _results(archive.ZTF_alerts, archive_pipeline(one)) == before


def _results(collection: Any, pipeline: list[Any]) -> list[bytes]:
    """What each alert gives, without what names it: one of the two texts drops that."""
    results = [
        {name: value for name, value in sorted(result.items()) if name not in ("_id", "objectId", "candid")}
        for result in collection.aggregate(pipeline)
    ]
    return sorted(map(bson.encode, results))

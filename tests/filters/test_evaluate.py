"""Filters in flight give what mongod gives for the same pipelines on the archive as it stands."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConnectionFailure

from boom_streams import filters
from boom_streams.access.permissions import check_permissions
from boom_streams.errors import BadRecord
from boom_streams.filters import Evaluator, Filter, archive_pipeline, check_pipeline
from boom_streams.filters.running import evaluate
from boom_streams.schema import bson_records
from boom_streams.testing import Stored, classify, sample_packets, scratch_database, store
from boom_streams.testing.stages import ZTF
from tests.support.alerts import containers, rounds

ALL = (1, 2, 3)
EXAMPLES = Path(filters.__file__).parent / "examples"


def make(name: str, *stages: Any, programids: tuple[int, ...] = ALL, annotations: Any = None) -> Filter:
    project = {"$project": {"objectId": 1} | ({} if annotations is None else {"annotations": annotations})}
    pipeline, _ = check_pipeline([*stages, project])
    return Filter(name, name, "ZTF", check_permissions("ZTF", {"ZTF": list(programids)}), "v1", pipeline)


def read(file: Path, programids: tuple[int, ...] = ALL) -> Filter:
    content = json.loads(file.read_text())
    pipeline, _ = check_pipeline(content["pipeline"] if isinstance(content, dict) else content)
    return Filter(file.stem, file.stem, "ZTF", {"ZTF": programids}, "v1", pipeline)


def answers(matches: list[Any], records: list[Any], one: Filter) -> dict[int, Any]:
    return {records[m.index]["candid"]: m.annotations for m in matches if m.filter is one}


@pytest.fixture
def database(services: dict[str, str]) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database


#: Programmes given to alerts and points, in turn; unknown ones count as 3.
PROGRAMMES = [1, 1, 2, 1, 3, 1, 0, 1, 1, 64]


@pytest.fixture(scope="module")
def nights() -> list[Stored]:
    """Made-up alerts of several schema versions, as if of every programme."""
    packets = [sample_packets("ZTF", 40, seed, version=version) for seed, version in enumerate(("1.8", "3.3", "4.02"))]
    return classify([packet for several in packets for packet in several], programids=PROGRAMMES)


@pytest.fixture(scope="module", params=["made up", "real"])
def compared(request: pytest.FixtureRequest) -> tuple[list[Stored], list[Path]]:
    """Alerts, and users' filters for them: made-up ones and the examples, or real ones of both."""
    examples = sorted(EXAMPLES.glob("*.json"))
    if request.param == "made up":
        return request.getfixturevalue("nights"), examples
    shared: Path = request.getfixturevalue("shared")
    folders = ["20211121_snappy", "20231012", "20200202", "schema_history", "ampel"]
    packets = containers(*(shared / "data/alerts/ztf" / folder for folder in folders))
    folder = shared / "data/filters"
    files = [*folder.glob("fritz/*0*.json"), *folder.glob("cats150/*.json"), *folder.glob("boom/fast*.json")]
    return classify(packets, programids=PROGRAMMES), [*files, *examples]


def curious(programids: tuple[int, ...]) -> list[Filter]:
    """Filters that show all that they see: whole light curves, single fields, everything of the alert."""
    some = {"$match": {"candidate.magpsf": {"$lt": 30}}}
    counts = {name: {"$size": f"${name}"} for name in ZTF.series}
    last = {"$arrayElemAt": ["$prv_candidates", -1]}
    series = [
        make(name, some, annotations={name: {"$slice": [f"${name}", -40]}}, programids=programids)
        for name in ZTF.series
    ]
    return [
        *series,
        make("counts", some, annotations=counts, programids=programids),
        make("means", some, annotations={"m": {"$avg": "$prv_candidates.magpsf"}, "l": last}, programids=programids),
        make("forced", {"$match": {"fp_hists.snr_psf": {"$gt": 3}}}, programids=programids, annotations={
            "flux": {"$map": {"input": "$fp_hists", "as": "f", "in": ["$$f.jd", "$$f.psfFlux", "$$f.band"]}}}),
        make("alert", some, programids=programids, annotations={
            name: f"${name}" for name in ("candidate", "coordinates", "properties", "classifications", "aliases")}),
        make("expression", {"$match": {"$expr": {"$gt": [{"$size": "$prv_nondetections"}, 5]}}}, programids=programids),
    ]  # fmt: skip


@pytest.mark.parametrize("programids", [(1,), (1, 2), ALL, (2,), (1, 3)], ids=str)
def test_in_flight_equals_the_archive(
    database: Any, compared: tuple[list[Stored], list[Path]], programids: Any
) -> None:
    nights, files = compared
    filters = [*curious(programids), *(read(file, programids) for file in files)]
    evaluator = Evaluator(database)
    total = dict.fromkeys((one.name for one in filters), 0)
    for batch in rounds(nights):
        records = [one.record for one in batch]
        matches, failures = evaluator.evaluate(records, filters)
        assert failures == []
        store(database, batch)
        these = {"_id": {"$in": [record["candid"] for record in records]}}
        for one in filters:
            stored = {
                found["_id"]: found.get("annotations", {})
                for found in database.ZTF_alerts.aggregate(archive_pipeline(one, these))
            }
            assert answers(matches, records, one) == stored, one.name
            total[one.name] += len(stored)
    assert {1, 2, 3, 0, 64} == {one.record["programid"] for one in nights}
    seen = sum(ZTF.rights.sees(filters[0].programmes(), one.record["programid"]) for one in nights)
    assert total["counts"] == total["alert"] == seen
    if 1 in programids:
        assert all(0 < total[file.stem] < seen for file in files if file.stem != "fast"), total


BROKEN = make("broken", {"$match": {"$expr": {"$toInt": "$objectId"}}})


def changed(one: Stored, **fields: Any) -> Any:
    """The alert's record with other fields."""
    return bson_records.fields(bson.encode(bson.decode(one.classified) | fields))


@pytest.mark.parametrize(
    ("programid", "permitted"), [(1, (1,)), (2, (2,)), (3, (3,)), (0, (3,)), (64, (3,)), (-1, (3,)), (99, (3,))]
)
def test_who_sees_an_alert(database: Any, nights: list[Stored], programid: int, permitted: tuple[int, ...]) -> None:
    record = changed(nights[0], programid=programid)
    everything = {"$match": {}}
    for programids in [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3), ALL]:
        one = make("any", everything, programids=programids)
        matches, _ = Evaluator(database).evaluate([record], [one])
        assert bool(matches) == bool(set(permitted) & set(programids)), programids


def test_points_of_unknown_programmes_count_as_3(database: Any, nights: list[Stored]) -> None:
    series = bson.decode(nights[-1].record["series"].raw)
    curve = np.frombuffer(series["prv_candidates"], ZTF.detections.dtype)[-1:].repeat(7)
    curve["programid"] = [1, 2, 3, 0, 64, -1, 127]
    record = changed(nights[-1], programid=1, series=series | {"prv_candidates": curve.tobytes()})
    programmes = {"p": "$prv_candidates.programid"}
    for programids, seen in {(1,): [1], (1, 2): [1, 2], (1, 3): [1, 3, 0, 64, -1, 127]}.items():
        one = make("points", {"$match": {}}, annotations=programmes, programids=programids)
        (match,), _ = Evaluator(database).evaluate([record], [one])
        assert match.annotations == {"p": seen}


def test_only_the_days_before_the_alert_are_seen(database: Any, nights: list[Stored]) -> None:
    record = nights[-1].record
    jd = record["jd"]
    series = bson.decode(record["series"].raw)
    curve = np.frombuffer(series["prv_candidates"], ZTF.detections.dtype)[-1:].repeat(5)
    curve["jd"] = [jd - 100.5, jd - 100, jd - 1, jd, jd + 0.5]
    record = changed(nights[-1], series=series | {"prv_candidates": curve.tobytes()})
    one = make("points", {"$match": {}}, annotations={"jd": "$prv_candidates.jd"})
    (match,), _ = Evaluator(database, history_days=100).evaluate([record], [one])
    assert match.annotations == {"jd": [jd - 100, jd - 1, jd]}


def test_the_order_and_the_cut_of_the_batch_do_not_matter(database: Any, nights: list[Stored]) -> None:
    filters = curious(ALL)
    records = [one.record for one in nights[:60]]
    evaluator = Evaluator(database)
    whole, failures = evaluator.evaluate(records, filters)
    assert failures == []
    turned, _ = evaluator.evaluate(records[::-1], filters[::-1])
    cut = [match for at in range(0, 60, 7) for match in _shifted(evaluator, records, at, filters)]
    key = [(one.filter.name, one.index, one.annotations) for one in whole]
    assert sorted(key, key=str) == sorted(((m.filter.name, 59 - m.index, m.annotations) for m in turned), key=str)
    assert sorted(key, key=str) == sorted(cut, key=str)
    assert [name for name, _, _ in key] == sorted((n for n, _, _ in key), key=[f.name for f in filters].index)


def _shifted(evaluator: Evaluator, records: list[Any], at: int, filters: list[Filter]) -> list[Any]:
    matches, _ = evaluator.evaluate(records[at : at + 7], filters)
    return [(m.filter.name, m.index + at, m.annotations) for m in matches]


def test_a_candid_that_comes_twice_gets_one_answer_twice(database: Any, nights: list[Stored]) -> None:
    record = nights[-3].record
    matches, _ = Evaluator(database).evaluate([record, nights[-4].record, record], curious(ALL)[:1])
    assert [match.index for match in matches] == [0, 1, 2]
    assert matches[0].annotations == matches[2].annotations


def test_filters_of_other_surveys_and_no_alerts(database: Any, nights: list[Stored]) -> None:
    evaluator = Evaluator(database)
    other = Filter("l", "l", "LSST", {}, "v1", BROKEN.pipeline)
    assert evaluator.evaluate([nights[0].record], [other]) == ([], [])
    assert evaluator.evaluate([], curious(ALL)) == ([], [])
    assert evaluator.evaluate([nights[0].record], []) == ([], [])


def test_nothing_is_left_behind(database: Any, nights: list[Stored]) -> None:
    filters = [*curious((1,)), *curious(ALL), BROKEN]
    evaluator = Evaluator(database)
    evaluator.evaluate([one.record for one in nights[:9]], filters)
    (scratch,) = database.list_collection_names()
    assert database[scratch].count_documents({}) == 0
    evaluator.close()
    assert database.list_collection_names() == []


def test_filters_in_one_request_answer_as_each_alone(
    database: Any, nights: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    filters, given = [*curious((1,)), *curious(ALL)], [one.record for one in nights[:60]]
    asked = Counter[str]()
    together = evaluate.run_together
    monkeypatch.setattr(evaluate, "run_together", lambda *args: asked.update("t") or together(*args))
    matches, failures = Evaluator(database).evaluate(given, filters)
    assert asked["t"]
    monkeypatch.setattr(evaluate, "run_together", lambda *_: None)
    alone = Evaluator(database).evaluate(given, filters)
    assert (matches, failures) == alone
    assert matches


def test_one_that_fails_among_others_in_one_request_is_found(database: Any, nights: list[Stored]) -> None:
    filters, given = [*curious(ALL), BROKEN], [one.record for one in nights[:9]]
    evaluator = Evaluator(database)
    for _ in range(2):  # the second time nobody tries to ask them together
        matches, (failure,) = evaluator.evaluate(given, filters)
        assert failure.filter is BROKEN
        assert {match.filter.name for match in matches} <= {one.name for one in filters[:-1]}
        assert matches == evaluator.evaluate(given, filters[:-1])[0]


@pytest.mark.parametrize("name", ["candid", "survey", "programid", "alert", "series"])
def test_a_record_that_lacks_something_is_named(database: Any, nights: list[Stored], name: str) -> None:
    broken = {key: value for key, value in bson.decode(nights[0].classified).items() if key != name}
    with pytest.raises(BadRecord, match=f"has no '?{name}"):
        Evaluator(database).evaluate([broken], curious(ALL)[:1])


BAD = {
    "Failed to parse number": {"$match": {"$expr": {"$gt": [{"$toInt": "$objectId"}, 1]}}},
    "divide by zero": {"$addFields": {"x": {"$divide": [1, {"$subtract": ["$candidate.jd", "$candidate.jd"]}]}}},
    "$size must be an array": {"$addFields": {"x": {"$size": "$candidate.jd"}}},
    "must be a positive number": {"$addFields": {"x": {"$ln": -1}}},
}


@pytest.mark.parametrize("reason", BAD)
def test_one_that_fails_costs_the_others_nothing(database: Any, nights: list[Stored], reason: str) -> None:
    records = [one.record for one in nights[-20:]]
    good = [make("first", {"$match": {}}), make("last", {"$match": {}}, annotations={"m": "$candidate.magpsf"})]
    bad = make("bad", {"$match": {}}, BAD[reason], annotations={"x": "$x"})
    matches, (failure,) = Evaluator(database).evaluate(records, [good[0], bad, good[1]])
    assert failure.filter is bad
    assert reason in failure.reason
    assert len(answers(matches, records, good[0])) == len(answers(matches, records, good[1])) == 20
    assert not answers(matches, records, bad)


def test_one_that_takes_too_long_fails_alone(database: Any, nights: list[Stored]) -> None:
    long = {"$range": [0, {"$add": [3000, {"$size": "$prv_candidates"}]}]}
    slow = make("slow", {"$match": {"$expr": {"$gte": [{"$sum": {"$map": {"input": long, "in": {"$sum": long}}}}, 0]}}})
    good = make("good", {"$match": {}})
    records = [one.record for one in nights[-3:]]
    matches, (failure,) = Evaluator(database, timeout_ms=100).evaluate(records, [slow, good])
    assert failure.filter is slow
    assert "took longer than 100 ms on 3 alerts, twice" in failure.reason
    assert len(matches) == 3


def test_an_expensive_regular_expression_is_cut_off(database: Any, nights: list[Stored]) -> None:
    text = {"$reduce": {"input": {"$range": [0, 40]}, "initialValue": "", "in": {"$concat": ["$$value", "a"]}}}
    find = {"$regexMatch": {"input": {"$concat": [text, "!"]}, "regex": "^(a+)+$"}}
    hostile = make("redos", {"$match": {"$expr": {"$not": [find]}}})
    good = make("good", {"$match": {}})
    matches, failures = Evaluator(database, timeout_ms=2000).evaluate([nights[-1].record], [hostile, good])
    assert [match.filter for match in matches if match.filter is good] == [good]
    assert all(failure.filter is hostile for failure in failures)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ("$candidate.magpsf", "its annotations are a float"),
        (["$candidate.magpsf"], "its annotations are a list"),
        ({"long": [{"$range": [0, 10000]}, {"$range": [0, 10000]}]}, "65536 are the most"),
    ],
)
def test_annotations_that_are_refused(database: Any, nights: list[Stored], annotations: Any, reason: str) -> None:
    bad, good = make("bad", {"$match": {}}, annotations=annotations), make("good", {"$match": {}})
    matches, (failure,) = Evaluator(database).evaluate([nights[-1].record], [bad, good])
    assert failure.filter is bad
    assert reason in failure.reason
    assert [match.filter for match in matches] == [good]


INFINITE = {"$multiply": [1e308, 10]}


def test_annotations_are_what_json_has(database: Any, nights: list[Stored]) -> None:
    one = make("all", {"$match": {}}, annotations={
        "inf": {"$multiply": [1e308, 10]}, "nan": {"$subtract": [INFINITE, INFINITE]},
        "null": {"$literal": None}, "absent": "$candidate.no_such_field", "time": {"$toDate": 1.5e12},
        "decimal": {"$toDecimal": "1.5"}, "long": {"$toLong": "9007199254740993"}, "deep": {"a": [{"b": True}]},
    })  # fmt: skip
    (match,), failures = Evaluator(database).evaluate([nights[-1].record], [one])
    assert failures == []
    assert json.loads(json.dumps(match.annotations, allow_nan=False)) == {
        "inf": None, "nan": None, "null": None, "time": "2017-07-14T02:40:00Z", "decimal": "1.5",
        "long": 9007199254740993, "deep": {"a": [{"b": True}]},
    }  # fmt: skip


def test_a_mongodb_that_is_away_is_no_fault_of_a_filter(nights: list[Stored]) -> None:
    absent = MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50)
    with absent as client, pytest.raises(ConnectionFailure):
        Evaluator(client.db).evaluate([nights[-1].record], curious(ALL)[:1])

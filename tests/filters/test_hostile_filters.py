"""One user's filter, or one hostile alert, costs that filter only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from boom_streams.archive import Archive
from boom_streams.errors import BadRecord
from boom_streams.filters import Evaluator, Filter, archive_pipeline
from boom_streams.filters.language.cost import CURVE
from boom_streams.filters.running import evaluate, scratch
from boom_streams.filters.running.pipeline import LostConnection
from boom_streams.schema import bson_records
from boom_streams.testing import Stored, classify, scratch_database, stages, store
from boom_streams.testing.stages import ZTF
from tests.support.ztf_packets import candidate, container

EVERYTHING: dict[str, Any] = {"$match": {"candidate.magpsf": {"$lt": 30}}}


def make(name: str, *stages: Any, annotations: Any = None) -> Filter:
    """A filter that was not checked: another program wrote it, or the check was mistaken."""
    last = {"$project": {"objectId": 1} | ({} if annotations is None else {"annotations": annotations})}
    return Filter(name, name, "ZTF", {"ZTF": (1, 2, 3)}, "v1", (*stages, last))


GOOD = make("good", EVERYTHING, annotations={"m": "$candidate.magpsf"})


@pytest.fixture
def database(services: dict[str, str]) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database


def alerts(count: int = 5, **more: Any) -> list[Stored]:
    """Made-up alerts, one an object."""
    return classify(
        [
            container(objectId=f"ZTF00{n:07d}", candid=100 + n, candidate=candidate(candid=100 + n, **more))
            for n in range(count)
        ]
    )


def records(stored: list[Stored]) -> list[Any]:
    return [one.record for one in stored]


def changed(one: Stored, **fields: Any) -> Any:
    """The alert's record with other fields."""
    return bson_records.fields(bson.encode(bson.decode(one.classified) | fields))


def operations(database: Any) -> list[Any]:
    current = [{"$currentOp": {}}, {"$match": {"command.aggregate": {"$regex": "^scratch_"}, "active": True}}]
    return [
        operation
        for operation in database.client.admin.aggregate(current)
        if operation["ns"].startswith(f"{database.name}.")
    ]


def test_one_that_mongodb_does_not_interrupt_is_at_fault_and_is_ended(database: Any) -> None:
    inner = {"$map": {"input": {"$range": [0, 8000]}, "as": "b", "in": {"$lt": [{"$add": ["$$b", "$candid"]}, -1]}}}
    pairs = {"$filter": {"input": {"$range": [0, 8000]}, "as": "a", "cond": {"$anyElementTrue": [inner]}}}
    endless = make("endless", EVERYTHING, annotations={"n": {"$size": pairs}})
    evaluator = Evaluator(database, timeout_ms=300)
    started = time.monotonic()
    matches, (failure,) = evaluator.evaluate(records(alerts(1)), [GOOD, endless, make("after", EVERYTHING)])
    assert time.monotonic() - started < 30
    assert failure.filter is endless
    assert "took longer than 300 ms on 1 alerts, and MongoDB cannot stop it" in failure.reason
    assert [match.filter.name for match in matches] == ["good", "after"]
    assert len(operations(database)) <= 1, "it was not started again"
    assert len(evaluator.evaluate(records(alerts(1)), [GOOD])[0]) == 1, "while it goes on"
    deadline = time.monotonic() + 120
    while operations(database):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_filter_sees_the_newest_points_of_a_long_light_curve_in_flight_and_in_the_archive(database: Any) -> None:
    (one,) = alerts(1)
    curve = ZTF.series["prv_candidates"].loads(bson.decode(one.record["series"].raw)["prv_candidates"])
    long = curve.repeat(24_000)
    long["jd"] -= np.linspace(300, 0, len(long))
    long["candid"][:-1] = np.arange(1000, 1000 + len(long) - 1)
    packed = {"prv_candidates": long.tobytes()}
    series = bson.decode(one.record["series"].raw) | packed
    record = changed(one, series=series, changed=series)
    quadratic = {
        "$size": {
            "$filter": {
                "input": "$prv_candidates", "as": "a",
                "cond": {"$anyElementTrue": [{"$map": {
                    "input": "$prv_candidates", "as": "b", "in": {"$lt": [{"$subtract": ["$$b.jd", "$$a.jd"]}, -1000]},
                }}]},
            }
        }
    }  # fmt: skip
    seen = {"n": {"$size": "$prv_candidates"}, "first": {"$first": "$prv_candidates.candid"}, "pairs": quadratic}
    filters = [make("curve", EVERYTHING, annotations=seen)]
    (match,), failures = Evaluator(database, timeout_ms=20_000).evaluate([record], filters)
    assert failures == []
    assert match.annotations == {"n": CURVE, "first": 1000 + len(long) - CURVE, "pairs": 0}
    store(database, [Stored(one.enriched, bytes(record.raw))])
    (stored,) = database.ZTF_alerts.aggregate(archive_pipeline(filters[0]))
    assert stored["annotations"] == match.annotations


def test_an_alert_that_is_large_beside_its_light_curve_is_no_alert_for_filters(database: Any) -> None:
    large = changed(alerts(1)[0], cross_matches={"LS": [{"_id": "x" * 100_000}] * 20})
    reads = make("reads", EVERYTHING, annotations={"n": {"$size": "$cross_matches.LS"}})
    with pytest.raises(BadRecord, match="beside the light curve"):
        Evaluator(database).evaluate([large], [reads])
    assert database.list_collection_names() == []


@pytest.mark.parametrize(
    ("matches", "reason"),
    [
        ({"LS": [{"_id": "x" * 5_000}]}, "cross_matches.LS._id is a text of 5000 bytes; 4096 are the most"),
        ({"LS": [{"_id": "\u2609" * 1_500}]}, "cross_matches.LS._id is a text of 4500 bytes; 4096 are the most"),
        ({"LS": [{"_id": 1}] * 5_001}, "cross_matches.LS and others have 5001 elements; 5000 are the most"),
        ({"LS": [{f"f{n}": 1 for n in range(600)}]}, "cross_matches.LS has 600 fields; 250 are the most"),
    ],
)
def test_what_bounds_on_filters_assume_of_an_alert_is_enforced(database: Any, matches: Any, reason: str) -> None:
    large = changed(alerts(1)[0], cross_matches=matches)
    reads = make("reads", EVERYTHING, annotations={"n": {"$size": "$cross_matches.LS"}})
    with pytest.raises(BadRecord) as error:
        Evaluator(database).evaluate([large], [reads])
    assert str(error.value) == f"filters do not take this alert: {reason}"


@pytest.mark.parametrize("hostile", [(2,), (0, 4)])
def test_a_filter_that_fails_at_an_alert_gives_the_others(database: Any, hostile: tuple[int, ...]) -> None:
    stored = alerts(5)
    given = [
        changed(one, alert=bson.decode(one.record["alert"].raw) | {"sumrat": "a text" if place in hostile else 1.0})
        for place, one in enumerate(stored)
    ]
    calc = make("calc", EVERYTHING, annotations={"x": {"$add": ["$sumrat", 1]}})
    matches, (failure,) = Evaluator(database).evaluate(given, [calc, GOOD])
    assert failure.filter is calc
    assert "$add only supports numeric" in failure.reason
    assert failure.candid == 100 + hostile[0]
    assert [m.index for m in matches if m.filter is calc] == [n for n in range(5) if n not in hostile]
    assert [m.index for m in matches if m.filter is GOOD] == list(range(5))


def test_the_search_for_what_a_filter_fails_at_is_bounded(database: Any) -> None:
    bad = make("bad", EVERYTHING, annotations={"x": {"$toInt": "$objectId"}})
    ran = []
    run, evaluate.run_pipeline = evaluate.run_pipeline, lambda *given: (ran.append(1), run(*given))[1]
    try:
        _, (failure,) = Evaluator(database).evaluate(records(alerts(100)), [bad])
    finally:
        evaluate.run_pipeline = run
    assert "Failed to parse number" in failure.reason
    assert len(ran) == evaluate.MAX_RUNS


STRANGE: dict[str, Any] = {
    "oid": {"$oid": "not an id"},
    "date": {"$date": "x"},
    "ref": {"$ref": "x", "$id": 1},
    "wrong": {"$ref": 5, "$id": 1},
    "uuid": {"$uuid": 7},
    "dots": {"a.b": 1, "$a": 2},
    "nothing": {"": 1},
    "long": {"$numberLong": "x"},
}


def test_annotations_are_kept_as_they_are(database: Any) -> None:
    stored = alerts(1)
    one = make("strange", EVERYTHING, annotations={name: {"$literal": value} for name, value in STRANGE.items()})
    (match,), failures = Evaluator(database).evaluate(records(stored), [one])
    assert failures == []
    assert match.annotations == STRANGE
    value = stages.filtered(stored[0].classified, "strange", annotations=match.text)
    other = stages.filtered(stored[0].classified, "other", annotations='{"mine": 1}')
    assert Archive(database, ["ZTF"]).write_matches([value, other]) == [None, None]
    raw = database.ZTF_filter_matches.find({}, {"annotations": 1})
    found = {each["_id"]["filter_id"]: each["annotations"] for each in raw}
    assert found["other"] == {"mine": 1}
    found["strange"]["ref"] = found["strange"]["ref"].as_doc()  # the driver's idea of it
    assert found["strange"] == STRANGE


@pytest.mark.parametrize("levels", [85, 95, 185])
def test_annotations_that_are_nested_deeply_are_the_filters_fault(database: Any, levels: int) -> None:
    grown = {"$reduce": {"input": {"$range": [0, levels]}, "initialValue": {"a": 1}, "in": {"a": "$$value"}}}
    deep = make("deep", EVERYTHING, annotations={"x": grown})
    stored = alerts(1)
    matches, failures = Evaluator(database).evaluate(records(stored), [deep, GOOD])
    assert [match.filter for match in matches if match.filter is GOOD] == [GOOD]
    if levels > 90:
        assert [failure.reason for failure in failures] == ["its annotations are nested deeper than 90 levels"]
        return
    value = stages.filtered(stored[0].classified, "deep", annotations=matches[0].text)
    assert Archive(database, ["ZTF"]).write_matches([value]) == [None]


def test_annotations_that_cannot_be_stored_cost_no_other_filter(database: Any) -> None:
    stored = alerts(1)
    deep = json.dumps({"x": [[]]}).replace("[]", "[" * 180 + "]" * 180)
    values = [
        stages.filtered(stored[0].classified, name, annotations=text)
        for name, text in {"deep": deep, "list": "[1]", "huge": '{"n": 1e400, "i": 99999999999999999999}'}.items()
    ]
    good = stages.filtered(stored[0].classified, "good", annotations='{"mine": 1}')
    assert Archive(database, ["ZTF"]).write_matches([*values, good]) == [None] * 4
    found = {each["_id"]["filter_id"]: each["annotations"] for each in database.ZTF_filter_matches.find()}
    assert found["good"] == {"mine": 1}
    assert found["deep"] == {"text": deep}
    assert found["list"] == {"text": "[1]"}
    assert set(found) == {"deep", "list", "huge", "good"}


def test_more_annotations_than_can_be_held_ask_for_a_smaller_batch(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "MAX_HELD", 100_000)
    wordy = [make(f"wordy{n}", EVERYTHING, annotations={"x": {"$range": [0, 3000]}}) for n in range(7)]
    evaluator = Evaluator(database)
    with pytest.raises(evaluate.TooMuch):
        evaluator.evaluate(records(alerts(3)), wordy)
    assert database.list_collection_names() == []
    assert len(evaluator.evaluate(records(alerts(1)), wordy)[0]) == 7


def test_scratch_collections_of_workers_that_are_no_more_are_dropped(database: Any) -> None:
    old, fresh = (f"scratch_{int(time.time()) - age}_{'0' * 32}" for age in (scratch.EXPIRY + 60, 60))
    for name in (old, fresh, "scratch_of_somebody"):
        database[name].insert_one({})
    evaluator = Evaluator(database)
    assert len(evaluator.evaluate(records(alerts(2)), [GOOD])[0]) == 2
    (own,) = set(database.list_collection_names()) - {fresh, "scratch_of_somebody"}
    assert database[own].count_documents({}) == 0, "no alerts stay"
    evaluator.close()
    assert sorted(database.list_collection_names()) == sorted([fresh, "scratch_of_somebody"])


def test_alerts_that_mongodb_lost_are_no_alerts_that_do_not_pass(database: Any, monkeypatch: Any) -> None:
    run = evaluate.run_pipeline

    def lose(collection: Any, *given: Any) -> Any:
        collection.drop()
        return run(collection, *given)

    monkeypatch.setattr(evaluate, "run_pipeline", lose)
    with pytest.raises(Exception, match="lost the alerts"):
        Evaluator(database).evaluate(records(alerts(2)), [GOOD])


@pytest.mark.parametrize(("comes_back", "raised"), [(True, 0), (False, 1 + evaluate.MAX_LOSSES)])
def test_one_during_which_mongodb_is_lost_again_and_again_is_at_fault(
    database: Any, monkeypatch: pytest.MonkeyPatch, comes_back: bool, raised: int
) -> None:
    """The first time it is lost while all filters run in one request, which says nothing of whose fault it is."""
    run, killer, ran = evaluate.run_pipeline, make("killer", EVERYTHING, annotations={"kills": {"$literal": 1}}), []

    def die(collection: Any, stages: Any, *given: Any) -> Any:
        if "kills" not in str([bson.decode(stage.raw) for stage in stages]):
            return run(collection, stages, *given)
        ran.append(1)
        raise LostConnection("gone") if comes_back else AutoReconnect("gone")

    def die_together(*_: Any) -> Any:
        raise LostConnection("gone") if comes_back else AutoReconnect("gone")

    monkeypatch.setattr(evaluate, "run_pipeline", die)
    monkeypatch.setattr(evaluate, "run_together", die_together)
    evaluator, given = Evaluator(database), records(alerts(2))
    for _ in range(raised):
        with pytest.raises(AutoReconnect):
            evaluator.evaluate(given, [killer, GOOD])
    matches, (failure,) = evaluator.evaluate(given, [killer, GOOD])
    assert "was lost 3 times" in failure.reason
    assert [match.filter for match in matches] == [GOOD, GOOD]
    assert len(ran) == evaluate.MAX_LOSSES


@pytest.mark.parametrize("name", ["calc", "pairs", "oid", "deepann"])
def test_the_filters_and_alerts_that_did_harm(database: Any, shared: Path, name: str) -> None:
    folder = shared / "data/faults"
    hostile = make(name, *json.loads((folder / f"{name}.json").read_text()))
    files = [folder / f"{file}.avro" for file in ("colon_1_real", "long_history", "sumrat_string")]
    stored = classify([file.read_bytes() for file in files])
    given = records(stored)
    matches, failures = Evaluator(database).evaluate(given, [hostile, GOOD])
    assert sum(match.filter is GOOD for match in matches) == len(given)
    assert all(failure.filter is hostile for failure in failures)
    values = [
        stages.filtered(stored[match.index].classified, match.filter.id, annotations=match.text) for match in matches
    ]
    assert not any(Archive(database, ["ZTF"]).write_matches(values))
    assert database.ZTF_filter_matches.count_documents({"filter_id": "good"}) == len(given)

"""The archive on a real mongod: every write can be repeated, and comes in any order."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from boom_streams import archive as archives
from boom_streams.archive import Archive, alerts, ensure
from boom_streams.settings import Settings
from boom_streams.testing import stages
from boom_streams.testing.stages import ZTF, Memory
from tests.support.objects import OBJECT, PACKETS, START, Packet, known, packets_of, place
from tests.support.ztf_packets import candidate, container

Documents = dict[str, dict[Any, dict[str, Any]]]
#: A sink of the archive and a record for it.
Write = tuple[str, bytes]

mongod = with_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def database(settings: Settings) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        found = client[settings.mongo_db]
        archives.ensure(found, ["ZTF"])
        yield found


def empty(database: Database[dict[str, Any]]) -> Archive:
    for name in database.list_collection_names():
        database[name].delete_many({})
    ensure(database, ["ZTF"])  # else what is written first is an archive of 0.1.0
    return Archive(database, ["ZTF"])


def content(database: Database[dict[str, Any]]) -> Documents:
    names = ("ZTF_alerts", "ZTF_alerts_aux", "ZTF_alerts_cutouts", "ZTF_filter_matches")
    return {
        name: {bson.encode({"_id": document["_id"]}): document for document in database[name].find()} for name in names
    }


def writes(packets: Sequence[Packet]) -> list[Write]:
    """All records that the stages make of some alerts, with two filters that some of them pass."""
    enriched = [packet.value() for packet in packets]
    classified = stages.classified(enriched, Memory())
    passed = [stages.filtered(value, *"ab"[: 1 + index % 2]) for index, value in enumerate(classified)]
    kinds = (("enriched", enriched), ("classified", classified), ("matches", passed))
    return [(kind, value) for kind, values in kinds for value in values]


def store(target: Archive, chosen: Sequence[Write], cuts: Sequence[int] = ()) -> None:
    """Write records in their order, cut into batches at some places and where the sink changes."""

    def batch(item: tuple[int, Write]) -> tuple[str, int]:
        return item[1][0], sum(item[0] >= cut for cut in cuts)

    for (kind, _), found in itertools.groupby(enumerate(chosen), batch):
        values = [value for _, (_, value) in found]
        assert getattr(target, f"write_{kind}")(values) == [None] * len(values)


@given(PACKETS, st.data())
@mongod
def test_any_order_repetition_and_batches_end_the_same(
    database: Database[dict[str, Any]], packets: list[Packet], data: st.DataObject
) -> None:
    everything = writes(packets)
    store(empty(database), everything)
    expected = content(database)
    shuffled = data.draw(st.permutations(everything + data.draw(st.lists(st.sampled_from(everything), max_size=6))))
    cuts = data.draw(st.lists(st.integers(0, len(shuffled)), max_size=5))
    store(empty(database), shuffled, cuts)
    assert content(database) == expected


@given(PACKETS)
@mongod
def test_light_curves_are_what_is_known(database: Database[dict[str, Any]], packets: list[Packet]) -> None:
    store(empty(database), writes(packets))
    (document,) = database["ZTF_alerts_aux"].find()
    expected = {name: sorted(found.values(), key=place) for name, found in known(packets).items()}
    revisions = {packet.candid: revision for revision, packet in enumerate(packets, 1)}
    for point in document["prv_candidates"]:
        assert point.get("own", False) == (point.get("candid") in revisions)
        if point.get("own"):
            assert point["revision"] == revisions[point["candid"]]
    stored = {name: [strip(point) for point in document[name]] for name in ZTF.series}
    assert stored == expected
    assert document["revision"] == len(packets)
    received = [bson.decode(packet.value())["received"] for packet in packets]
    assert (document["created_at"], document["updated_at"]) == (min(received), max(received))


def strip(point: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name not in ("revision", "own")}


@given(PACKETS, st.data())
@mongod
def test_any_order_of_alerts_ends_in_the_same_light_curve(
    database: Database[dict[str, Any]], packets: list[Packet], data: st.DataObject
) -> None:
    found = []
    for order in (packets, data.draw(st.permutations(packets))):
        store(empty(database), writes(order))
        (document,) = database["ZTF_alerts_aux"].find()
        for name in ZTF.series:
            document[name] = [{k: v for k, v in point.items() if k != "revision"} for point in document[name]]
        found.append(document)
    assert found[0] == found[1]


def test_one_writer_beside_another(database: Database[dict[str, Any]]) -> None:
    """Two workers that both believe the partition to be theirs."""
    for seed in range(6):
        everything = writes(packets_of([0.0, 1.0, 9.49, 9.51, 29.0, 366.0], seed))
        store(empty(database), everything)
        expected = content(database)
        target = empty(database)
        orders = [everything, everything[::-1], everything[5:] + everything[:5]]
        with ThreadPoolExecutor(len(orders)) as pool:
            done = [pool.submit(store, target, order, range(0, len(everything), 3)) for order in orders]
        for future in done:
            future.result()
        assert content(database) == expected


def test_the_first_to_write_an_alert_wins(database: Database[dict[str, Any]]) -> None:
    target = empty(database)
    first, second = (
        stages.enriched(
            [container(candidate=candidate(magpsf=mag), cutoutScience={"fileName": "", "stampData": stamp})]
        )
        for mag, stamp in ((18.0, b"1"), (17.0, b"2"))
    )
    classified = [stages.classified(values, Memory())[0] for values in (first, second)]
    target.write_classified(classified[:1])
    target.write_enriched(first)
    before = content(database)
    target.write_enriched(second)
    target.write_classified(classified[1:])
    after = content(database)
    for name in ("ZTF_alerts", "ZTF_alerts_cutouts"):
        assert after[name] == before[name]
    (alert,) = after["ZTF_alerts"].values()
    assert alert["candidate"]["magpsf"] == 18.0
    assert alert["properties"]["photstats"]["g"]["peak_mag"] == 18.0
    assert {"created_at", "updated_at", "coordinates", "classifications"} <= alert.keys()
    assert target.read_cutouts("ZTF", [42, 43]) == {42: {"cutoutScience": b"1"}}


def test_matches_of_the_newest_alert_stay(database: Database[dict[str, Any]]) -> None:
    """In whatever order the alerts were processed and their records stored; an older one's leave nothing behind."""

    def record(jd: float, candid: int, **found: Any) -> bytes:
        (value,) = stages.enriched([container(candid=candid, candidate=candidate(jd=jd, candid=candid))])
        return bson.encode({**bson.decode(value), **found})

    records = [
        record(START, 5, cross_matches={"GCVS": [{"name": "a"}]}, unmatched={"NED": "not imported"}),
        record(START + 1, 3, cross_matches={"GCVS": [{"name": "b"}]}, aliases={"LSST": ["b"]}),
        record(START + 1, 4, cross_matches={"GCVS": [{"name": "c"}], "NED": []}, catalogs={"GCVS": "v1", "NED": "v2"}),
    ]
    for processed in itertools.permutations(records):
        values = stages.classified(processed, Memory())
        for order in itertools.permutations([*values, values[0]]):
            target = empty(database)
            for value in order:
                target.write_classified([value])
            (document,) = database["ZTF_alerts_aux"].find()
            assert document["cross_matches"] == {"GCVS": [{"name": "c"}], "NED": []}
            assert document["catalogs"] == {"GCVS": "v1", "NED": "v2"}
            assert document["matched"] == {"jd": START + 1, "candid": 4}
            assert not {"unmatched", "aliases"} & document.keys()


def test_a_record_that_is_too_large_is_a_problem_of_its_own(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = packets_of([0.0, 1.0], 3)
    big = stages.enriched([container(candid=9, cutoutScience={"fileName": "", "stampData": bytes((15 << 20) + 1000)})])[
        0
    ]
    target = empty(database)
    problems = target.write_enriched([small.value(), big, large.value()])
    assert [problem is None for problem in problems] == [True, False, True]
    assert str(problems[1]).startswith(f"{len(big)} bytes as BSON; MongoDB stores up to")
    assert database["ZTF_alerts"].count_documents({}) == 2
    (value,) = stages.classified([small.value()], Memory())
    monkeypatch.setattr(alerts, "MAX_DOCUMENT", 1000)
    assert target.write_classified([value])[0] is not None


def test_what_mongod_refuses_is_raised(database: Database[dict[str, Any]]) -> None:
    """Not a duplicate, so not passed over: the delivery module finds the record and dead-letters it."""
    (value,) = stages.enriched([container()])
    broken = bson.decode(value)
    broken["alert"]["coordinates"]["radec_geojson"]["coordinates"] = [999.0, 0.0]
    target = empty(database)
    with pytest.raises(BulkWriteError):
        target.write_enriched([value, bson.encode(broken | {"alert": broken["alert"] | {"_id": 1}})])
    assert database["ZTF_alerts"].count_documents({}) == 1, "the others of the batch are stored"


def test_partial_history_does_not_take_the_place_of_what_is_known(database: Database[dict[str, Any]]) -> None:
    """An alert that was processed while the archive was away, on top of twenty that are stored."""
    packets = packets_of([float(day) for day in range(20)], seed=2)
    target = empty(database)
    store(target, writes(packets[:19]))
    (before,) = database["ZTF_alerts_aux"].find()
    (value,) = stages.classified([packets[19].value()], Memory(), partial=True)
    for _ in range(2):
        target.write_classified([value])
        (after,) = database["ZTF_alerts_aux"].find()
        assert (after["revision"], after["coordinates"]) == (19, before["coordinates"])
        own = {point["candid"]: point for point in after["prv_candidates"] if point.get("own")}
        assert own.keys() == {packet.candid for packet in packets}
        for point in before["prv_candidates"]:
            assert not point.get("own") or own[point["candid"]] == point
        assert sorted(after["prv_candidates"], key=place) == after["prv_candidates"]
    assert database["ZTF_alerts"].find_one({"_id": packets[19].candid}) == {
        "_id": packets[19].candid,
        **{name: bson.decode(value)[name] for name in ("properties", "classifications", "models", "history")},
    }


def test_filter_matches(database: Database[dict[str, Any]]) -> None:
    (value,) = stages.classified(stages.enriched([container()]), Memory())
    target = empty(database)
    annotations = json.dumps({"mag": 17.5, "many": 2**60, "like": {"$numberLong": "x"}})
    for _ in range(2):
        target.write_matches([stages.filtered(value, "one", "two", annotations=annotations)])
    found = list(database["ZTF_filter_matches"].find().sort("filter_id"))
    assert [document["_id"] for document in found] == [
        {"candid": 42, "filter_id": name, "fid": "v1"} for name in ("one", "two")
    ]
    assert found[0]["annotations"] == {"mag": 17.5, "many": 2**60, "like": {"$numberLong": "x"}}
    assert found[0]["objectId"] == OBJECT


def test_objects_are_read_back_as_they_were_packed(database: Database[dict[str, Any]]) -> None:
    packets = packets_of([0.0, 1.0, 800.0], seed=8)
    store(empty(database), writes(packets))
    database["ZTF_alerts_aux"].insert_one({"_id": "only matches", "cross_matches": {}})
    target = Archive(database, ["ZTF"])
    ((object_id, (series, own, revision)),) = target.read_objects("ZTF", [OBJECT, "only matches", "none"]).items()
    assert (object_id, revision, own) == (OBJECT, 3, {packet.candid for packet in packets})
    answers = Memory()
    whole = [stages.arrival(packet.value(), days=1e6) for packet in packets]
    last = [stages.history.admit(answers, arrival) for arrival in whole][-1]
    assert {name: found.tobytes() for name, found in series.items()} == {
        name: found.tobytes() for name, found in last.series.items()
    }


def test_the_archive_is_set_up_once(settings: Settings) -> None:
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        created = archives.ensure(client[settings.mongo_db], ["ZTF"])
        assert "created collection ZTF_alerts_aux" in created
        assert "created index time of ZTF_alerts" in created
        assert archives.ensure(client[settings.mongo_db], ["ZTF"]) == []

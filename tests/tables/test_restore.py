"""History that is read back from the archive: the table was lost, or the archive was away for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from boom_streams.agents.classify import classified_values, take
from boom_streams.archive import Archive, ensure
from boom_streams.settings import Settings
from boom_streams.tables.objects import history
from boom_streams.tables.objects.chunks import Head
from boom_streams.testing import stages
from boom_streams.testing.stages import ZTF, Memory
from tests.support.objects import OBJECT, START, Packet, known, packets_of, place
from tests.support.ztf_packets import candidate, container

DAYS = [0.0, 1.0, 9.49, 9.51, 29.0, 40.0, 364.9, 366.0]


@pytest.fixture
def archive(settings: Settings) -> Iterator[Archive]:
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        ensure(client[settings.mongo_db], ["ZTF"])
        yield Archive(client[settings.mongo_db], ["ZTF"])


@pytest.fixture
def curve(archive: Archive, settings: Settings) -> Iterator[Callable[[], dict[str, Any]]]:
    """What the archive has of the object, without revisions."""
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:

        def read() -> dict[str, Any]:
            (document,) = client[settings.mongo_db]["ZTF_alerts_aux"].find()
            del document["revision"]
            for name in ZTF.series:
                document[name] = [{k: v for k, v in p.items() if k != "revision"} for p in document[name]]
            return document

        yield read


def classify(store: Memory, packets: Sequence[Packet], *, partial: bool = False) -> list[bytes]:
    return stages.classified([packet.value() for packet in packets], store, partial=partial)


def restore(store: Memory, archive: Archive) -> None:
    history.restore(store, ZTF, OBJECT, *archive.read_objects("ZTF", [OBJECT])[OBJECT])


def head(store: Memory) -> Head:
    return Head.loads(store[b"ZTF:" + OBJECT.encode()])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lost_after", [1, 4, 7])
def test_a_lost_table_goes_on_as_if_it_had_not_been_lost(
    archive: Archive, curve: Callable[[], dict[str, Any]], seed: int, lost_after: int
) -> None:
    packets = packets_of(DAYS, seed)
    archive.write_classified(classify(Memory(), packets[:lost_after]))
    store = Memory()
    restore(store, archive)
    again = classify(store, packets[:lost_after])
    archive.write_classified(again)
    assert all(bson.decode(value)["changed"] == {} for value in again), "all of it is stored"
    archive.write_classified(classify(store, packets[lost_after:]))
    (value,) = classify(store, packets[-1:])
    fields, arrival = take(packets[-1].value(), ZTF, 365.0)
    unbroken = Memory()
    classify(unbroken, packets)
    expected = history.admit(unbroken, arrival)
    series = bson.decode(value)["series"]
    assert series == {name: found.tobytes() for name, found in expected.series.items()}
    assert bson.decode(value)["position"] == list(expected.position)
    assert bson.decode(value)["history"] == "complete"
    (as_expected,) = classified_values([(fields, arrival, expected)], stages.NO_MODELS)
    assert bson.decode(value)["properties"] == bson.decode(as_expected)["properties"]
    known_now = {name: sorted(found.values(), key=place) for name, found in known(packets).items()}
    stored = curve()
    assert {n: [{k: v for k, v in p.items() if k != "own"} for p in stored[n]] for n in ZTF.series} == known_now


@pytest.mark.parametrize("seed", range(8))
def test_alerts_while_the_archive_is_away(archive: Archive, curve: Callable[[], dict[str, Any]], seed: int) -> None:
    """The table knows nothing, the archive three alerts; two come while it is away, then it is back."""
    packets = packets_of(DAYS, seed)
    archive.write_classified(classify(Memory(), packets[:3]))
    store = Memory()
    first = classify(store, packets[3:5], partial=True)
    assert [bson.decode(value)["history"] for value in first] == ["partial", "partial"]
    assert history.needs_archive(store, began_long_ago(packets[5]))
    restore(store, archive)
    assert not history.needs_archive(store, began_long_ago(packets[5]))
    assert classify(store, packets[3:5]) == first, "the same answers, though more is known by now"
    later = classify(store, packets[5:])
    assert all(bson.decode(value)["history"] == "complete" for value in later)
    archive.write_classified(first)
    archive.write_classified(later)
    archive.write_classified(first)
    own = {p["candid"]: p for p in curve()["prv_candidates"] if p.get("own")}
    assert own.keys() == {packet.candid for packet in packets}
    everything = known(packets)
    for candid, point in own.items():
        assert {k: v for k, v in point.items() if k != "own"} == everything["prv_candidates"][candid]
    for name, found in everything.items():
        stored = [identity(point) for point in curve()[name]]
        assert stored == [identity(point) for point in sorted(found.values(), key=place)]


def identity(point: dict[str, Any]) -> Any:
    return point.get("candid") or (point["jd"], point["fid"], point["programid"])


def began_long_ago(packet: Packet) -> history.Arrival:
    arrival = stages.arrival(packet.value())
    arrival.history_start = arrival.jd - 100.0
    return arrival


def test_when_the_archive_is_asked() -> None:
    first, second = packets_of([0.0, 1.0], 4)
    store = Memory()
    assert history.needs_archive(store, began_long_ago(first))
    recent = stages.arrival(first.value())
    recent.history_start = recent.jd - 29.0
    assert not history.needs_archive(store, recent)
    assert not history.needs_archive(store, stages.arrival(first.value())), "the packet does not say"
    classify(store, [first])
    assert not history.needs_archive(store, began_long_ago(second)), "the table knows the object"


def test_an_object_that_nobody_knows_is_not_restored() -> None:
    store = Memory()
    history.restore(store, ZTF, OBJECT, {}, (), 0)
    assert store == {}


def test_the_archive_comes_back_and_knows_nothing() -> None:
    first, second = packets_of([0.0, 1.0], 4)
    store = Memory()
    classify(store, [first], partial=True)
    history.restore(store, ZTF, OBJECT, {}, (), 0)
    assert not history.needs_archive(store, began_long_ago(second))
    (value,) = classify(store, [second])
    assert bson.decode(value)["history"] == "complete"
    assert (head(store).partial, head(store).restored, head(store).revision) == (1, 2, 3)


def test_what_was_restored_reaches_the_changelog_with_the_repeated_alert(archive: Archive) -> None:
    """Killed after RocksDB was written and before the changelog was: months that the packet does not touch, too."""
    old, new = (
        Packet(candid, START + day, container(candid=candid, candidate=candidate(candid=candid, jd=START + day)))
        for candid, day in ((1000, 0.0), (1001, 200.0))
    )
    archive.write_classified(classify(Memory(), [old]))
    store = Memory()
    restore(store, archive)
    classify(store, [new])
    assert len(store) == 3, "the head and two months"
    store.puts = []
    classify(store, [new])
    assert dict(store.puts) == dict(store)

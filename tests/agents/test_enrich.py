"""The enrich stage as a function: what it sends, what it gives up, what it puts into ``cells``."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import bson
import fastavro
import pytest

from boom_streams.agents import enrich
from boom_streams.agents.delivery.loop import Process, Record, Result
from boom_streams.avro import containers as avro
from boom_streams.ingest import raw_records as raw
from boom_streams.kafka import partitions
from boom_streams.schema import records as schemas
from boom_streams.settings import Settings, load_settings
from boom_streams.tables import cells
from boom_streams.testing import stages
from boom_streams.testing.stages import ZTF, MemoryTable
from tests.support.ztf_packets import candidate, container, detection, packet_schema

PARTITIONS = 4
TIMESTAMP = 1_700_000_000.25


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A broker without MongoDB: no catalogue can be asked."""
    nowhere = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=20"
    return load_settings(
        partitions=PARTITIONS,
        topic_prefix="p.",
        surveys=("ZTF",),
        mongo_uri=nowhere,
        archive_patience=0.0,
        data_dir=tmp_path_factory.mktemp("data"),
    )


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable("cells")


def record(value: bytes, **changes: Any) -> Record:
    """A raw record as a plain producer writes it: no key, some partition."""
    fields: dict[str, Any] = {"topic": "p.ztf.raw", "partition": 0, "offset": 0, "timestamp": TIMESTAMP, "key": None}
    return Record(**(fields | {"value": value, "headers": {}} | changes))


def placed(*containers: bytes) -> list[Record]:
    """Raw records as the one writer makes them, margin records too."""
    batch = raw.raw_batch(containers, ZTF, PARTITIONS)
    assert batch.bad == []
    return [record(r.value, key=r.key, partition=r.partition, headers=dict(r.headers)) for r in batch.records]


def run(settings: Settings, table: MemoryTable, *found: Record) -> list[Result]:
    return stages.run(_process(settings), found, table)


@cache
def _process(settings: Settings) -> Process:
    return enrich.make(settings)


def sent_again(result: Result) -> list[Record]:
    return [stages.record(send, timestamp=TIMESTAMP + 60) for send in result.sends]


def several(*packets: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, packet_schema(), packets)
    return out.getvalue()


def packet(candid: int, **changes: Any) -> dict[str, Any]:
    own = {"schemavsn": "9.9", "publisher": "x", "objectId": f"ZTF{candid}", "candid": candid}
    return own | {"candidate": candidate(candid=candid, **changes)}


def at_an_edge() -> tuple[float, float]:
    """A place whose alerts have a margin record in another partition."""
    for number in range(2000):
        ra, dec = 10.0 + number * 0.003, 20.0
        batch = raw.raw_records(container(candidate=candidate(ra=ra, dec=dec)), ZTF, PARTITIONS)
        if len(batch.records) > 1:
            return ra, dec
    raise AssertionError("no edge found")


def objects(table: MemoryTable, partition: int) -> dict[str, list[int]]:
    found = {}
    for value in table.partitions.get(partition, {}).values():
        found |= {name: detections["candid"].tolist() for name, detections in cells.objects_in(value).items()}
    return found


def test_an_alert_in_its_place(settings: Settings, table: MemoryTable) -> None:
    data = container(
        candidate=candidate(sgscore1=0.9, ssdistnr=-999.0), prv_candidates=[detection(2459999.5, 7), {"jd": None}]
    )
    (found,) = placed(data)
    (result,) = run(settings, table, found)
    (send,) = result.sends
    assert result.dead is None
    assert (send.topic, send.key, send.headers) == ("p.ztf.enriched", b"ZTF00aaaaaaa", ())
    assert send.partition == partitions.raw_partition(b"ZTF00aaaaaaa", PARTITIONS)
    schemas.check("enriched", send.value)
    value = bson.decode(send.value)
    assert value["received"] == pytest.approx(TIMESTAMP / 86400 + 2440587.5, abs=1e-9)
    assert value["alert"]["candidate"]["psfFlux"] == pytest.approx(10 ** (-0.4 * (18.0 - 31.4)))
    assert value["cutouts"] == {"cutoutScience": b"gz"}
    assert set(value["properties"]) == {"rock", "star", "near_brightstar", "sso"}
    assert None not in value["alert"]["candidate"].values()
    assert len(value["series"]["prv_candidates"]) == 2 * ZTF.detections.dtype.itemsize
    assert objects(table, found.partition) == {"ZTF00aaaaaaa": [42]}


def test_the_same_bytes_alone_and_in_a_batch(settings: Settings, table: MemoryTable) -> None:
    found = placed(*(container(candid=n, candidate=candidate(candid=n, ra=n * 7.3 % 360)) for n in range(40)))
    together = run(settings, table, *found)
    alone = [run(settings, MemoryTable("cells"), one)[0] for one in found]
    assert together == alone


def test_a_margin_record_is_only_put_into_cells(settings: Settings, table: MemoryTable) -> None:
    ra, dec = at_an_edge()
    found = placed(container(candidate=candidate(ra=ra, dec=dec)))
    results = run(settings, table, *found)
    assert [len(result.sends) for result in results] == [1] + [0] * (len(found) - 1)
    assert all(result.dead is None for result in results)
    partitions = {one.partition for one in found}
    assert len(partitions) > 1
    for partition in range(PARTITIONS):
        assert objects(table, partition) == ({"ZTF00aaaaaaa": [42]} if partition in partitions else {})


def test_a_margin_record_of_the_first_release_is_taken_and_one_of_a_newer_is_a_dead_letter(
    settings: Settings, table: MemoryTable
) -> None:
    ra, dec = at_an_edge()
    _, margin, *_ = placed(container(candidate=candidate(ra=ra, dec=dec)))
    content = bson.decode(margin.value)
    margin.value = bson.encode({name: value for name, value in content.items() if name != "v"})
    assert run(settings, table, margin) == [Result()]
    assert objects(table, margin.partition) == {"ZTF00aaaaaaa": [42]}
    margin.value = bson.encode(content | {"v": 99})
    (result,) = run(settings, table, margin)
    assert "were written by a newer release" in str(result.dead)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"objectId": 7}, "survey or objectId"),
        ({"objectId": ""}, "objectId is missing"),
        ({"candid": "x"}, "candid"),
        ({"candid": True}, "candid"),
        ({"jd": float("nan")}, "jd"),
        ({"jd": -1.0}, "jd"),
        ({"ra": None}, "ra"),
        ({"dec": 91.0}, "dec"),
        ({"ra": 200.0}, "not near the cell"),
        ({"survey": "LSST"}, "survey or objectId"),
        ({"v": 99}, "margin"),
        (b"no BSON", "no margin record"),
        (None, "no margin record"),
    ],
    ids=str,
)
def test_a_forged_margin_record_harms_only_itself(
    settings: Settings, table: MemoryTable, changes: Any, reason: str
) -> None:
    """The real alert of the object comes after it, into the same partition."""
    ra, dec = at_an_edge()
    right, *margins = placed(container(candidate=candidate(ra=ra, dec=dec)))
    genuine = margins[0]
    forged = bson.encode({**bson.decode(genuine.value), **changes}) if isinstance(changes, dict) else changes
    wrong = record(forged, key=genuine.key, partition=genuine.partition, headers=genuine.headers)
    bad, *good = run(settings, table, wrong, genuine, right)
    assert bad.dead is not None
    assert reason in bad.dead
    assert [result.dead for result in good] == [None, None]
    expected = MemoryTable("cells")
    run(settings, expected, genuine, right)
    assert table.partitions == expected.partitions


@pytest.mark.parametrize("kind", ["no key", "another key", "no cell", "another partition", "leading zero"])
def test_a_record_in_the_wrong_place_is_written_again(settings: Settings, table: MemoryTable, kind: str) -> None:
    ra, dec = at_an_edge()
    data = container(candidate=candidate(ra=ra, dec=dec))
    right, *margins = placed(data)
    key = right.key or b""
    wrong = {
        "no key": record(data),
        "another key": record(data, key=b"1", partition=partitions.raw_partition(b"1", PARTITIONS)),
        "no cell": record(data, key=b"ZTF00aaaaaaa"),
        "another partition": record(data, key=key, partition=(right.partition + 1) % PARTITIONS),
        "leading zero": record(data, key=b"0" + key, partition=partitions.raw_partition(b"0" + key, PARTITIONS)),
    }[kind]
    (result,) = run(settings, table, wrong)
    assert result.dead is None
    again = sent_again(result)
    assert [(r.topic, r.key, r.partition, r.value) for r in again] == [
        (r.topic, r.key, r.partition, r.value) for r in (right, *margins)
    ]
    assert {r.received for r in again} == {TIMESTAMP * 1000}
    assert not any(table.partitions.values()), "nothing is known of it here"
    results = run(settings, table, *again)
    assert [send.topic for result in results for send in result.sends] == ["p.ztf.enriched"]
    assert [send.value for result in results for send in result.sends] == [
        send.value for send in run(settings, MemoryTable("cells"), right)[0].sends
    ]


def test_still_in_the_wrong_place_is_a_dead_letter(settings: Settings, table: MemoryTable) -> None:
    (result,) = run(settings, table, record(container(), headers={"rekeyed": b"1"}))
    assert (result.dead, result.sends) == ("in the wrong place after it was re-keyed", [])


def test_several_alerts_in_a_container_are_split(settings: Settings, table: MemoryTable) -> None:
    (result,) = run(settings, table, record(several(packet(1, ra=10.0), packet(2, ra=200.0), packet(3, ra=10.0))))
    assert result.dead is None
    again = sent_again(result)
    assert [len(avro.split(r.value)[0]) for r in again] == [1, 1, 1]
    enriched = [send for result in run(settings, table, *again) for send in result.sends]
    assert [bson.decode(send.value)["candid"] for send in enriched] == [1, 2, 3]


def test_of_several_alerts_a_bad_one_is_a_dead_letter(settings: Settings, table: MemoryTable) -> None:
    bad_place = packet(2, ra=None)
    (result,) = run(settings, table, record(several(packet(1), bad_place, packet(3))))
    assert [r.headers["rekeyed"] for r in sent_again(result)] == [b"1", b"1"]
    assert result.dead == "candidate.ra is missing"
    no_detection = packet(2, magpsf=None)
    (result,) = run(settings, table, record(several(packet(1), no_detection)))
    assert result.dead is None, "it has a place, so it goes there first"
    results = run(settings, table, *sent_again(result))
    assert [result.dead for result in results] == [None, "candidate.magpsf is missing"]
    assert [len(result.sends) for result in results] == [1, 0]


def test_the_good_alert_of_a_truncated_container_is_kept(settings: Settings, table: MemoryTable) -> None:
    out = io.BytesIO()
    fastavro.writer(out, packet_schema(), [packet(1), packet(2)], sync_interval=1)
    (result,) = run(settings, table, record(out.getvalue()[:-30]))
    assert [r.headers for r in sent_again(result)] == [{"rekeyed": b"1", "received": b"1700000000250"}]
    assert result.dead is not None
    assert "its first 1 alerts are good and were kept" in result.dead


@pytest.mark.parametrize("place", ["its own", "none"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magpsf": None}, "candidate.magpsf is missing"),
        ({"fid": 9}, "candidate.fid is 9, no filter of ZTF (1, 2, 3)"),
    ],
)
def test_an_alert_that_is_no_detection(
    settings: Settings, table: MemoryTable, changes: dict[str, Any], reason: str, place: str
) -> None:
    ra, dec = at_an_edge()
    (found, *_) = placed(container(candidate=candidate(ra=ra, dec=dec, **changes)))
    (result,) = run(settings, table, found if place == "its own" else record(found.value))
    assert (result.dead, result.sends) == (reason, [])


@pytest.mark.parametrize("value", [b"", b"Obj\x01", b"hello", container()[:50], container()[:-20]])
def test_what_cannot_be_read(settings: Settings, table: MemoryTable, value: bytes) -> None:
    good = placed(container())
    results = run(settings, table, record(value), *good)
    assert results[0].dead
    assert results[0].sends == []
    assert [send.topic for send in results[1].sends] == ["p.ztf.enriched"]


def test_a_record_again_changes_nothing(settings: Settings, table: MemoryTable) -> None:
    found = placed(container())
    first = run(settings, table, *found)
    before = {partition: dict(content) for partition, content in table.partitions.items()}
    assert run(settings, table, *found) == first
    assert table.partitions == before

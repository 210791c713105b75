"""The classify stage as a function: history, statistics, and the archive that may be away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from boom_streams import names
from boom_streams.agents import classify
from boom_streams.agents.delivery.loop import Record
from boom_streams.archive import Archive, ensure
from boom_streams.errors import SettingsError
from boom_streams.kafka import partitions
from boom_streams.models import known_models
from boom_streams.schema import records as schemas
from boom_streams.settings import Settings
from boom_streams.testing import sample_packets, stages
from boom_streams.testing.stages import MemoryTable
from tests.support.alerts import containers
from tests.support.ztf_packets import candidate, container, detection

JD = 2460000.5
OBJECT = b"ZTF00aaaaaaa"


@pytest.fixture
def archive(settings: Settings) -> Iterator[Archive]:
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        ensure(client[settings.mongo_db], ["ZTF"])
        yield Archive(client[settings.mongo_db], ["ZTF"])


def enriched(settings: Settings, *containers: bytes) -> list[Record]:
    partition = partitions.raw_partition(OBJECT, settings.partitions)
    topic = names.topic("ZTF", "enriched", settings.topic_prefix)
    return [
        Record(topic, partition, offset, 1.7e9, OBJECT, value, {})
        for offset, value in enumerate(stages.enriched(containers))
    ]


def alert(candid: int, day: float, **changes: Any) -> bytes:
    prv = [detection(JD + day - 1, candid - 100)]
    return container(candid=candid, candidate=candidate(candid=candid, jd=JD + day, **changes), prv_candidates=prv)


def run(settings: Settings, table: MemoryTable, *found: Record) -> list[dict[str, Any]]:
    results = stages.run(classify.make(settings), found, table)
    assert [result.dead for result in results] == [None] * len(found)
    for result in results:
        schemas.check("classified", result.sends[0].value)
    return [bson.decode(result.sends[0].value) for result in results]


def test_what_is_sent(settings: Settings) -> None:
    found = enriched(settings, alert(1000, 0.0), alert(1001, 2.0, magpsf=17.0))
    results = stages.run(classify.make(settings), found, MemoryTable("objects"))
    sends = [send for result in results for send in result.sends]
    assert {send.topic for send in sends} == {names.topic("ZTF", "classified", settings.topic_prefix)}
    assert [(send.key, send.partition) for send in sends] == [(OBJECT, found[0].partition)] * 2
    assert [dict(send.headers)["enriched"] for send in sends] == [
        f"{record.partition}:{record.offset}".encode() for record in found
    ]
    values = [bson.decode(send.value) for send in sends]
    assert [(value["revision"], value["history"]) for value in values] == [(1, "complete"), (2, "complete")]
    assert values[1]["properties"]["photstats"]["g"]["peak_mag"] == 17.0
    assert values[1]["properties"]["stationary"]
    for value, record in zip(values, found, strict=True):
        before = bson.decode(record.value)
        for name in ("alert", "received", "cross_matches", "aliases", "programid", "jd", "ra", "dec"):
            assert value[name] == before[name]
        assert before["properties"].items() <= value["properties"].items()
        assert "cutouts" not in value


def test_the_same_bytes_alone_in_a_batch_and_again(settings: Settings) -> None:
    found = enriched(settings, *(alert(1000 + n, n * 7.3) for n in range(6)))
    process = classify.make(settings)
    table = MemoryTable("objects")
    together = stages.run(process, found, table)
    alone = MemoryTable("objects")
    assert [stages.run(process, [record], alone)[0] for record in found] == together
    assert stages.run(process, found[2:], table) == together[2:]
    assert table == alone


def test_an_old_object_is_read_back_from_the_archive(settings: Settings, archive: Archive) -> None:
    first, second = enriched(settings, alert(1000, 0.0), alert(1001, 50.0, jdstarthist=JD - 1))
    archive.write_classified(stages.classified([first.value], stages.Memory()))
    (value,) = run(settings, MemoryTable("objects"), second)
    series = stages.points_of(value, "prv_candidates")
    assert series["candid"].tolist() == [900, 1000, 901, 1001]
    assert value["history"] == "complete"
    assert value["properties"]["photstats"]["g"]["dt"] == 51.0


def test_an_object_that_the_archive_does_not_know(settings: Settings, archive: Archive) -> None:
    (record,) = enriched(settings, alert(1001, 50.0, jdstarthist=JD - 1))
    (value,) = run(settings, MemoryTable("objects"), record)
    assert (value["revision"], value["history"]) == (1, "complete")


def test_the_archive_is_away_and_comes_back(
    make_settings: Callable[..., Settings], settings: Settings, archive: Archive
) -> None:
    old, *found = enriched(
        settings, alert(1000, 0.0), *(alert(1001 + n, 50.0 + n, jdstarthist=JD - 1) for n in range(3))
    )
    archive.write_classified(stages.classified([old.value], stages.Memory()))
    nowhere = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    away = make_settings(mongo_uri=nowhere, archive_patience=0.0, topic_prefix=settings.topic_prefix)
    table = MemoryTable("objects")
    partial = run(away, table, *found[:2])
    assert [value["history"] for value in partial] == ["partial", "partial"]
    again, later = run(settings, table, *found[1:])
    assert again == partial[1], "its first answer"
    assert later["history"] == "complete"
    assert 1000 in stages.points_of(later, "prv_candidates")["candid"]
    for values in (partial, [later, again]):
        archive.write_classified([bson.encode(value) for value in values])
    ((_, own, _),) = archive.read_objects("ZTF", [OBJECT.decode()]).values()
    assert own == {1000, 1001, 1002, 1003}


@pytest.fixture(params=["made up", "20211121_snappy", "20231012"])
def night(request: pytest.FixtureRequest) -> list[bytes]:
    """Packets of a night, made up or real."""
    if request.param == "made up":
        return sample_packets("ZTF", 60)
    return containers(request.getfixturevalue("shared") / "data/alerts/ztf" / request.param)


def test_a_night_in_two_orders_ends_in_the_same_archive(
    settings: Settings, archive: Archive, night: list[bytes]
) -> None:
    values = stages.enriched(night)
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        aux = client[settings.mongo_db]["ZTF_alerts_aux"]
        contents = []
        for order in (values, [*values[::-1], *values[:5]]):
            aux.delete_many({})
            archive.write_classified(stages.classified(order, stages.Memory()))
            contents.append({document["_id"]: without_revisions(document) for document in aux.find()})
        assert contents[0] == contents[1]
        assert len(contents[0]) > 20


def without_revisions(document: dict[str, Any]) -> dict[str, Any]:
    """A document without the order in which its alerts were processed."""
    series = {
        name: [{k: v for k, v in point.items() if k != "revision"} for point in document[name]]
        for name in stages.ZTF.series
    }
    return {name: value for name, value in (document | series).items() if name != "revision"}


def test_a_real_alert_gets_the_scores_that_were_published(make_settings: Callable[..., Settings], shared: Path) -> None:
    settings = make_settings(models_dir=shared / "models")
    data = (shared / "data/alerts/reference/ztf/2695378462115010012.avro").read_bytes()
    value, again = run(settings, MemoryTable("objects"), *enriched(settings, data), *enriched(settings, data))
    scores = value["classifications"]
    assert scores["acai_v"] > 0.99
    assert all(scores[name] < 0.01 for name in ("acai_h", "acai_n", "acai_o", "acai_b", "btsbot"))
    assert value["models"] == {name: known_models()[name].version for name in scores}
    assert (value["unscored"], again) == ({}, value)


def test_the_same_scores_alone_and_in_a_batch_and_stored(
    make_settings: Callable[..., Settings], settings: Settings, archive: Archive, shared: Path
) -> None:
    """Alerts that are processed again in another batch give the same bytes; one without a stamp says so."""
    with_models = make_settings(models_dir=shared / "models", topic_prefix=settings.topic_prefix)
    night = sorted((shared / "data/alerts/ztf/20231012").rglob("*.avro"))
    found = enriched(with_models, *(path.read_bytes() for path in night))
    bare = bson.decode(found[0].value)
    del bare["cutouts"]["cutoutTemplate"]
    found[0].value = bson.encode(bare)
    together = stages.run(classify.make(with_models), found, MemoryTable("objects"))
    alone, process = MemoryTable("objects"), classify.make(with_models)
    assert [stages.run(process, [record], alone)[0] for record in found] == together
    archive.write_classified([result.sends[0].value for result in together])
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        stored = {document["_id"]: document for document in client[settings.mongo_db]["ZTF_alerts"].find()}
    first, *others = (stored.pop(bson.decode(record.value)["candid"]) for record in found)
    assert first["unscored"] == dict.fromkeys(settings.models, "cutoutTemplate is missing")
    assert (first["classifications"], first["models"]) == ({}, {})
    complete = [each for each in others if "unscored" not in each]
    assert len(complete) > 15
    assert all(set(each["classifications"]) == set(each["models"]) == set(with_models.models) for each in complete)
    assert all(0 <= score <= 1 for each in complete for score in each["classifications"].values())


def test_a_model_that_nobody_knows(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match=r"no model is called 'acai_x' \(setting BOOM_MODELS\); there are acai_h"):
        classify.make(make_settings(models=("acai_x",)))

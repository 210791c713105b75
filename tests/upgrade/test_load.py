"""Samples of earlier releases, loaded: Kafka and MongoDB hold what the release had left, at the same offsets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from pymongo import MongoClient
from pymongo.database import Database

from boom_streams.settings import Settings
from tests.conftest import MakeSettings, own_settings
from tests.upgrade.load import Target, load
from tests.upgrade.sample import DATA, Sample, counts, manifest, unpack_workers

RELEASES = sorted(path.name for path in DATA.iterdir())


@pytest.fixture(scope="module", params=RELEASES)
def folder(request: pytest.FixtureRequest) -> Path:
    """Folder of a sample."""
    return DATA / str(request.param)


@pytest.fixture(scope="module")
def make(services: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSettings]:
    with own_settings(services, tmp_path_factory.mktemp("upgrade")) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(folder: Path, make: MakeSettings) -> tuple[Settings, Sample]:
    """Where a sample was loaded, and the sample."""
    settings = make(partitions=manifest(folder)["partitions"])
    uri = settings.mongo_uri.get_secret_value()
    return settings, load(Target(settings.kafka, uri, settings.mongo_db, settings.topic_prefix), folder)


@pytest.fixture
def database(loaded: tuple[Settings, Sample]) -> Iterator[Database[dict[str, Any]]]:
    settings, _ = loaded
    with MongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        yield client[settings.mongo_db]


def consumer(settings: Settings, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": settings.kafka, "group.id": group, "enable.auto.commit": False})


def messages(settings: Settings, topic: str, ends: list[int]) -> list[Message]:
    """All records of a topic, in the order of partition and offset."""
    client = consumer(settings, f"{settings.topic_prefix}reader")
    try:
        client.assign([TopicPartition(topic, partition, 0) for partition in range(len(ends))])
        found = client.consume(sum(ends), timeout=30)
    finally:
        client.close()
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    pairs: Any = message.headers() or []
    return list(pairs)


def test_manifest_tells_what_is_in_the_sample(loaded: tuple[Settings, Sample], folder: Path) -> None:
    said = manifest(folder)
    assert {name: said[name] for name in counts(loaded[1])} == counts(loaded[1])
    assert said["release"] == folder.name


def test_records_are_where_they_were(loaded: tuple[Settings, Sample], folder: Path) -> None:
    settings, sample = loaded
    prefix = settings.topic_prefix
    shifts = set()
    for topic, ends in manifest(folder)["topics"].items():
        client = consumer(settings, f"{prefix}reader")
        marks = [client.get_watermark_offsets(TopicPartition(prefix + topic, p), timeout=30) for p in range(len(ends))]
        client.close()
        assert marks == [(0, end) for end in ends]
        records = [record for record in sample.records if record.topic == topic]
        found = messages(settings, prefix + topic, ends)
        for record, message in zip(records, found, strict=True):
            assert (message.partition(), message.offset()) == (record.partition, record.offset)
            assert (message.key(), message.value()) == (record.key, record.value)
            headers = [(name, value.removeprefix(prefix.encode())) for name, value in headers_of(message)]
            assert headers == record.headers
            shifts.add(message.timestamp()[1] - record.timestamp)
    assert len(shifts) == 1, "times are as far apart as they were"


def test_topics_are_configured_as_they_were(loaded: tuple[Settings, Sample]) -> None:
    settings, sample = loaded
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    kind, prefix = ConfigResource.Type.TOPIC, settings.topic_prefix
    asked = admin.describe_configs([ConfigResource(kind, prefix + topic.name) for topic in sample.topics])
    found = {resource.name: future.result() for resource, future in asked.items()}
    for topic in sample.topics:
        values = found[prefix + topic.name]
        assert {name: values[name].value for name in topic.config} == topic.config


def test_letters_name_the_topics_that_there_are(loaded: tuple[Settings, Sample]) -> None:
    settings, sample = loaded
    letters = [record for record in sample.records if record.topic.endswith(".dead")]
    named = {dict(record.headers)["dead.topic"] for record in letters}
    ends = counts(sample)["topics"][letters[0].topic]
    found = messages(settings, settings.topic_prefix + letters[0].topic, ends)
    assert {dict(headers_of(message))["dead.topic"] for message in found} == {
        name if name.startswith(b"file:") else settings.topic_prefix.encode() + name for name in named if name
    }


def test_groups_go_on_where_they_were(loaded: tuple[Settings, Sample], folder: Path) -> None:
    settings, _ = loaded
    prefix = settings.topic_prefix
    for group, topics in manifest(folder)["committed"].items():
        client = consumer(settings, prefix + group)
        for topic, offsets in topics.items():
            wanted = [TopicPartition(prefix + topic, partition) for partition in range(len(offsets))]
            found = [at.offset for at in client.committed(wanted, timeout=30)]
            assert found == [-1001 if offset is None else offset for offset in offsets]
        client.close()


def test_work_is_left_for_every_group(folder: Path) -> None:
    left = manifest(folder)["left"]
    assert left
    assert all(count > 0 for topics in left.values() for count in topics.values())


def test_archive_is_the_same_byte_by_byte(loaded: tuple[Settings, Sample], database: Database[dict[str, Any]]) -> None:
    _, sample = loaded
    assert set(database.list_collection_names()) == {each.name for each in sample.collections}
    for each in sample.collections:
        found: Any = database[each.name].with_options(CodecOptions(document_class=RawBSONDocument)).find()
        ordered = {bytes(document.raw) for document in found}
        assert ordered == {bytes(document.raw) for document in each.documents}
        indexes = [dict(index) for index in database[each.name].list_indexes() if index["name"] != "_id_"]
        assert indexes == each.indexes
        assert database[each.name].options() == each.options


def test_workers_have_their_tables(folder: Path, tmp_path: Path) -> None:
    unpack_workers(folder, tmp_path / "workers")
    databases = {path.parent.name for path in tmp_path.rglob("CURRENT")}
    partitions = range(manifest(folder)["partitions"])
    assert databases == {"tiles", *(f"{table}-{p}.db" for table in ("cells", "objects") for p in partitions)}

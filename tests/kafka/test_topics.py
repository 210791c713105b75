"""Topics: created once, checked for ever; errors that say what to do; reading from end to end."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import ConfigResource
from confluent_kafka.cimpl import NewTopic

from boom_streams import names
from boom_streams.errors import ServiceError
from boom_streams.kafka import clients, topics
from boom_streams.kafka.offsets import committed, watermarks
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.kafka.writer import Writer
from boom_streams.settings import Settings, load_settings
from tests.support.waiting import wait_for


def topic_config(settings: Settings, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (future,) = clients.admin(settings).describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result().items()}


def test_every_topic_is_created_once(make_settings) -> None:
    settings = make_settings(partitions=3)
    changes = topics.ensure_topics(settings)
    p = settings.topic_prefix
    wanted = {
        *(f"{p}ztf.{stage}" for stage in ("raw", "enriched", "classified", "filtered", "dead")),
        f"{p}boom.cells.changelog",
        f"{p}boom.objects.changelog",
    }
    counts = clients.partition_counts(settings)
    assert {topic: counts[topic] for topic in wanted} == dict.fromkeys(wanted, 3)
    assert len(changes) == len(wanted)
    assert topics.ensure_topics(settings) == []
    assert topics.topic_problems(settings, counts) == []


def test_topics_are_configured_as_the_guarantees_need(make_settings) -> None:
    settings = make_settings(partitions=1, raw_retention_hours=2)
    topics.ensure_topics(settings)
    raw = topic_config(settings, names.topic("ZTF", "raw", settings.topic_prefix))
    changelog = topic_config(settings, names.changelog_topic("objects", settings.topic_prefix))
    assert (raw["cleanup.policy"], raw["retention.ms"]) == ("delete", "7200000")
    assert (changelog["cleanup.policy"], changelog["min.cleanable.dirty.ratio"]) == ("compact", "0.2")
    assert raw["max.message.bytes"] == changelog["max.message.bytes"] == str(12 << 20)


def test_a_changed_retention_is_set_in_the_topic_that_exists(make_settings) -> None:
    settings = make_settings(partitions=1, raw_retention_hours=2)
    topics.ensure_topics(settings)
    longer = make_settings(partitions=1, raw_retention_hours=3, topic_prefix=settings.topic_prefix)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    assert topics.ensure_topics(longer) == [f"set retention.ms of topic {raw} to 10800000"]
    deadline = time.monotonic() + 20  # the broker applies it a moment later
    while topic_config(settings, raw)["retention.ms"] != "10800000":
        assert time.monotonic() < deadline
    assert topics.ensure_topics(longer) == []


def test_another_number_of_partitions_is_refused_and_named(make_settings) -> None:
    settings = make_settings(partitions=2)
    topics.ensure_topics(settings)
    wrong = make_settings(partitions=4, topic_prefix=settings.topic_prefix)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    with pytest.raises(ServiceError, match=rf"topic {raw} has 2 partitions.*kafka-topics\.sh .*--delete"):
        topics.ensure_topics(wrong)
    assert any(raw in problem for problem in topics.topic_problems(wrong, clients.partition_counts(settings)))


def test_missing_topics_are_named(make_settings) -> None:
    settings = make_settings()
    problems = topics.topic_problems(settings, clients.partition_counts(settings))
    assert len(problems) == len(topics.required_topics(settings))
    assert all("boom-streams init" in problem for problem in problems)


def test_topic_of_a_filter_has_one_partition(make_settings) -> None:
    settings = make_settings(partitions=3)
    topic = f"{settings.topic_prefix}filtered.fast"
    assert topics.ensure_filter_topic(settings, "fast") == [f"created topic {topic} with 1 partition"]
    assert topics.ensure_filter_topic(settings, "fast") == []
    assert clients.partition_counts(settings)[topic] == 1


def test_topic_of_a_filter_may_have_any_number_of_partitions(make_settings) -> None:
    settings = make_settings(partitions=3)
    topic = f"{settings.topic_prefix}filtered.fast"
    clients.admin(settings).create_topics([NewTopic(topic, 2, 1)])[topic].result()
    assert all("created" not in change for change in topics.ensure_filter_topic(settings, "fast"))
    assert clients.partition_counts(settings)[topic] == 2
    assert not any(topic in problem for problem in topics.topic_problems(settings, clients.partition_counts(settings)))


def test_a_broker_that_is_absent_is_an_error_that_helps(unused_port: int) -> None:
    settings = load_settings(kafka=f"127.0.0.1:{unused_port}")
    with pytest.raises(ServiceError, match="boom-streams services start"):
        clients.partition_counts(settings)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_missing_permission_names_topic_and_command() -> None:
    settings = load_settings(kafka="broker:9092", kafka_username="ztf")
    error = clients.fail(settings, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "ztf.raw", "Create")
    assert "kafka-acls.sh --bootstrap-server broker:9092" in str(error)
    assert "--allow-principal User:ztf --operation Create --topic 'ztf.raw'" in str(error)


def test_a_password_reaches_kafka_and_only_it() -> None:
    settings = load_settings(kafka_username="ztf", kafka_password="secret")
    config = clients.client_config(settings)
    assert (config["sasl.mechanism"], config["sasl.username"]) == ("SCRAM-SHA-512", "ztf")
    assert config["sasl.password"] == "secret"
    assert "sasl.username" not in clients.client_config(load_settings())


def test_keys_go_to_the_partition_that_java_chooses(make_settings) -> None:
    """Reference values from Kafka's own tests of murmur2, positive and modulo the partitions."""
    settings = make_settings(partitions=8)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    hashes = {"21": -973932308, "foobar": -790332482, "abc": 479470107}
    producer = clients.producer(settings)
    for key in hashes:
        producer.produce(raw, b"", key)
    assert producer.flush(20) == 0
    found = {m.key().decode(): m.partition() for m in scan(settings, [raw])}
    assert found == {key: (value & 0x7FFFFFFF) % 8 for key, value in hashes.items()}


def test_scan_gives_every_record_once_and_stops(make_settings) -> None:
    settings = make_settings(partitions=3)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    writer = Writer(settings)
    for number in range(3000):
        writer.send(raw, b"%d" % number, None, number % 2, [("n", b"%d" % number)])
    writer.finish()
    messages = list(scan(settings, [raw, "no.such.topic"]))
    assert sorted(int(m.value()) for m in messages) == list(range(3000))
    assert all(headers_of(m) == {"n": m.value()} for m in messages)
    assert watermarks(settings, {raw: 3}) == {(raw, 0): (0, 1500), (raw, 1): (0, 1500), (raw, 2): (0, 0)}


def test_scan_ends_where_records_are_gone(make_settings) -> None:
    settings = make_settings(partitions=1)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    writer = Writer(settings)
    for number in range(10):
        writer.send(raw, b"%d" % number, None, 0)
    writer.finish()
    for future in clients.admin(settings).delete_records([TopicPartition(raw, 0, 4)]).values():
        future.result()
    assert [m.value() for m in scan(settings, [raw])] == [b"4", b"5", b"6", b"7", b"8", b"9"]


def test_a_record_of_8_mb_passes(make_settings) -> None:
    settings = make_settings(partitions=1)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    writer = Writer(settings)
    value = bytes(range(256)) * (8 << 12)
    writer.send(raw, value, b"k", 0)
    writer.finish()
    (message,) = scan(settings, [raw])
    assert message.value() == value


def test_what_kafka_refuses_is_told_at_the_end(make_settings) -> None:
    settings = make_settings(partitions=1)
    writer = Writer(settings)
    writer.send(f"{settings.topic_prefix}absent", b"", None, 0)
    with pytest.raises(ServiceError, match="absent"):
        writer.finish()


def test_offsets_of_a_group_that_never_was_are_none(make_settings) -> None:
    settings = make_settings(partitions=1)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    assert committed(settings, f"{settings.topic_prefix}nobody", {raw: 1}) == {}


def test_what_is_to_be_written_to_is_checked_first(make_settings) -> None:
    settings = make_settings(partitions=2)
    with pytest.raises(ServiceError, match="does not exist; create it with `boom-streams init`"):
        topics.check_topics(settings)
    topics.ensure_topics(settings)
    topics.check_topics(settings)
    other = settings.model_copy(update={"partitions": 16})
    with pytest.raises(ServiceError, match="has 2 partitions, and the setting `partitions` is 16"):
        topics.check_topics(other)


def test_a_topic_that_was_made_anew_has_another_id(settings: Settings) -> None:
    topics.ensure_topics(settings)
    raw, enriched = (names.topic("ZTF", name, settings.topic_prefix) for name in ("raw", "enriched"))
    before = topics.topic_ids(settings, [raw, enriched])
    assert before.keys() == {raw, enriched}
    clients.admin(settings).delete_topics([raw])[raw].result(10)
    wait_for(lambda: raw not in clients.partition_counts(settings), "the topic is gone")
    topics.ensure_topics(settings)
    after = topics.topic_ids(settings, [raw, enriched])
    assert (after[enriched], after[raw] != before[raw]) == (before[enriched], True)


def test_the_advice_names_what_must_be_made_anew_with_a_topic(settings: Settings) -> None:
    raw, enriched, filtered = (names.topic("ZTF", n, settings.topic_prefix) for n in ("raw", "enriched", "filtered"))
    assert "boom.cells.changelog with it, and cells-*.db" in topics.rebuilding(settings, raw)
    assert "boom.objects.changelog with it" in topics.rebuilding(settings, enriched)
    assert "_alerts_aux" in topics.rebuilding(settings, enriched)
    assert topics.rebuilding(settings, filtered) == ""

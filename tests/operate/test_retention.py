"""Nothing expires unread without a word."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from boom_streams import names
from boom_streams.kafka import clients, topics
from boom_streams.kafka.reading import scan
from boom_streams.kafka.writer import Writer
from boom_streams.operate.retention import expiring
from boom_streams.operate.status import collect
from boom_streams.settings import Settings

DAY = 86400.0


def test_what_waits_long_and_what_has_been_deleted_is_said(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=2)
    topics.ensure_topics(settings)
    raw = names.topic("ZTF", "raw", settings.topic_prefix)
    writer = Writer(settings)
    for number in range(40):
        writer.send(raw, b"x", None, number % 2, timestamp=1_000_000_000_000)
    writer.finish()
    read = ConsumerGroupTopicPartitions(
        names.group_id("enrich", settings.topic_prefix), [TopicPartition(raw, 0, 5), TopicPartition(raw, 1, 20)]
    )
    for done in clients.admin(settings).alter_consumer_group_offsets([read]).values():
        done.result(10)
    assert {message.timestamp()[1] > (time.time() - 600) * 1000 for message in scan(settings, [raw])} == {True}
    assert expiring(settings, "enrich") == expiring(settings, "enrich", time.time() + 3 * DAY) == []
    (said,) = expiring(settings, "enrich", time.time() + 4 * DAY)
    assert said.startswith(f"15 records of {raw} wait for `enrich` for more than 84 h")
    for done in clients.admin(settings).delete_records([TopicPartition(raw, 0, 8)]).values():
        done.result(10)
    (said,) = expiring(settings, "enrich")
    assert said == f"Kafka deleted 3 records of {raw} before `enrich` read them"
    assert said in collect(settings, 0.1)["missing"]

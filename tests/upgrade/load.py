"""Loads a recorded sample into a real Kafka and MongoDB, as if the release that wrote it had just been stopped.

Nothing of the project is used: the next release, whose modules may have other names, loads with this what the one
before has written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pymongo import MongoClient

from tests.upgrade.sample import Collection, Record, Sample, Topic, read

__all__ = ["Target", "commit", "create_topics", "fill_collections", "load", "produce"]

#: Seconds that Kafka may take to do what it is asked for.
_PATIENCE = 30.0

#: Largest record, bytes; more than any topic takes.
_LARGEST = 16 << 20

#: Errors of a broker that has just been told about a topic or a group.
_PASSING = {
    KafkaError._TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a sample goes.

    Attributes
    ----------
    kafka
        Bootstrap servers.
    mongo_uri, mongo_db
        Connection string of MongoDB, and the database.
    topic_prefix
        Put before the names of all topics and groups; the sample was recorded without one.
    """

    kafka: str
    mongo_uri: str
    mongo_db: str
    topic_prefix: str = ""


def load(target: Target, folder: Path) -> Sample:
    """Load everything; return what was loaded.

    Parameters
    ----------
    target
        Where to. None of the topics and collections may be there yet.
    folder
        Of the sample: ``tests/upgrade/data/0.1.0``. The workers' folders are put in place by
        `tests.upgrade.sample.unpack_workers`; without them workers begin with empty disks.
    """
    sample = read(folder)
    create_topics(target, sample.topics)
    produce(target, sample.records)
    commit(target, sample.committed)
    fill_collections(target, sample.collections)
    return sample


def create_topics(target: Target, topics: Iterable[Topic]) -> None:
    """Create topics with the partitions and the configuration that they had, and wait until they can be written to."""
    admin = AdminClient({"bootstrap.servers": target.kafka, "log_level": 0})
    wanted = {
        target.topic_prefix + topic.name: NewTopic(
            target.topic_prefix + topic.name,
            num_partitions=topic.partitions,
            replication_factor=1,
            config=topic.config,
        )
        for topic in topics
    }
    for future in admin.create_topics(list(wanted.values()), operation_timeout=_PATIENCE).values():
        future.result()
    deadline = time.monotonic() + _PATIENCE
    while not _have_leaders(admin, wanted):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the topics {', '.join(wanted)} have no leaders")
        time.sleep(0.05)


def produce(target: Target, records: Iterable[Record], newest: int | None = None) -> None:
    """Write records to new topics, each to the partition and offset that it had.

    Parameters
    ----------
    target
        Where to.
    records
        Those of a partition in their order.
    newest
        Time that the newest record gets, milliseconds since 1970; all others are as much before it as they were. By
        default now: Kafka soon removes records that are older than the retention of their topic.

    Raises
    ------
    RuntimeError
        If a record is not confirmed, or gets another offset.
    """
    records = list(records)
    now = time.time_ns() // 1_000_000 if newest is None else newest
    shift = now - max((record.timestamp for record in records), default=now)
    producer = Producer(
        {
            "bootstrap.servers": target.kafka,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 20,
            "message.max.bytes": _LARGEST,
            "log_level": 3,
        }
    )
    problems: list[str] = []

    def check(record: Record) -> Callable[[KafkaError | None, Message], None]:
        where = f"{record.topic}/{record.partition}/{record.offset}"

        def confirmed(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                problems.append(f"{where}: {error.str()}")
            elif message.offset() != record.offset:
                problems.append(f"{where}: is at {message.offset()} now")

        return confirmed

    for record in records:
        producer.produce(
            target.topic_prefix + record.topic,
            record.value,
            record.key,
            partition=record.partition,
            on_delivery=check(record),
            timestamp=record.timestamp + shift,
            headers=_headers(target, record),
        )
        producer.poll(0)
    if left := producer.flush(_PATIENCE):
        problems.append(f"{left} records are not confirmed")
    if problems:
        raise RuntimeError("; ".join(problems[:10]))


def commit(target: Target, committed: dict[tuple[str, str, int], int]) -> None:
    """Commit the offsets of consumer groups, which must have no members.

    Parameters
    ----------
    target
        Where to.
    committed
        Offsets by group, topic and partition.
    """
    groups: dict[str, list[TopicPartition]] = {}
    for (group, topic, partition), offset in committed.items():
        where = TopicPartition(target.topic_prefix + topic, partition, offset)
        groups.setdefault(target.topic_prefix + group, []).append(where)
    for group, positions in groups.items():
        consumer = Consumer(
            {"bootstrap.servers": target.kafka, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        )
        try:
            _commit(consumer, positions)
        finally:
            consumer.close()


def fill_collections(target: Target, collections: Iterable[Collection]) -> None:
    """Create collections with the options, documents and indexes that they had."""
    with MongoClient[dict[str, Any]](target.mongo_uri) as client:
        database = client[target.mongo_db]
        for each in collections:
            database.command("create", each.name, **each.options)
            if each.documents:
                database[each.name].insert_many(each.documents)
            if each.indexes:
                database.command("createIndexes", each.name, indexes=each.indexes)


def _have_leaders(admin: AdminClient, topics: Iterable[str]) -> bool:
    known = admin.list_topics(timeout=_PATIENCE).topics
    partitions = [known[topic].partitions.values() if topic in known else () for topic in topics]
    return all(each and all(partition.leader >= 0 for partition in each) for each in partitions)


def _headers(target: Target, record: Record) -> list[tuple[str, str | bytes | None]]:
    """Headers of a record; that of a dead letter which names the topic of a record gets the prefix, too."""
    return [
        (name, target.topic_prefix.encode() + value)
        if name == "dead.topic" and value and not value.startswith(b"file:")
        else (name, value)
        for name, value in record.headers
    ]


def _commit(consumer: Consumer, positions: list[TopicPartition]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            done = consumer.commit(offsets=positions, asynchronous=False)
            problems = [KafkaException(at.error) for at in done or () if at.error is not None]
            if not problems:
                return
            raise problems[0]
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(0.1)

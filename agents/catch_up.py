"""catch_up: what a filter has missed while it was suspended. Reads classified from that point on, and publishes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, Message
from pymongo.errors import PyMongoError

from boom_streams import names
from boom_streams.agents.delivery.batch import Record, Result, Work, checked
from boom_streams.agents.filter import Stage
from boom_streams.archive import mongo
from boom_streams.errors import BoomError, FormatError, ServiceError
from boom_streams.filters import Filter, FilterStore
from boom_streams.kafka import offsets, topics
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.kafka.writer import Writer
from boom_streams.settings import Settings

__all__ = ["CaughtUp", "catch_up"]

log = logging.getLogger(__name__)

#: Records and bytes that are evaluated at once.
_BATCH, _BATCH_BYTES = 500, 16 << 20


@dataclass(slots=True)
class CaughtUp:
    """What came of it.

    Attributes
    ----------
    read
        Alerts since the suspension.
    gone
        Records since the suspension that Kafka has deleted.
    skipped
        Alerts that cannot be evaluated, which were dead letters when they came.
    failed
        Why the filter failed again, and is suspended.
    """

    read: int = 0
    passed: int = 0
    gone: int = 0
    skipped: int = 0
    failed: str = ""


def catch_up(settings: Settings, one: Filter, since: Sequence[int]) -> CaughtUp:
    """Publish the alerts that a filter would have passed while it was suspended; it is active again.

    Those that the workers publish meanwhile come twice, as the same bytes. How far it is stands in the filter's
    document, where `boom_streams.filters.missed` finds it after an interruption.

    Parameters
    ----------
    settings
        Settings of the broker.
    one
        The filter in its active version.
    since
        Offsets of ``<survey>.classified``, by partition, before which it has seen all.

    Raises
    ------
    ServiceError
        If Kafka or MongoDB is away.
    """
    topic = names.topic(one.survey, "classified", settings.topic_prefix)
    topics.ensure_filter_topic(settings, one.name)
    time.sleep(settings.filter_refresh + 1)  # until then workers may take alerts without it
    first = offsets.watermarks(settings, {topic: settings.partitions})
    starts = {(topic, partition): offset for partition, offset in enumerate(since)}
    done = CaughtUp(gone=sum(max(0, first[where][0] - offset) for where, offset in starts.items() if where in first))
    reached = [since[partition] if partition < len(since) else 0 for partition in range(settings.partitions)]
    store, stage, writer = FilterStore(mongo.database(settings)), Stage(settings, reached), Writer(settings)
    for records in _batches(scan(settings, [topic], starts)):
        done.read += len(records)
        for record, result in zip(records, _run(stage, records, one), strict=True):
            done.passed += bool(result.sends)
            done.skipped += result.dead is not None
            for send in result.sends:
                value = b"".join(send.value) if isinstance(send.value, tuple) else send.value
                writer.send(send.topic, value, record.key, send.partition, send.headers)
        writer.finish()
        if stage.suspended:
            done.failed = stage.suspended[one.id]
            return done
        for record in records:
            reached[record.partition] = record.offset + 1
        store.catches_up(one, reached)
    store.caught_up(one)
    return done


def _run(stage: Stage, records: list[Record], one: Filter) -> list[Result]:
    """Results of records; where they are too much at once, or one is at fault, half of them at a time."""
    work = Work(records)
    try:
        return checked(work, stage.run(work, {one.survey: [one]}))
    except (FormatError, ServiceError, KafkaException, PyMongoError):
        raise
    except Exception as error:  # a record's, as for the workers
        if len(records) == 1:
            log.warning("left out: %s: %s", records[0].name, error)
            return [Result(dead=str(error))]
        half = len(records) // 2
        return _run(stage, records[:half], one) + _run(stage, records[half:], one)


def _batches(messages: Iterator[Message]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for message in messages:
        value = message.value()
        if value is None:
            continue
        batch.append(_record(message, value))
        size += len(value)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _record(message: Message, value: bytes) -> Record:
    _, timestamp = message.timestamp()
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise BoomError("Kafka gave a record without its place")
    key = message.key()
    return Record(topic, partition, offset, timestamp / 1000, key, value, headers_of(message))

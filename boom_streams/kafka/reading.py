"""Reading topics from end to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from boom_streams.kafka.clients import consumer, fail, partition_counts, reader_group
from boom_streams.kafka.limits import Headers
from boom_streams.kafka.offsets import watermarks

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["header_list", "headers_of", "scan"]


def scan(
    settings: Settings, topics: Iterable[str], since: Mapping[tuple[str, int], int] | None = None
) -> Iterator[Message]:
    """Read topics from their first record to the last that was there at the start, and stop.

    Topics that do not exist are left out. Within a partition the order is kept.

    Parameters
    ----------
    settings
        Where Kafka is.
    topics
        Names of topics.
    since
        Offsets to begin at, where they are later than the first record.

    Raises
    ------
    ServiceError
        If Kafka does not answer, or refuses.
    """
    existing = partition_counts(settings)
    client = consumer(settings)
    try:
        counts = {topic: existing[topic] for topic in topics if topic in existing}
        marks = watermarks(settings, counts)
        starts = {where: max(low, (since or {}).get(where, low)) for where, (low, _) in marks.items()}
        left = {where: high for where, (_, high) in marks.items() if high > starts[where]}
        client.assign([TopicPartition(topic, p, starts[topic, p]) for topic, p in left])
        while left:
            for message in client.consume(500, timeout=0.02):
                if (error := message.error()) is not None:
                    raise fail(settings, error, message.topic() or reader_group(settings), "Read")
                where = (str(message.topic()), int(message.partition() or 0))
                if int(message.offset() or 0) < left.get(where, 0):
                    yield message
            _drop_finished(client, left)
    except KafkaException as error:
        raise fail(settings, error.args[0], ", ".join(topics), "Read") from None
    finally:
        client.close()


def _drop_finished(client: Consumer, left: dict[tuple[str, int], int]) -> None:
    """Forget the partitions that have been read to their end (records may be missing before it)."""
    for at in client.position([TopicPartition(topic, p) for topic, p in left]):
        if at.offset >= left[at.topic, at.partition]:
            del left[at.topic, at.partition]


def headers_of(message: Message) -> dict[str, bytes]:
    """Headers of a record; of a repeated name, the last."""
    return {name: value or b"" for name, value in header_list(message)}


def header_list(message: Message) -> Headers:
    """Headers of a record in their order, repetitions included."""
    return message.headers() or []  # type: ignore[return-value]

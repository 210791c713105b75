"""Where the topics and the consumer groups stand."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from boom_streams.kafka.clients import TIMEOUT, admin, consumer, fail, reader_group

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["NO_COORDINATOR", "PATIENCE", "committed", "disconnect", "offsets_at", "watermarks"]

#: A request to a group's coordinator is made again after this, seconds: librdkafka does not look for a coordinator
#: again while it waits, and a broker that has had no group yet has none.
PATIENCE = 0.5

#: Errors of a group whose coordinator is being found, or has just been.
NO_COORDINATOR = {
    KafkaError._TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


#: Errors of a broker that has just been told about a topic, or has just started.
_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}


def watermarks(settings: Settings, partitions: Mapping[str, int]) -> dict[tuple[str, int], tuple[int, int]]:
    """First and next offset of each partition.

    Parameters
    ----------
    settings
        Where Kafka is.
    partitions
        Partition count a topic, as `partition_counts` gives them.
    """
    if not any(partitions.values()):
        return {}
    client = _asking(settings, reader_group(settings))
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            first, after = (_offsets_at(client, partitions, place) for place in (OFFSET_BEGINNING, OFFSET_END))
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise fail(settings, error.args[0], ", ".join(partitions), "Describe") from None
            time.sleep(0.1)
        else:
            return {where: (first[where], after[where]) for where in first}


def _offsets_at(client: Consumer, partitions: Mapping[str, int], place: int) -> dict[tuple[str, int], int]:
    """Offsets of the partitions' beginnings or ends, which Kafka knows as the times -2 and -1.

    One request a broker. With the admin client's `list_offsets` librdkafka 2.16 now and then dies of a null pointer
    (`rd_kafka_topic_partition_list_query_leaders_async_worker`) while topics are new.
    """
    wanted = [TopicPartition(topic, p, place) for topic, count in partitions.items() for p in range(count)]
    found = client.offsets_for_times(wanted, timeout=TIMEOUT)
    for at in found:
        if at.error is not None:
            raise KafkaException(at.error)
    return {(at.topic, at.partition): at.offset for at in found}


def offsets_at(settings: Settings, partitions: Mapping[str, int], milliseconds: int) -> dict[tuple[str, int], int]:
    """Offset of each partition's first record that was appended since a time; -1: there is none.

    Parameters
    ----------
    settings
        Where Kafka is.
    partitions
        Partition count a topic.
    milliseconds
        Since 1970.
    """
    try:
        return _offsets_at(_asking(settings, reader_group(settings)), partitions, milliseconds)
    except KafkaException as error:
        raise fail(settings, error.args[0], ", ".join(partitions), "Describe") from None


def committed(settings: Settings, group: str, partitions: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """Offsets that a consumer group has committed; partitions without one are left out."""
    wanted = [TopicPartition(topic, p) for topic, count in partitions.items() for p in range(count)]
    if not wanted:
        return {}
    client = _asking(settings, group)
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            found = client.committed(wanted, timeout=PATIENCE)
        except KafkaException as error:
            if error.args[0].code() not in NO_COORDINATOR or time.monotonic() > deadline:
                raise fail(settings, error.args[0], group, "Describe") from None
            time.sleep(0.05)
        else:
            return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}


@lru_cache(maxsize=16)
def _asking(settings: Settings, group: str) -> Consumer:
    """Client that asks for offsets of topics, and of a group without joining it.

    With the admin client's request for a group librdkafka 2.16 dies of a null pointer
    (`rd_kafka_handle_OffsetFetch`) when the group's coordinator has moved.
    """
    return consumer(settings, group)


def disconnect() -> None:
    """End the process's connections; whoever stops Kafka calls it first.

    A client of librdkafka that is destroyed after its broker has ended can wait for ever, so that the process
    would not end.
    """
    _asking.cache_clear()
    admin.cache_clear()
    gc.collect()  # errors of failed requests refer to themselves, and to the client

"""Alerts that passed a filter, read back from their topic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import fastavro
from confluent_kafka import TopicPartition

from boom_streams import names
from boom_streams.errors import BoomError
from boom_streams.kafka.clients import consumer, fail, partition_counts, reader_group
from boom_streams.kafka.offsets import watermarks

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Passing", "decode", "passing", "topic_of"]


@dataclass(frozen=True, slots=True)
class Passing:
    """One alert that passed at least one filter.

    Attributes
    ----------
    alert
        The record, decoded.
    container
        Its bytes: an Avro object container.
    """

    alert: dict[str, Any]
    container: bytes

    def rows(self) -> list[dict[str, Any]]:
        """Rows for a table, one a filter: ids, position (ICRS degrees), band, magnitude (AB), annotations."""
        columns = ("objectId", "candid", "ra", "dec", "band", "magnitude")
        common = {column: self.alert.get(column) for column in columns}
        return [
            common | {"filter": passed["name"], "annotations": json.loads(passed["annotations"])}
            for passed in self.alert["filters"]
        ]

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from other results: candid, and versions of the filters."""
        return (self.alert["candid"], *(passed["fid"] for passed in self.alert["filters"]))


def decode(container: bytes) -> dict[str, Any]:
    """Decode a record for people: an Avro object container with one alert.

    Raises
    ------
    BoomError
        If it is none.
    """
    try:
        (record,) = fastavro.reader(BytesIO(container))
    except (ValueError, EOFError, KeyError, IndexError) as error:
        raise BoomError(f"this record is no Avro object container with one alert: {error}") from None
    if not isinstance(record, dict) or not {"candid", "filters"} <= record.keys():
        raise BoomError("this record is no alert that passed a filter")
    return record


def topic_of(settings: Settings, name: str) -> str:
    """Topic of a filter, or the topic of this name.

    Raises
    ------
    BoomError
        If there is neither; names those that there are.
    """
    existing = partition_counts(settings)
    for topic in (names.filter_topic(name, settings.topic_prefix), settings.topic_prefix + name):
        if topic in existing:
            return topic
    prefix = names.filter_topic("", settings.topic_prefix)
    known = sorted(topic.removeprefix(prefix) for topic in existing if topic.startswith(prefix))
    hint = f"filters with a topic: {', '.join(known)}" if known else "no filter has a topic yet"
    raise BoomError(f"no filter and no topic {name}; {hint}")


def passing(settings: Settings, name: str, *, latest: bool = False, quiet_seconds: float = 5.0) -> Iterator[Passing]:
    """Read the alerts of a filter (or topic), each once, until none has come for some seconds.

    Parameters
    ----------
    settings
        Where Kafka is.
    name
        Name of a filter, or of a topic such as ``ztf.filtered``.
    latest
        Begin with the next alert that comes, not with the oldest.
    quiet_seconds
        Seconds without an alert after which the reading ends.
    """
    topic = topic_of(settings, name)
    marks = watermarks(settings, {topic: partition_counts(settings)[topic]})
    client = consumer(settings)
    seen = set()
    try:
        client.assign([TopicPartition(topic, p, mark[latest]) for (_, p), mark in marks.items()])
        deadline = time.monotonic() + quiet_seconds
        while time.monotonic() < deadline:
            message = client.poll(min(0.2, quiet_seconds))
            if message is None:
                continue
            if (error := message.error()) is not None:
                raise fail(settings, error, message.topic() or reader_group(settings), "Read")
            container = message.value() or b""
            alert = Passing(decode(container), container)
            deadline = time.monotonic() + quiet_seconds
            if alert.identity not in seen:
                seen.add(alert.identity)
                yield alert
                deadline = time.monotonic() + quiet_seconds
    finally:
        client.close()

"""Alerts that passed a filter, read back from their topic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import fastavro
from confluent_kafka import TopicPartition

from boom_streams import names
from boom_streams.errors import BoomError
from boom_streams.kafka import consumer, fail, partition_counts, reader_group
from boom_streams.offsets import watermarks

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Passing", "decode", "passing", "topic_of"]

#: Names of ZTF's filters by their number in the packet.
_BANDS = {1: "g", 2: "r", 3: "i"}


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

    @property
    def filters(self) -> list[dict[str, Any]]:
        """Filters that it passed: ``filter_name``, ``fid``, ``annotations``."""
        return list(self.alert.get("filters") or [])

    def rows(self) -> list[dict[str, Any]]:
        """Rows for a table, one a filter: ids, position (ICRS degrees), band, magnitude (AB), annotations."""
        candidate: Mapping[str, Any] = self.alert.get("candidate") or self.alert
        fid = candidate.get("fid")
        return [
            {
                "objectId": self.alert["objectId"],
                "candid": self.alert["candid"],
                "ra": self.alert.get("ra", candidate.get("ra")),
                "dec": self.alert.get("dec", candidate.get("dec")),
                "band": candidate.get("band") or _BANDS.get(fid if isinstance(fid, int) else 0),
                "mag": candidate.get("magpsf"),
                "filter": passed.get("filter_name") or passed.get("name"),
                "annotations": _annotations(passed.get("annotations")),
            }
            for passed in self.filters
        ]


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
    if not isinstance(record, dict):
        raise BoomError("this record is no alert")
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


def passing(
    settings: Settings, name: str, *, latest: bool = False, quiet_seconds: float = 5.0
) -> Iterator[Passing]:
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
            identity = (alert.alert["candid"], *(str(passed.get("fid")) for passed in alert.filters))
            deadline = time.monotonic() + quiet_seconds
            if identity not in seen:
                seen.add(identity)
                yield alert
                deadline = time.monotonic() + quiet_seconds
    finally:
        client.close()


def _annotations(value: Any) -> dict[str, Any]:
    """Annotations as a mapping, whether they are one or are written as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {"annotations": value}
    return dict(value) if isinstance(value, Mapping) else {}

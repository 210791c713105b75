"""Alerts that passed a filter, read back from their topic."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition

from boom_streams import names
from boom_streams.errors import BoomError
from boom_streams.kafka.clients import consumer, fail, partition_counts, reader_group
from boom_streams.kafka.offsets import watermarks
from boom_streams.schema.filtered import decode_filtered

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["Passing", "for_json", "passing", "topic_of"]

#: A topic whose first so many records are none of ours is not one of results.
_FOREIGN = 100

#: Integers beyond this are not exact in programs that read every number as a 64-bit float: `jq`, JavaScript.
_EXACT = 1 << 53

_FILE_NAME = re.compile(r"[0-9A-Za-z_-]{1,80}")


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
            common | {"filter": passed["name"], "annotations": _annotations(passed["annotations"])}
            for passed in self.alert["filters"]
        ]

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it from other results: candid, and versions of the filters."""
        return (self.alert["candid"], *(passed["fid"] for passed in self.alert["filters"]))

    @property
    def file_name(self) -> str:
        """Name of its file, which no other result has: the candid, and the filter's version or a digest of several."""
        candid, *versions = map(str, self.identity)
        version = versions[0] if len(versions) == 1 else ""
        if not _FILE_NAME.fullmatch(version):
            version = hashlib.sha256("\0".join(versions).encode(errors="surrogatepass")).hexdigest()[:16]
        return f"{candid}_{version}.avro"


def for_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON has it.

    Without bytes (cutouts), which JSON has no form for; annotations as an object; ``candid_text`` beside ``candid``,
    and so for every integer that programs which read numbers as 64-bit floats would round.
    """
    made: dict[str, Any] = _plain(record)
    made["candid_text"] = str(record["candid"])
    for passed in made["filters"]:
        text = passed["annotations"]
        try:
            passed["annotations"] = _plain(_annotations(text))
        except RecursionError:
            passed["annotations"] = {"annotations": text}
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    made = {}
    for name, item in value.items():
        if not isinstance(item, bytes):
            made[name] = _plain(item)
        if isinstance(item, int) and abs(item) > _EXACT:
            made[f"{name}_text"] = str(item)
    return made


def _annotations(text: str) -> dict[str, Any]:
    """What a filter says of the alert."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    return found if isinstance(found, dict) else {"annotations": found}


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
    settings: Settings,
    name: str,
    *,
    latest: bool = False,
    quiet_seconds: float = 5.0,
    skip: Callable[[str], None] = lambda reason: None,
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
    skip
        Told of each record that is passed over, because it is no result of a filter.

    Raises
    ------
    BoomError
        If there is no such topic, or its records are none of ours.
    """
    topic = topic_of(settings, name)
    marks = watermarks(settings, {topic: partition_counts(settings)[topic]})
    client = consumer(settings)
    seen: set[tuple[Any, ...]] = set()
    foreign = 0
    try:
        client.assign([TopicPartition(topic, p, mark[latest]) for (_, p), mark in marks.items()])
        deadline = time.monotonic() + quiet_seconds
        while time.monotonic() < deadline:
            message = client.poll(min(0.2, quiet_seconds))
            if message is None:
                continue
            if (error := message.error()) is not None:
                raise fail(settings, error, message.topic() or reader_group(settings), "Read")
            deadline = time.monotonic() + quiet_seconds
            container = message.value() or b""
            try:
                alert = Passing(decode_filtered(container), container)
            except BoomError as wrong:
                foreign += 1
                if foreign == _FOREIGN and not seen:
                    raise BoomError(
                        f"the first {foreign} records of {topic} are no results of filters: {wrong}"
                    ) from None
                skip(f"{topic}/{message.partition()}/{message.offset()} is passed over: {wrong}")
                continue
            if alert.identity not in seen:
                seen.add(alert.identity)
                yield alert
                deadline = time.monotonic() + quiet_seconds
        if foreign and not seen:
            raise BoomError(f"the {foreign} records of {topic} that were read are no results of filters")
    finally:
        client.close()

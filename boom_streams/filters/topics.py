"""The topic ``filtered.<name>`` of a filter: opened before anything is published to it, deleted only on demand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from boom_streams import names
from boom_streams.access.topic_owners import claim_topic, release_topic
from boom_streams.archive import mongo
from boom_streams.kafka import topics
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.offsets import watermarks

if TYPE_CHECKING:
    from boom_streams.filters.document import Filter
    from boom_streams.settings import Settings

__all__ = ["count_records", "delete_topic", "open_topic", "own_topic", "settle", "topic_is_ready"]

#: Seconds after which no worker publishes to the topic of a filter that is off, beside the time to notice.
_GRACE = 2.0


def open_topic(settings: Settings, one: Filter) -> None:
    """Make the topic of a filter its own, and create it if it is missing.

    Raises
    ------
    FilterError
        If it has results of another filter, or of programmes that this one may not see.
    RefusedError
        If Kafka refuses this topic.
    ServiceError
        If Kafka is away, or cannot make a topic now.
    """
    own_topic(settings, one)
    topics.ensure_filter_topic(settings, one.name)


def own_topic(settings: Settings, one: Filter) -> None:
    """Make the topic of a filter its own, whether it is there or not; `FilterError` as `open_topic`."""
    claim_topic(mongo.database(settings), one.name, one.id, one.survey, one.permissions)


def topic_is_ready(settings: Settings, one: Filter) -> bool:
    """Whether the topic of a filter is there and can be written to; `ServiceError` if Kafka does not answer."""
    return topics.is_ready(settings, names.filter_topic(one.name, settings.topic_prefix))


def settle(settings: Settings) -> None:
    """Wait until workers have noticed that a filter is off."""
    time.sleep(settings.filter_refresh + _GRACE)


def delete_topic(settings: Settings, name: str) -> None:
    """Delete the topic of a filter that is gone, with its records; the name is free then."""
    topics.delete_filter_topic(settings, name)
    release_topic(mongo.database(settings), name)


def count_records(settings: Settings, name: Any) -> int | None:
    """Records in the topic of a filter; None if there is no topic."""
    topic = names.filter_topic(str(name), settings.topic_prefix)
    count = partition_counts(settings).get(topic)
    if count is None:
        return None
    return sum(high - low for low, high in watermarks(settings, {topic: count}).values())

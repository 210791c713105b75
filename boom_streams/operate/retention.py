"""Records that may be deleted, or have been, before they are read: lag against the topics' retention."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from boom_streams import names
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.offsets import committed, offsets_at, watermarks
from boom_streams.kafka.topics import required_topics
from boom_streams.operate import layouts

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["WARN_AFTER", "expiring"]

#: Share of the retention after which a record that has not been read is spoken of.
WARN_AFTER = 0.5

_HOUR_MS = 3_600_000


def expiring(settings: Settings, role: str, now: float | None = None) -> list[str]:
    """Say which records a role has not read for long, and which have been deleted before it did.

    Parameters
    ----------
    settings
        Which broker.
    role
        Role of workers, as ``enrich``.
    now
        Seconds since 1970; None: the time.

    Raises
    ------
    ServiceError
        If Kafka does not answer.
    """
    existing = partition_counts(settings)
    counts = {topic: existing[topic] for topic in layouts.topics_of(settings, role) if topic in existing}
    known = committed(settings, names.group_id(role, settings.topic_prefix), counts)
    marks = watermarks(settings, counts)
    said = []
    for topic, count in counts.items():
        retention = int(required_topics(settings)[topic]["retention.ms"])
        since = int((time.time() if now is None else now) * 1000 - WARN_AFTER * retention)
        recent = offsets_at(settings, {topic: count}, since)
        late = gone = 0
        for where in ((topic, partition) for partition in range(count)):
            low, high = marks[where]
            position = known.get(where, low)
            late += max(0, (recent[where] if recent[where] >= 0 else high) - max(position, low))
            gone += max(0, low - position)
        if late:
            said.append(
                f"{late} records of {topic} wait for `{role}` for more than {WARN_AFTER * retention / _HOUR_MS:g} h; "
                f"Kafka deletes them after {retention / _HOUR_MS:g} h, read or not"
            )
        if gone:
            said.append(f"Kafka deleted {gone} records of {topic} before `{role}` read them")
    return said

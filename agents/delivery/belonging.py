"""Whether a table and the topics that it is made from belong together.

A topic that was deleted and made again counts its offsets from 0, while the table's values say offsets of the topic
before: recovery would take them for newer than what comes now, and points would go missing. So a table keeps the id of
each of its topics in each partition, and in its changelog, and a worker that finds another one ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from boom_streams.agents.delivery.batch import Work
from boom_streams.errors import StoreError
from boom_streams.kafka.topics import rebuilding, topic_ids
from boom_streams.settings import Settings
from boom_streams.tables.store import source_key

__all__ = ["Belonging", "ForeignTable"]


class ForeignTable(StoreError):
    """A table was made from another topic of the same name; no record is to blame."""


class Belonging:
    """Looks once, in each assignment of partitions, whether tables and topics belong together.

    Parameters
    ----------
    settings
        Where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._ids = partial(topic_ids, settings)
        self._advice = partial(rebuilding, settings)
        self._generation = -1
        self._known: dict[str, str] = {}
        self._sure: set[tuple[str, str, int]] = set()

    def check(self, work: Work, generation: int) -> None:
        """Check what a batch comes from, and note it in tables that do not know it yet.

        Raises
        ------
        ForeignTable
            If a table was made from another topic; says what to do.
        ServiceError
            If Kafka does not tell the ids of its topics.
        """
        if generation != self._generation:
            self._generation, self._known = generation, {}
            self._sure.clear()
        for name in work.tables:
            for record in work.records:
                place = name, record.topic, record.partition
                if place in self._sure:
                    continue
                view, key = work.view(name, record), source_key(record.topic)
                said, found = self._id(record.topic, {r.topic for r in work.records}), view.get(key)
                if found is None:
                    view.put(key, said.encode())
                elif found.decode() == said:
                    if key not in work.writes[name, record.partition]:  # else the batch may fail, and the table lack it
                        self._sure.add(place)
                else:
                    raise ForeignTable(
                        f"the topic {record.topic} is not the one that table {name} was made from: it was deleted and "
                        f"made again; {self._advice(record.topic)}; then `boom-streams init`"
                    )

    def _id(self, topic: str, topics: Collection[str]) -> str:
        if topic not in self._known:
            found: Mapping[str, str] = self._ids(topics)
            self._known |= found
        return self._known[topic]

"""What a stage has in hand: records, what it made of them, and the events that wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from boom_streams.agents.delivery.output import Send
from boom_streams.agents.faust_fixes.fetching import Refusal, refusal_of, weight
from boom_streams.errors import BadRecord
from boom_streams.ingest.raw_records import received
from boom_streams.kafka.limits import MAX_BYTES, Headers
from boom_streams.schema.dead_letters import make_letter
from boom_streams.tables.store import StateTable, View

__all__ = ["Inbox", "Process", "Record", "Result", "Work", "checked", "dead_letter"]


@dataclass(slots=True)
class Record:
    """A Kafka record in the hands of a stage.

    Attributes
    ----------
    timestamp
        When Kafka appended it, seconds since 1970 UTC.
    value
        None in a record without one, which `process` need not expect: it becomes a dead letter.
    refusal
        None: it is as it came. Else why it is not, and a dead letter; empty: there is nothing in it for a stage.
    """

    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]
    event: Any = field(repr=False, default=None)
    refusal: str | None = None

    @property
    def name(self) -> str:
        """Identity in Kafka: topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def received(self) -> int:
        """When it first came, if it has been written again since; milliseconds since 1970 UTC."""
        return received(self.headers, round(self.timestamp * 1000))

    @classmethod
    def of(cls, event: Any) -> Record:
        """The record of a Faust event."""
        message = event.message
        headers = {name: value or b"" for name, value in _headers(message)}
        return cls(
            message.topic,
            message.partition,
            message.offset,
            message.timestamp,
            message.key,
            message.value,
            headers,
            event,
            refusal_of(message.headers),
        )


@dataclass(slots=True)
class Result:
    """What a stage made of one record: records to send, or the reason why it is a dead letter."""

    sends: list[Send] = field(default_factory=list)
    dead: str | None = None
    trace: str = ""


@dataclass
class Work:
    """A batch in the hands of ``process``: its records and the tables as they see them.

    RocksDB is opened here, in the thread of the event loop; ``process`` only reads, in whatever thread it runs.

    Attributes
    ----------
    writes
        By table and partition: what is put under each key, and the offset of the record that put it.
    early
        Values that the changelog has before those.
    """

    records: list[Record]
    tables: Mapping[str, StateTable] = field(default_factory=dict)
    writes: dict[tuple[str, int], dict[bytes, tuple[int, bytes]]] = field(default_factory=dict)
    early: dict[tuple[str, int], dict[bytes, bytes]] = field(default_factory=dict)
    _readers: dict[tuple[str, int], Callable[[bytes], bytes | None]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        partitions = {record.partition for record in self.records}
        self._readers = {
            (name, partition): table.reader(partition)
            for name, table in self.tables.items()
            for partition in partitions
        }

    def view(self, table: str, record: Record) -> View:
        """The table in the record's partition, including what this batch wrote before."""
        place = table, record.partition
        writes, early = self.writes.setdefault(place, {}), self.early.setdefault(place, {})
        return View(self._readers[place], writes, record.partition, record.offset, early)

    def clear(self) -> None:
        """Forget what has been put, before another attempt."""
        self.writes.clear()
        self.early.clear()


#: Reads tables, computes, returns one result a record; has no effect of its own but puts into views.
Process = Callable[[Work], list[Result]]


class Inbox:
    """Events that wait for their batch; bounded in number and in bytes."""

    def __init__(self, count: int, size: int) -> None:
        self._count = count
        self._size = size
        self._events: deque[Any] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, event: Any) -> None:
        """Add an event, when there is room."""
        while self._full():
            self._taken.clear()
            await self._taken.wait()
        self._events.append(event)
        self._bytes += _size(event)
        self._arrived.set()

    async def take(self, seconds: float) -> list[Any]:
        """Wait for an event, and ``seconds`` more for others; return as many as make a batch."""
        while not self._events:
            self._arrived.clear()
            await self._arrived.wait()
        if not self._full():
            await asyncio.sleep(seconds)
        batch = [self._events.popleft()]
        size = _size(batch[0])
        while self._events and len(batch) < self._count and size + _size(self._events[0]) <= self._size:
            size += _size(self._events[0])
            batch.append(self._events.popleft())
        self._bytes -= size
        self._taken.set()
        return batch

    def _full(self) -> bool:
        return len(self._events) >= self._count or self._bytes >= self._size


def dead_letter(record: Record, stage: str, topic: str, result: Result) -> Send:
    """The record as it came, with the reason: what ``boom-streams dead`` shows and replays."""
    letter = make_letter(
        stage,
        result.dead or "",
        (record.topic, record.partition, record.offset),
        record.received,
        record.value,
        key=record.key,
        original=_headers(record.event.message),
        traceback=result.trace,
    )
    return Send(topic, letter.key, letter.value, record.partition, letter.headers)


def _headers(message: Any) -> Headers:
    """Headers as they came: of one name there may be several."""
    headers = message.headers
    if isinstance(headers, Mapping):
        return list(headers.items())
    return [(name, content) for name, content in headers or () if not isinstance(content, Refusal)]


def _size(event: Any) -> int:
    return weight(event.message.key, event.message.value, event.message.headers)


def checked(work: Work, results: Sequence[Result]) -> list[Result]:
    """Results that can be written and sent: one a record, and nothing too large for Kafka.

    Raises
    ------
    BadRecord
        If a record or a table's value is too large.
    TypeError
        If the stage returned another number of results.
    """
    if len(results) != len(work.records):
        raise TypeError(f"{len(results)} results for {len(work.records)} records")
    for send in (send for result in results for send in result.sends):
        _check_size(f"the record for {send.topic}", send)
    for (table, partition), writes in work.writes.items():
        for key, (_, value) in writes.items():
            _check_size(f"the value in table {table}", Send(table, key, value, partition))
    for (table, partition), early in work.early.items():
        for key, value in early.items():
            _check_size(f"the value in table {table}", Send(table, key, value, partition))
    return list(results)


def _check_size(what: str, send: Send) -> None:
    if send.size > MAX_BYTES:
        raise BadRecord(f"{what} has {send.size} bytes; Kafka takes {MAX_BYTES}")

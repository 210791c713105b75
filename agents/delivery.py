"""Delivery: the one loop that every agent runs on, and the reason why nothing is lost.

At least once from topic to topic, effectively once in the tables. A batch of records is handled in four
steps: *process* (a function that reads tables and returns what to send, without effects), *write* the tables,
*send* outputs and changelogs and wait until Kafka has them, *acknowledge* in offset order. Whatever fails
before the last step leaves the records unacknowledged, and they come again.

Failures have three kinds. MongoDB away: the batch is held and tried again. Kafka or RocksDB failing: the
process ends and is restarted from outside. Anything else is the fault of a record: the batch is halved until
the record is found, and that becomes a dead letter with the traceback.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.errors import ConnectionFailure, ExecutionTimeout, WTimeoutError

from boom_streams.agents.journal import Journal
from boom_streams.agents.output import Output, Send
from boom_streams.errors import BadRecord, ServiceError
from boom_streams.tables.store import StateTable, View

__all__ = ["Delivery", "Process", "Record", "Result", "Work", "fail_stop"]

log = logging.getLogger(__name__)

_LOST = 70
_AWAY = (ConnectionFailure, ExecutionTimeout, WTimeoutError, ServiceError)


@dataclass(slots=True)
class Record:
    """A Kafka record in the hands of a stage."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    """Record timestamp, seconds since 1970 UTC."""
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]
    event: Any = field(repr=False, default=None)

    @property
    def name(self) -> str:
        """Identity in Kafka: topic, partition and offset."""
        return Journal.name(self.topic, self.partition, self.offset)


@dataclass(slots=True)
class Result:
    """What a stage made of one record: records to send, or the reason why it is a dead letter."""

    sends: list[Send] = field(default_factory=list)
    dead: str | None = None
    trace: str = ""


@dataclass
class Work:
    """A batch in the hands of ``process``: its records and the tables as they see them."""

    records: list[Record]
    tables: Mapping[str, StateTable] = field(default_factory=dict)
    writes: dict[tuple[str, int], dict[bytes, tuple[int, bytes]]] = field(default_factory=dict)

    def view(self, table: str, record: Record) -> View:
        """The table in the record's partition, including what this batch wrote before."""
        writes = self.writes.setdefault((table, record.partition), {})
        return View(self.tables[table].reader(record.partition), writes, record.partition, record.offset)


#: Reads tables, computes, returns one result a record; has no effect of its own but puts into views.
Process = Callable[[Work], list[Result]]


def fail_stop(reason: str, *args: Any) -> None:
    """End the process at once: nothing that is not acknowledged can be committed any more."""
    log.critical(reason, *args, exc_info=True)
    logging.shutdown()
    os._exit(_LOST)


class Delivery:
    """Runs one agent: batches from its stream through ``process`` to its outputs.

    Parameters
    ----------
    app
        The Faust app.
    stage
        Name of the stage, for dead letters and logs.
    process
        What the stage does.
    dead_topic
        Dead-letter topic of a source topic.
    journal
        Records in hand, for finding one that kills the process.
    tables
        Tables that ``process`` may use.
    blocking
        ``process`` waits for MongoDB: it runs in a thread, and a batch is held while MongoDB is away.
    """

    def __init__(
        self,
        app: Any,
        stage: str,
        process: Process,
        *,
        dead_topic: Callable[[str], str],
        journal: Journal,
        tables: Sequence[StateTable] = (),
        blocking: bool = False,
        batch_size: int = 200,
        batch_ms: int = 20,
    ) -> None:
        self.app = app
        self.stage = stage
        self.process = process
        self.dead_topic = dead_topic
        self.journal = journal
        self.tables = {table.name: table for table in tables}
        self.blocking = blocking
        self.batch_size = batch_size
        self.batch_seconds = batch_ms / 1000
        self.output = Output(app)
        self.handled = 0
        self._last_tick = time.monotonic()

    async def run(self, stream: Any) -> None:
        """Handle the stream until the worker stops; the body of a Faust agent."""
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=self.batch_size)
        stream = stream.noack()
        tasks = [asyncio.create_task(self._fill(stream, queue)), asyncio.create_task(self._tick())]
        try:
            while True:
                events = [await queue.get()]
                if queue.qsize() < self.batch_size - 1:
                    await asyncio.sleep(self.batch_seconds)
                while len(events) < self.batch_size and not queue.empty():
                    events.append(queue.get_nowait())
                await self._handle_events(stream, events)
        except asyncio.CancelledError:
            raise
        except Exception:
            fail_stop("%s failed outside of any record", self.stage)
        finally:
            for task in tasks:
                task.cancel()

    async def _fill(self, stream: Any, queue: asyncio.Queue[Any]) -> None:
        try:
            async for event in stream.events():
                await queue.put(event)
        except asyncio.CancelledError:
            raise
        except Exception:
            fail_stop("%s cannot read its stream", self.stage)

    async def _tick(self) -> None:
        """End a worker that was frozen past its session: its partitions have another owner by now."""
        while True:
            await asyncio.sleep(0.5)
            self._check_frozen()
            self._last_tick = time.monotonic()

    def _check_frozen(self) -> None:
        silent = time.monotonic() - self._last_tick
        if self.tables and silent > self.app.conf.broker_session_timeout:
            fail_stop("%s was frozen for %.1f s, longer than its session", self.stage, silent)

    async def _handle_events(self, stream: Any, events: list[Any]) -> None:
        generation = self.app.consumer_generation_id
        records = [_record(event) for event in events if self._owned(event, generation)]
        names = [record.name for record in records]
        suspects = [record for record, name in zip(records, names, strict=True) if self.journal.suspect(name)]
        if suspects:  # the order of a partition's records is kept: handle one at a time
            for record in records:
                await self._handle(stream, [record], generation)
        else:
            await self._handle(stream, records, generation)

    async def _handle(self, stream: Any, records: list[Record], generation: int) -> None:
        if not records:
            return
        names = [record.name for record in records]
        if len(records) == 1 and self.journal.deadly(names[0]):
            results = [Result(dead="the process died whenever it handled this record")]
            await self._finish(stream, Work(records), results, generation)
        else:
            self.journal.begin(names)
            work = Work(records, self.tables)
            try:
                results = await self._process(work)
            except Exception as error:
                if len(records) > 1:
                    half = len(records) // 2
                    await self._handle(stream, records[:half], generation)
                    await self._handle(stream, records[half:], generation)
                    return
                work = Work(records)
                reason = str(error) if isinstance(error, BadRecord) else f"{type(error).__name__}: {error}"
                results = [Result(dead=reason, trace=traceback.format_exc())]
            await self._finish(stream, work, results, generation)
        self.journal.end(names)

    async def _process(self, work: Work) -> list[Result]:
        if not self.blocking:
            return self.process(work)
        while True:
            try:
                return await asyncio.to_thread(self.process, work)
            except _AWAY as error:
                if self.app.should_stop:
                    os._exit(0)  # nothing of the batch is acknowledged: it comes again
                log.warning("%s waits: %s", self.stage, str(error).partition(",")[0])
                await asyncio.sleep(0.5)

    async def _finish(self, stream: Any, work: Work, results: list[Result], generation: int) -> None:
        """Write, send, wait, acknowledge; or drop everything when the partitions have another owner."""
        self._check_frozen()
        if not all(self._owned(record.event, generation) for record in work.records):
            log.warning("%s: partitions were revoked, %d records dropped", self.stage, len(work.records))
            return
        sends = [
            send for record, result in zip(work.records, results, strict=True) for send in self._sends(record, result)
        ]
        changelogs = [
            (table, partition, self.tables[table].apply(partition, writes))
            for (table, partition), writes in work.writes.items()
            if writes
        ]
        try:
            # Tables first: what has been sent may be in the archive at once, and a successor that does not find it in
            # its table would read it from there, as an alert's past.
            await asyncio.gather(*(self._send_changelog(*changelog) for changelog in changelogs))
            await self.output.send(sends)
        except Exception:
            fail_stop("%s could not send to Kafka", self.stage)
        for record in work.records:
            await stream.ack(record.event)
        self.handled += len(work.records)

    async def _send_changelog(self, name: str, partition: int, records: list[tuple[bytes, bytes]]) -> None:
        table = self.tables[name]
        offset = await self.output.send_to_partition(
            [Send(table.changelog_topic_name, key, value, partition) for key, value in records]
        )
        table.checkpoint(partition, offset)

    def _sends(self, record: Record, result: Result) -> Iterable[Send]:
        if result.dead is None:
            return result.sends
        log.warning("%s: dead letter %s: %s", self.stage, record.name, result.dead)
        return [*result.sends, dead_letter(record, self.stage, self.dead_topic(record.topic), result)]

    def _owned(self, event: Any, generation: int) -> bool:
        message = event.message
        owned = (
            self.app.consumer_generation_id == generation
            and message.generation_id == generation
            and message.tp in self.app.consumer.assignment()
        )
        if not owned:  # it comes again to its owner; forget it, or a later rebalance would wait for it
            self.app.consumer._unacked_messages.discard(message)
        return bool(owned)


def _record(event: Any) -> Record:
    message = event.message
    headers = message.headers
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        message.key,
        message.value,
        {name: value for name, value in items},
        event,
    )


def dead_letter(record: Record, stage: str, topic: str, result: Result) -> Send:
    """The record as it came, with the reason: what ``boom-streams dead`` shows and replays."""
    headers = {
        "dead.stage": stage.encode(),
        "dead.reason": (result.dead or "").encode()[:2000],
        "dead.topic": record.topic.encode(),
        "dead.partition": str(record.partition).encode(),
        "dead.offset": str(record.offset).encode(),
        "dead.timestamp": str(int(record.timestamp * 1000)).encode(),
        **({"dead.traceback": result.trace.encode()[-8000:]} if result.trace else {}),
        **{f"orig.{name}": value for name, value in record.headers.items()},
    }
    return Send(topic, record.key, record.value, record.partition, tuple(headers.items()))

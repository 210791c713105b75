"""Delivery: the one loop that every agent runs on, and the reason why nothing is lost.

At least once from topic to topic, effectively once in the tables. A batch of records is handled in four
steps: *process* (a function that reads tables and returns what to send, without effects), *write* the tables (their
changelogs, and when Kafka has them, RocksDB), *send* outputs and wait until Kafka has them, *acknowledge* in offset
order. Whatever fails before the last step leaves the records unacknowledged, and they come again.

Every failure has an owner, who pays for it while the others go on. An error that may be a service's (MongoDB's, or
Kafka's where a stage asks it) has the service probed: if the probe finds it wrong, the batch is held and tried again,
and `boom-streams status` says what waits, since when and why. Kafka not taking a stage's output, and RocksDB failing,
end the process, which is restarted from outside; so does what a newer release wrote, which this one must not touch.
Anything else is a record's: the batch is halved until the record is found, and that becomes a dead letter with the
traceback.

When partitions are revoked, Faust waits until what is in hand is acknowledged. What cannot be finished then is
dropped, with all that came after it in that generation of the consumer: an acknowledgement behind a gap would
commit the gap.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from boom_streams.agents.delivery.batch import Inbox, Process, Record, Result, Work, checked, dead_letter
from boom_streams.agents.delivery.belonging import Belonging, ForeignTable
from boom_streams.agents.delivery.journal import Journal
from boom_streams.agents.delivery.output import Output, Send
from boom_streams.agents.delivery.probe import Probe
from boom_streams.agents.delivery.watchdog import Watchdog, fail_stop, leave
from boom_streams.errors import BadRecord, FormatError, StoreError
from boom_streams.operate.worker_notes import Notes
from boom_streams.tables.store import StateTable

__all__ = ["Delivery", "Process", "Record", "Result", "Work"]

log = logging.getLogger(__name__)

#: Most bytes of records in a batch, and of those that wait for theirs.
_BATCH_BYTES = 16 << 20

#: Seconds between two attempts while a service is away, and between two lines in the log about it.
_RETRY, _REMIND = 0.5, 30.0

#: Failures, of a batch and of a record alone, at which the service is well and not to blame; one may be the last moment
#: of an outage.
_BATCH_FAILURES, _RECORD_FAILURES = 2, 3


class _Dropped(Exception):
    """The records in hand are not ours any more, or cannot be finished; they come again."""


class Delivery:
    """Runs one agent: batches from its stream through ``process`` to its outputs.

    Parameters
    ----------
    app
        The Faust app (a `boom_streams.main.BoomApp`).
    stage
        Name of the stage, for dead letters and logs.
    process
        What the stage does; runs in a thread, as it may wait for MongoDB.
    output
        Where records go.
    dead_topic
        Dead-letter topic of a source topic.
    journal
        Records in hand, for finding one that kills the process; one for all stages of the process.
    watchdog
        Ends the process if it was frozen.
    probe
        Asks the services whether they are well.
    notes
        Where it is written that the stage waits.
    belonging
        Knows whether the tables and their topics belong together.
    batch_size, batch_ms
        Most records of a batch, and how long the first waits for others, milliseconds.
    tables
        Tables that ``process`` may use.
    """

    def __init__(
        self,
        app: Any,
        stage: str,
        process: Process,
        *,
        output: Output,
        dead_topic: Callable[[str], str],
        journal: Journal,
        watchdog: Watchdog,
        probe: Probe,
        notes: Notes,
        belonging: Belonging,
        batch_size: int,
        batch_ms: int,
        tables: Sequence[StateTable] = (),
    ) -> None:
        self.app = app
        self.stage = stage
        self.process = process
        self.dead_topic = dead_topic
        self.journal = journal
        self.watchdog = watchdog
        self.probe = probe
        self.notes = notes
        self.belonging = belonging
        self.tables = {table.name: table for table in tables}
        self.batch_size = batch_size
        self.batch_seconds = batch_ms / 1000
        self.output = output
        self.handled = 0
        self._dropped: int | None = None  # generation of which no record is handled any more
        self._reminded = float("-inf")

    async def run(self, stream: Any) -> None:
        """Handle the stream until the worker stops; the body of a Faust agent."""
        inbox = Inbox(self.batch_size, _BATCH_BYTES)
        stream = stream.noack()
        filling = asyncio.create_task(self._fill(stream, inbox))
        try:
            while True:
                await self._handle_events(stream, await inbox.take(self.batch_seconds))
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except StoreError as error:
            fail_stop("%s: %s", self.stage, error)
        except Exception:
            fail_stop("%s failed outside of any record", self.stage)
        except BaseException:  # as of a library that exits
            fail_stop("%s was made to exit", self.stage, blame=True)
        finally:
            filling.cancel()

    async def _fill(self, stream: Any, inbox: Inbox) -> None:
        try:
            async for event in stream.events():
                await inbox.put(event)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            fail_stop("%s cannot read its stream", self.stage)

    async def _handle_events(self, stream: Any, events: list[Any]) -> None:
        generation = self.app.consumer_generation_id
        records = [Record.of(event) for event in self._owned(events, generation)]
        try:
            if any(self.journal.suspect(self._name(record)) for record in records):
                for record in records:  # one at a time: the order of a partition's records is kept
                    await self._handle_suspect(stream, record, generation)
            else:
                for refused, group in groupby(records, lambda record: record.refusal is not None):
                    await (self._finish_refused if refused else self._handle)(stream, list(group), generation)
        except _Dropped:
            log.warning("%s: partitions were revoked, or the worker ends; records in hand dropped", self.stage)
            self._dropped = generation  # that of these records: by now there may be another
            for event in events:
                self._forget(event)

    async def _handle_suspect(self, stream: Any, record: Record, generation: int) -> None:
        name = self._name(record)
        if self.journal.deadly(name):
            record.refusal = "the process died whenever it handled this record"
        if record.refusal is not None:
            await self._finish_refused(stream, [record], generation)
        else:
            await self._handle(stream, [record], generation, alone=self.journal.suspect(name))
        for _ in range(2):  # a commit that is under way may have begun before the acknowledgement
            await self.app.consumer.commit()
        self.journal.forget([name])

    async def _finish_refused(self, stream: Any, records: list[Record], generation: int) -> None:
        results = [Result(dead=record.refusal or None) for record in records]
        await self._finish(stream, Work(records), results, generation)

    async def _handle(self, stream: Any, records: list[Record], generation: int, *, alone: bool = False) -> None:
        work = Work(records, self.tables)
        try:
            results = checked(work, await self._process(work, generation, alone))
        except ForeignTable as error:
            self.notes.waits(self.stage, str(error))
            raise
        except (_Dropped, StoreError):
            raise
        except FormatError as error:
            where = f"{records[0].topic} or tables"
            self.notes.waits(self.stage, f"{where}: {error}")
            leave("%s ends at %s: %s", self.stage, where, error)
        except Exception as error:
            if len(records) > 1:
                half = len(records) // 2
                await self._handle(stream, records[:half], generation)
                await self._handle(stream, records[half:], generation)
                return
            work = Work(records)
            results = [Result(dead=_reason(records[0], error), trace=traceback.format_exc())]
        await self._finish(stream, work, results, generation)
        self.journal.forget(map(self._name, records))

    async def _process(self, work: Work, generation: int, alone: bool) -> list[Result]:
        names = [self._name(record) for record in work.records]
        patience = _RECORD_FAILURES if len(names) == 1 else _BATCH_FAILURES
        try:
            while True:
                work.clear()
                try:
                    async with self.journal.hand(names, alone=alone):
                        return await asyncio.to_thread(self._run, work, generation)
                except Exception as error:
                    if not self.probe.concerns(error):
                        raise
                    problem = await asyncio.to_thread(self.probe.problem, error)
                    patience -= problem is None
                    if not patience:
                        raise
                    if self.app.should_stop or self.app.seconds_revoked() is not None:
                        raise _Dropped from error
                    self._wait_for(problem or f"what failed is tried again: {_first_line(error)}")
                await asyncio.sleep(_RETRY)
        finally:
            self.notes.goes_on(self.stage)

    def _run(self, work: Work, generation: int) -> list[Result]:
        self.belonging.check(work, generation)
        return self.process(work)

    async def _finish(self, stream: Any, work: Work, results: list[Result], generation: int) -> None:
        """Write, send, wait, acknowledge; or drop everything when the partitions have another owner."""
        self._check_owned(work, generation)
        sends = [
            send for record, result in zip(work.records, results, strict=True) for send in self._sends(record, result)
        ]
        try:
            # Tables first: what has been sent may be in the archive at once, and a successor that does not find it in
            # its table would read it from there, as an alert's past.
            await self._write(work, generation)
            await self.output.send(sends)
        except (_Dropped, StoreError):
            raise
        except Exception:
            fail_stop("%s could not send to Kafka", self.stage)
        self._check_owned(work, generation)
        for record in work.records:
            await stream.ack(record.event)
        self.handled += len(work.records)

    async def _write(self, work: Work, generation: int) -> None:
        """Write the tables: changelogs, and when Kafka has them, RocksDB."""
        places = [place for place, writes in work.writes.items() if writes]
        updates = [
            Send(self.tables[name].changelog_topic_name, key, value, partition)
            for name, partition in places
            for key, value in self.tables[name].logged(
                work.writes[name, partition], work.early.get((name, partition), {})
            )
        ]
        offsets = await self.output.send(updates)
        self._check_owned(work, generation)  # another owner's changelog records may be before ours
        for name, partition in places:
            table = self.tables[name]
            end = offsets[table.changelog_topic_name, partition]  # -1 after a retry of what Kafka has
            table.apply(partition, work.writes[name, partition], end)

    def _sends(self, record: Record, result: Result) -> Iterable[Send]:
        if result.dead is None:
            return result.sends
        log.warning("%s: dead letter %s: %s", self.stage, record.name, result.dead)
        return [*result.sends, dead_letter(record, self.stage, self.dead_topic(record.topic), result)]

    def _check_owned(self, work: Work, generation: int) -> None:
        self.watchdog.check()
        if len(self._owned([record.event for record in work.records], generation)) < len(work.records):
            raise _Dropped

    def _owned(self, events: Sequence[Any], generation: int) -> list[Any]:
        """Those of the events that are ours to handle; the others are forgotten."""
        revoked = self.app.seconds_revoked()
        current = (
            self.app.consumer_generation_id == generation != self._dropped
            and (revoked is None or revoked < 0.8 * self.app.conf.broker_rebalance_timeout)  # Kafka waits for us
        )
        assigned = self.app.consumer.assignment() if current else set()
        owned = []
        for event in events:
            message = event.message
            if message.generation_id == generation and message.tp in assigned:
                owned.append(event)
            else:
                self._forget(event)
        return owned

    def _forget(self, event: Any) -> None:
        """Have no rebalance wait for an event that comes again to its owner."""
        self.app.consumer._unacked_messages.discard(event.message)

    def _name(self, record: Record) -> str:
        return f"{self.stage} {record.name}"

    def _wait_for(self, why: str) -> None:
        self.notes.waits(self.stage, why)
        if time.monotonic() - self._reminded > _REMIND:
            self._reminded = time.monotonic()
            log.warning("%s waits: %s", self.stage, why)


def _reason(record: Record, error: Exception) -> str:
    """Why a record is a dead letter."""
    if record.value is None:  # a tombstone, which no topic of a stage should have
        return "the record has no value"
    return str(error) if isinstance(error, BadRecord) else f"{type(error).__name__}: {error}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]

"""Records as they come from Kafka: those of aborted transactions not at all, and hostile ones as something harmless.

The client decodes what anybody may have written into a topic. As it is, a header's name that is no UTF-8 ends the
worker, again and again; a batch of 1 MB that unpacks to 900 takes 2 GB; and it hands over 500 records at a time,
whatever their size. Here a record that cannot be taken as it is comes with a `Refusal` in its place, which the delivery
module makes a dead letter of; a batch is unpacked within bounds; and records are handed over by their bytes.

Batches that hold nothing for us (aborted ones, and the marks of transactions) come as a `Refusal` without a reason:
it is acknowledged as any record is, so that what has been committed is not behind the end of the topic for ever.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, cast

from aiokafka.consumer import fetcher as client  # type: ignore[import-untyped]
from aiokafka.consumer.consumer import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.errors import CorruptRecordException  # type: ignore[import-untyped]
from aiokafka.record import memory_records  # type: ignore[import-untyped]
from aiokafka.record.default_records import DefaultRecordBatch  # type: ignore[import-untyped]
from aiokafka.structs import ConsumerRecord  # type: ignore[import-untyped]
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from boom_streams.agents.faust_fixes.batches import MAX_HEADERS, parse, unpack
from boom_streams.agents.faust_fixes.targets import has, mend
from boom_streams.errors import BadRecord

__all__ = ["POLL_BYTES", "Refusal", "install", "refusal_of", "weight"]

#: Bytes of records that are handed over at once; one record may be more.
POLL_BYTES = 16 << 20

#: What a header costs in memory, beside its bytes.
_HEADER_BYTES = 200

#: What may go wrong where the client reads a record.
_UNREADABLE = (CorruptRecordException, UnicodeDecodeError, ValueError, IndexError)

#: Bytes that the poll which is under way may still hand over; there is one consumer a process.
_left = [0]


class Refusal(bytes):
    """The first header of a record that is not as it came: why, or nothing if there is no record for us."""

    @classmethod
    def header(cls, reason: str) -> tuple[str, Refusal]:
        """The header; no producer can write such a one."""
        return "", cls(reason.encode("utf-8", "backslashreplace"))


def refusal_of(headers: Any) -> str | None:
    """Why a record was refused; an empty text if there is nothing in it for us, None if it is as it came."""
    if headers and isinstance(headers, tuple) and isinstance(headers[0][1], Refusal):
        return headers[0][1].decode()
    return None


def weight(key: bytes | None, value: bytes | None, headers: Any) -> int:
    """Bytes that a record takes while it waits, about."""
    size = len(value or b"") + len(key or b"")
    if headers:
        size += sum(_HEADER_BYTES + len(content or b"") for _, content in headers)
    return size


def install() -> None:
    """Put the mends in their places."""
    has("aiokafka", client, "MemoryRecords")
    has("aiokafka", memory_records._MemoryRecordsPy, "next_batch")
    has("aiokafka", AIOKafkaConsumer, "start", "self")
    for name in ("_consume_aborted_up_to", "_contains_abort_marker"):
        has("aiokafka", client.PartitionRecords, name)
    client.MemoryRecords = memory_records._MemoryRecordsPy  # the compiled one does not let a batch's bytes be seen
    mend("aiokafka", client.PartitionRecords, "_unpack_records", "self", lambda _: _unpack_records)
    mend("aiokafka", client.FetchResult, "getall", "self max_records", lambda _: _getall)
    mend(
        "faust-streaming",
        AIOKafkaConsumerThread,
        "_fetch_records",
        "self consumer active_partitions timeout max_records",
        _with_budget,
    )
    mend(
        "faust-streaming", AIOKafkaConsumerThread, "_create_worker_consumer", "self transport", _read_what_is_committed
    )


def _read_what_is_committed(original: Any) -> Any:
    """Faust reads what transactions have not committed, unless it writes in transactions itself."""

    @functools.wraps(original)
    def create(self: Any, transport: Any) -> Any:
        consumer = original(self, transport)
        if consumer._isolation_level not in ("read_uncommitted", "read_committed"):
            raise AttributeError(f"isolation level {consumer._isolation_level}")
        consumer._isolation_level = "read_committed"
        return consumer

    return create


def _with_budget(original: Any) -> Any:
    @functools.wraps(original)
    async def fetch(self: Any, *arguments: Any, **options: Any) -> Any:
        _left[0] = POLL_BYTES
        return await original(self, *arguments, **options)

    return fetch


def _getall(self: Any, max_records: int | None = None) -> list[Any]:
    """Records of a partition, while there are bytes left in the poll."""
    if not self.check_assignment(self._topic_partition) or not self.has_more() or _left[0] <= 0:
        return []
    found: list[Any] = []
    for record in self._partition_records:
        found.append(record)
        _left[0] -= weight(record.key, record.value, record.headers)
        if _left[0] <= 0 or (max_records is not None and len(found) >= max_records):
            self._update_position()
            break
    else:
        self._update_position()
        self._partition_records = None
    return found


def _unpack_records(self: Any) -> Iterator[Any]:
    """Records of what was fetched from one partition, batch by batch."""
    records = self._records
    while records.has_next():
        raw = records._next_slice
        batch = records.next_batch()
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {self._tp}")
        skipped = _is_not_for_us(self, batch)
        for record in [_refused(self._tp, batch, "")] if skipped else _records_of(self, batch, raw):
            if record.offset >= self.next_fetch_offset:  # the batch may begin before what was asked for
                self.next_fetch_offset = record.offset + 1
                yield record
        self.next_fetch_offset = batch.next_offset


def _is_not_for_us(self: Any, batch: Any) -> bool:
    """Whether a batch was aborted, or is a mark of a transaction."""
    if self._isolation_level == client.READ_COMMITTED and batch.producer_id is not None:
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in self._aborted_producers:
            return True
    return bool(batch.is_control_batch)


def _records_of(self: Any, batch: Any, raw: memoryview) -> Iterator[Any]:
    try:
        plain = unpack(raw)
    except BadRecord as error:
        yield _refused(self._tp, batch, f"{error} (its records: {batch.base_offset} to {batch.next_offset - 1})")
        return
    last = -1
    try:
        for record in batch if plain is raw else DefaultRecordBatch(plain):
            last = record.offset
            yield _as_it_came(self, record)
        return
    except _UNREADABLE as error:
        reason = str(error)
    try:
        for record in parse(plain):
            if record.offset > last:
                last = record.offset
                yield _as_it_came(self, record)
    except BadRecord as error:
        reason = f"{error}; {reason}"
        yield _refused(self._tp, batch, f"{reason} (records {last + 1} to {batch.next_offset - 1})")


def _as_it_came(self: Any, record: Any) -> Any:
    """The record; one with more headers than anybody needs, with the first of them."""
    made = self._consumer_record(self._tp, record)
    count = len(made.headers)
    if count <= MAX_HEADERS:
        return made
    refusal = Refusal.header(f"more than {MAX_HEADERS} headers")
    return cast(Any, _with_headers(made, (refusal, *made.headers[:MAX_HEADERS])))


def _with_headers(record: Any, headers: tuple[Any, ...]) -> Any:
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return ConsumerRecord(**(fields | {"headers": headers}))


def _refused(tp: Any, batch: Any, reason: str) -> Any:
    """What stands for a whole batch: the offset is that of its last record."""
    offset = batch.next_offset - 1
    return ConsumerRecord(
        tp.topic, tp.partition, offset, batch.max_timestamp, 0, None, None, None, -1, -1, (Refusal.header(reason),)
    )

"""Sending to Kafka in batches, and waiting until it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from boom_streams.agents.delivery.one_request import MOST_BYTES, OneRequest
from boom_streams.kafka.limits import MAX_DEAD_BYTES, Headers, record_size
from boom_streams.kafka.writer import Writer
from boom_streams.settings import Settings

__all__ = ["Output", "Send"]

#: Longest time that a record waits for others of its partition; the end of a batch does not wait.
_LINGER_MS = 50


@dataclass(slots=True)
class Send:
    """A record to be sent.

    Attributes
    ----------
    value
        In pieces where several records share some: they are joined when they are sent.
    """

    topic: str
    key: bytes | None
    value: bytes | tuple[bytes, ...] | None
    partition: int
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Most bytes that it takes in Kafka, alone in its batch."""
        return record_size(self.key, self.value, self.headers)


class Output:
    """Sends the records of a stage: small batches in one request, others through librdkafka, in a thread.

    The order of the records of a partition is kept; both producers are idempotent, so a retry neither reorders nor
    repeats them, and one is done before the other begins. Faust's own producer would put all that a batch brings into
    one request, which Kafka may refuse (25 filters on 500 alerts can be 700 MB), and copies it several times.

    Parameters
    ----------
    settings
        Where Kafka is.
    offsets
        `send` tells offsets; without, nothing is said of each record that Kafka has confirmed, which costs a few
        microseconds a record.
    """

    def __init__(self, settings: Settings, *, offsets: bool = True) -> None:
        self._settings = settings
        self._offsets = offsets
        self._writer: Writer | None = None
        self._one_request = OneRequest(settings)

    async def send(self, sends: Iterable[Send]) -> Mapping[tuple[str, int], int]:
        """Send records and return when all of them are confirmed: offsets of the last ones, by topic and partition.

        Raises
        ------
        ServiceError
            If Kafka did not confirm them; the caller must not acknowledge what they came from.
        """
        records = list(sends)
        if not records:
            return {}
        if sum(record.size for record in records) <= MOST_BYTES:
            offsets = await self._one_request.send(records)
            return offsets if self._offsets else {}
        return await asyncio.to_thread(self._send, records)

    async def close(self) -> None:
        """End the connection of small batches; the other ends with the process."""
        await self._one_request.close()

    def _send(self, records: Sequence[Send]) -> Mapping[tuple[str, int], int]:
        if self._writer is None:
            self._writer = Writer(
                self._settings, offsets=self._offsets, linger_ms=_LINGER_MS, message_max_bytes=MAX_DEAD_BYTES
            )
        for record in records:
            value = b"".join(record.value) if isinstance(record.value, tuple) else record.value
            self._writer.send(record.topic, value, record.key, record.partition, record.headers)
        self._writer.finish()
        return self._writer.offsets

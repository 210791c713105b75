"""Sending to Kafka in batches, and waiting until it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from boom_streams.errors import ServiceError

__all__ = ["Headers", "Output", "Send"]

Headers = Sequence[tuple[str, bytes]]

#: Bytes of a batch (61) and a record (up to 21) beside what is in it, and some more.
_OVERHEAD = 128


@dataclass(slots=True)
class Send:
    """A record to be sent."""

    topic: str
    key: bytes | None
    value: bytes
    partition: int
    headers: Headers = ()
    timestamp: int | None = None
    """Milliseconds since 1970 UTC; None: now."""

    @property
    def size(self) -> int:
        """Most bytes that it takes in Kafka, alone in its batch."""
        headers = sum(len(name.encode()) + len(value or b"") + 10 for name, value in self.headers)
        return _OVERHEAD + len(self.key or b"") + len(self.value or b"") + headers


class Output:
    """Sends records through the app's producer, one Kafka batch for many records of a partition.

    The order of the records of a partition is kept; the producer is idempotent, so a retry neither
    reorders nor repeats them.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def send(self, sends: Iterable[Send]) -> None:
        """Send records and return when all of them are confirmed."""
        by_partition: dict[tuple[str, int], list[Send]] = {}
        for send in sends:
            by_partition.setdefault((send.topic, send.partition), []).append(send)
        await asyncio.gather(*map(self.send_to_partition, by_partition.values()))

    async def send_to_partition(self, sends: Sequence[Send]) -> int:
        """Send records of one topic partition in their order; return the offset of the last, -1 if unknown.

        Raises
        ------
        aiokafka.errors.KafkaError
            If Kafka did not confirm them; the caller must not acknowledge what they came from.
        """
        producer = self._app.producer._producer
        offset = -1
        start = 0
        while start < len(sends):
            builder = producer.create_batch()
            count = 0
            for send in sends[start:]:
                added = builder.append(
                    timestamp=send.timestamp, key=send.key, value=send.value, headers=list(send.headers)
                )
                if added is None:
                    break
                count += 1
            if count == 0:
                raise ServiceError(f"a record of {len(sends[start].value)} bytes does not fit a Kafka batch")
            future = await producer.send_batch(builder, sends[0].topic, partition=sends[0].partition)
            base = (await future).offset  # -1 if this was a retry of what Kafka has had for long
            offset = base + count - 1 if base >= 0 else -1
            start += count
        return offset

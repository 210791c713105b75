"""Small batches in one request: what a stage sends to many partitions is confirmed at once.

librdkafka sends a request a partition. Where alerts come in one by one, what comes of four of them would be 40 requests
of some kB, each of which costs Kafka and the client about 0.4 ms: more than all the rest. The client that Faust uses
puts the partitions of a broker into one request; large batches are cheaper with librdkafka, which works beside Python.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from boom_streams import names
from boom_streams.errors import ServiceError
from boom_streams.kafka.writer import PATIENCE
from boom_streams.settings import Settings

if TYPE_CHECKING:
    from boom_streams.agents.delivery.output import Send

__all__ = ["MOST_BYTES", "OneRequest"]

#: Most bytes of a batch that goes in one request.
MOST_BYTES = 4 << 20

_ROOM = 1 << 20


class _RemovedTopics(logging.Filter):
    """Says nothing of filters' topics that are gone: the client asks for each topic that it ever sent to.

    Sending to a topic that is not there is an error of its own.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._begin = f"Topic {names.filter_topic('', prefix)}"

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return not (said.startswith(self._begin) and said.endswith("not found in cluster metadata"))


class OneRequest:
    """Sends small batches; belongs to one event loop.

    Parameters
    ----------
    settings
        Where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None

    async def send(self, records: Sequence[Send]) -> Mapping[tuple[str, int], int]:
        """Send records and return when all are confirmed: offsets of the last ones, by topic and partition.

        Raises
        ------
        ServiceError
            If Kafka did not confirm them in time; the stage ends then, as nobody knows what became of them.
        """
        try:
            async with asyncio.timeout(PATIENCE):  # without one it would be tried for ever
                return await self._send(records)
        except (KafkaError, TimeoutError) as error:
            where = self._settings.kafka
            raise ServiceError(f"Kafka at {where} did not confirm {len(records)} records: {error!r}") from error

    async def _send(self, records: Sequence[Send]) -> Mapping[tuple[str, int], int]:
        if self._producer is None:
            self._producer = await _started(self._settings)
            logging.getLogger("aiokafka.cluster").addFilter(_RemovedTopics(self._settings.topic_prefix))
        batches: dict[tuple[str, int], Any] = {}
        now = time.time_ns() // 1_000_000
        for record in records:
            place = record.topic, record.partition
            batch = batches.get(place)
            if batch is None:
                batch = batches[place] = self._producer.create_batch()
            value = b"".join(record.value) if isinstance(record.value, tuple) else record.value
            if batch.append(timestamp=now, key=record.key, value=value, headers=list(record.headers)) is None:
                raise ValueError(f"{len(records)} records for {record.topic} are more than {MOST_BYTES} bytes")
        # Nothing waits between these: the client begins to send when all are there.
        futures = {
            (topic, partition): await self._producer.send_batch(batch, topic, partition=partition)
            for (topic, partition), batch in batches.items()
        }
        return {place: _last(await future, batches[place].record_count()) for place, future in futures.items()}

    async def close(self) -> None:
        """End the connection."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()


def _last(confirmed: Any, count: int) -> int:
    """Offset of the last record; -1 where Kafka had the batch already, and does not say."""
    offset = int(confirmed.offset)
    return offset if offset < 0 else offset + count - 1


async def _started(settings: Settings) -> Any:
    credentials: dict[str, Any] = {}
    if settings.kafka_username is not None and settings.kafka_password is not None:
        credentials = {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.split(","),
        client_id="boom-streams",
        acks="all",
        enable_idempotence=True,
        max_batch_size=MOST_BYTES + _ROOM,
        max_request_size=MOST_BYTES + 2 * _ROOM,
        request_timeout_ms=60_000,
        **credentials,
    )
    await producer.start()
    return producer

"""Record batches as no client would write them, and sending them as they are."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

__all__ = ["batch", "content", "record", "send", "varint"]

Headers = Sequence[tuple[bytes, bytes | None]]


def record(offset: int, key: bytes | None, value: bytes | None, headers: Headers = (), timestamp: int = 0) -> bytes:
    """A record of a batch; offset and timestamp are those beside the batch's."""
    body = b"\0" + varint(timestamp) + varint(offset) + content(key) + content(value) + varint(len(headers))
    body += b"".join([content(name) + content(held) for name, held in headers])
    return varint(len(body)) + body


def batch(
    records: Sequence[bytes],
    codec: int = 0,
    compress: Callable[[bytes], bytes] = bytes,
    *,
    timestamp: int = 1_700_000_000_000,
    producer: int = -1,
    attributes: int = 0,
) -> bytes:
    """A batch; ``compress`` makes its records' bytes what the codec says."""
    count = len(records)
    after_crc = struct.pack(
        ">hiqqqhii", codec | attributes, count - 1, timestamp, timestamp, producer, -1, -1, count
    ) + compress(b"".join(records))
    crc = calc_crc32c(after_crc)
    return struct.pack(">qiibI", 0, 9 + len(after_crc), -1, 2, crc) + after_crc


def send(kafka: str, topic: str, *batches: bytes, partition: int = 0) -> None:
    """Append batches to a topic."""

    async def main() -> None:
        client = AIOKafkaClient(bootstrap_servers=kafka)
        await client.bootstrap()
        try:
            await client.set_topics([topic])
            node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            for data in batches:
                answer: Any = await client.send(node, ProduceRequest(None, -1, 10_000, [(topic, [(partition, data)])]))
                ((_, ((_, code, *_),)),) = answer.topics
                assert code == 0, f"Kafka refused the batch with error {code}"
        finally:
            await client.close()

    asyncio.run(main())


def varint(value: int) -> bytes:
    """A zigzag number."""
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(0x80 | (left & 0x7F))
        left >>= 7
    out.append(left)
    return bytes(out)


def content(data: bytes | None) -> bytes:
    """Bytes with their length before them."""
    return varint(-1) if data is None else varint(len(data)) + data

"""Which partition a key belongs to: the choice of Kafka's Java clients and of Faust."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["murmur2", "raw_partition"]


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 (`org.apache.kafka.common.utils.Utils.murmur2`), as an unsigned number."""
    mask, mix = 0xFFFFFFFF, 0x5BD1E995
    size = len(data)
    value = 0x9747B28C ^ size
    for at in range(0, size - 3, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        value = value * mix & mask ^ word
    rest = data[size & ~3 :]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return value ^ value >> 15


@lru_cache(maxsize=1 << 17)
def raw_partition(key: bytes, partitions: int) -> int:
    """Partition of a key, as Kafka's default partitioner chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions

"""Kafka's record batches as bytes: unpacked within bounds, and read where the client gives up.

The layout is that of Kafka's record format, version 2 (https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cramjam

from boom_streams.errors import BadRecord

__all__ = ["MAX_HEADERS", "MAX_UNPACKED", "Unpacked", "parse", "unpack"]

#: Most bytes of a batch when it is unpacked: some of the largest records.
MAX_UNPACKED = 64 << 20

#: Most headers of a record; of one with more the first so many are kept.
MAX_HEADERS = 100

_HEAD = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT = 8, 16, 21
_CODEC = 0x07
_APPEND_TIME = 0x08
_XERIAL = b"\x82SNAPPY\x00"


@dataclass(slots=True)
class Unpacked:
    """A record, with whatever names its headers have."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_type: int = 0
    checksum: None = None


def unpack(batch: memoryview) -> bytes | memoryview:
    """The same batch, not compressed.

    Raises
    ------
    BadRecord
        If it cannot be unpacked, or becomes larger than `MAX_UNPACKED`.
    """
    (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES_AT)
    codec = attributes & _CODEC
    if batch[_MAGIC_AT] != 2 or not codec:
        return batch
    if codec not in _CODECS:
        raise BadRecord(f"compressed in a way that is not known ({codec})")
    name, read = _CODECS[codec]
    try:
        data = read(bytes(batch[_HEAD.size :]))
    except BadRecord:
        raise
    except Exception as error:  # each codec has its own
        raise BadRecord(
            f"a {name} batch of {len(batch)} bytes cannot be unpacked to {MAX_UNPACKED} at most: {error}"
        ) from None
    head = bytearray(batch[: _HEAD.size])
    struct.pack_into(">h", head, _ATTRIBUTES_AT, attributes & ~_CODEC)
    struct.pack_into(">i", head, _LENGTH_AT, _HEAD.size - 12 + len(data))
    return bytes(head) + data


def parse(batch: bytes | memoryview) -> Iterator[Unpacked]:
    """Read the records of an uncompressed batch one by one; a name that is no UTF-8 is written with escapes.

    Raises
    ------
    BadRecord
        Where the batch is damaged.
    """
    view = memoryview(batch)
    base, _, _, _, _, attributes, _, first, last, _, _, _, count = _HEAD.unpack_from(view)
    at = _HEAD.size
    for _ in range(count):
        try:
            length, start = _varint(view, at)
            at = start + length
            if length < 0 or at > len(view):
                raise BadRecord(f"a record of {length} bytes in a batch of {len(view)}")
            one = _record(view[start:at])
        except (IndexError, ValueError) as error:
            raise BadRecord(f"the batch is damaged: {error}") from None
        one.offset += base
        one.timestamp_type = int(bool(attributes & _APPEND_TIME))
        one.timestamp = last if one.timestamp_type else first + one.timestamp
        yield one


def _record(view: memoryview) -> Unpacked:
    """A record; offset and timestamp are those beside its batch's."""
    delta, at = _varint(view, 1)  # after its attributes
    offset, at = _varint(view, at)
    key, at = _bytes(view, at)
    value, at = _bytes(view, at)
    count, at = _varint(view, at)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(min(count, MAX_HEADERS + 1)):
        name, at = _bytes(view, at)
        content, at = _bytes(view, at)
        headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
    return Unpacked(offset, delta, key, value, headers)


def _bytes(view: memoryview, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(view, at)
    if length < 0:
        return None, at
    if at + length > len(view):
        raise ValueError(f"{length} bytes at {at} of {len(view)}")
    return bytes(view[at : at + length]), at + length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A zigzag number, and where it ends."""
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 10 bytes")


def _gzip(data: bytes) -> bytes:
    parts, size = [], 0
    while data:
        unpacker = zlib.decompressobj(wbits=31)
        parts.append(unpacker.decompress(data, MAX_UNPACKED + 1 - size))
        size += len(parts[-1])
        if size > MAX_UNPACKED:
            raise BadRecord(f"a gzip batch becomes larger than {MAX_UNPACKED} bytes")
        if not unpacker.eof:
            raise BadRecord("a gzip batch ends too early")
        data = unpacker.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    if not data.startswith(_XERIAL):
        return _snappy_block(data, MAX_UNPACKED)
    parts, at, left = [], 16, MAX_UNPACKED
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        parts.append(_snappy_block(data[at + 4 : at + 4 + size], left))
        left -= len(parts[-1])
        at += 4 + max(size, 0)
    return b"".join(parts)


def _snappy_block(data: bytes, most: int) -> bytes:
    if (size := cramjam.snappy.decompress_raw_len(data)) > most:
        raise BadRecord(f"a snappy batch becomes larger than {MAX_UNPACKED} bytes")
    return bytes(cramjam.snappy.decompress_raw(data, output_len=size))


def _into(decompress: Callable[..., int]) -> Callable[[bytes], bytes]:
    def read(data: bytes) -> bytes:
        room = bytearray(MAX_UNPACKED)
        size = decompress(data, room)
        return bytes(memoryview(room)[:size])

    return read


_CODECS: dict[int, tuple[str, Callable[[bytes], bytes]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _into(cramjam.lz4.decompress_into)),
    4: ("zstd", _into(cramjam.zstd.decompress_into)),
}

"""Avro object containers: read fast, split into one record each, and distrust every byte.

* Block: number of records, size, records after each other (compressed by the codec), the sync marker again
  x A container with damage after a good record gives the good records, and what is wrong
  x Any other damage is a `BadRecord` whose text says what; nothing here raises another exception
* Bounds: what a container may become is counted before it is made, in bytes of memory and in numbers of records
* Prefix: the fields of a record lie one after the other, so a schema cut off after the last wanted field
  reads it in microseconds

See https://avro.apache.org/docs/1.12.0/specification/#object-container-files for the format.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any

import cramjam
import fastavro

from boom_streams.avro.headers import SYNC, Header, plain_header, read_header
from boom_streams.avro.numbers import decode_long, encode_long
from boom_streams.avro.schemas import Schema, cut_schema
from boom_streams.errors import BadRecord

__all__ = [
    "NotSingle",
    "prefix_reader",
    "read_one",
    "single_record",
    "split",
]


#: Largest record, bytes of Avro: what Kafka takes is smaller, and so is what MongoDB does.
_MAX_RECORD = 16 << 20
#: Most memory that a decoded record may take, bytes.
_MEMORY = 256 << 20
_READ = 64  # bytes of memory for each thing that is read of a record, beside its own bytes
_WINDOWS = (64 << 10, 1 << 20)  # bytes that a record of a large block is first looked for in
_PART = 2 << 10  # bytes that a record or block of a container counts, beside its own


_EMPTY = "the Avro container holds no record"


def _inflated(size: int) -> int:
    """Most bytes that a compressed block may become."""
    return min((1 << 20) + 32 * size, 64 << 20)


def _unpacked(size: int) -> int:
    """Most bytes that the records of a container may become, each in a container of its own."""
    return max(min((4 << 20) + 32 * size, 256 << 20), 2 * size)


class NotSingle(BadRecord):
    """The container holds several records, or damage after a good one; `split` makes clean ones of it."""


class _Metered(BytesIO):
    """Bytes of which only so much is read as may be decoded in the memory for one record."""

    left = _MEMORY

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as any stream does."""
        data = super().read(size)
        self.left -= _READ + 4 * len(data)
        if self.left < 0:
            raise BadRecord(f"the record would take more than {_MEMORY >> 20} MB of memory")
        return data


def read_one(container: bytes) -> tuple[Schema, dict[str, Any]]:
    """Give schema and record of a container that holds one record.

    Raises
    ------
    NotSingle
        If it holds several, or damage after a good one.
    BadRecord
        If it holds none that can be read.
    """
    header = read_header(container)
    block = _only_block(container, header)
    if block is None:
        return header.schema, _converted(header.schema, _alone(container))
    stream, end = block
    record = _datum(stream, header.schema.parsed)
    if stream.tell() != end:
        raise BadRecord("the record is not as long as its Avro block says")
    return header.schema, _converted(header.schema, record)


def single_record(container: bytes) -> tuple[Schema, bytes]:
    """Give schema and record, not decoded, of a container that holds one whole record.

    Raises
    ------
    NotSingle
        If it does not.
    """
    header = read_header(container)
    bounds = _block_bounds(container, header)
    if bounds is None:
        raise NotSingle("not one whole record")
    record = _decompress(header.codec, container[slice(*bounds)])
    _check_size(len(record))
    return header.schema, record


def split(container: bytes) -> tuple[list[bytes], BadRecord | None]:
    """One container for each record, and what is wrong after the last good one, if anything.

    A container that holds one record and is whole comes back as it is (its record is not decoded);
    others are written again, uncompressed, with their own schema and sync marker.

    Raises
    ------
    BadRecord
        If there is not one good record.
    """
    header = read_header(container)
    if _block_bounds(container, header) is not None:
        return [container], None
    sync = container[len(header.raw) : len(header.raw) + SYNC]
    head = header.raw if header.codec == "null" else plain_header(header.schema)
    room = _unpacked(len(container))
    parts: list[bytes] = []
    try:
        for _, datum in _records(container):
            part = b"".join((head, sync, encode_long(1), encode_long(len(datum)), datum, sync))
            room -= len(part) + _PART
            if room < 0:
                parts.clear()
                raise BadRecord("the Avro container is too small for what its records would become, each by itself")
            parts.append(part)
    except BadRecord as error:
        if not parts:
            raise
        return parts, error
    if not parts:
        raise BadRecord(_EMPTY)
    return parts, None


def prefix_reader(schema: Schema, wanted: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    """Make a function that reads only the wanted fields of a container with one record.

    Parameters
    ----------
    schema
        The writer's schema; the function is for containers with this schema.
    wanted
        Fields of the record, or of a record in it (``candidate.jd``).

    Returns
    -------
    callable
        From container to the values, in the order of `wanted`; None where the schema or the record has
        none. It raises `BadRecord` for what it cannot read, and does not look at what follows.
    """
    return schema.made(("prefix", wanted), lambda: _prefix_reader(schema, wanted))


def _prefix_reader(schema: Schema, wanted: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    paths = [tuple(path.split(".")) for path in wanted]
    parsed = cut_schema(schema, paths)

    def values(container: bytes) -> tuple[Any, ...]:
        header = read_header(container)
        block = _only_block(container, header)
        if block is None or header.schema is not schema:
            raise NotSingle("not a container with one record of the expected schema")
        record = _datum(block[0], parsed)
        return tuple(_get(record, path) for path in paths)

    return values


def _alone(container: bytes) -> dict[str, Any]:
    """Give the one record of a container that has other blocks, too, if these are empty."""
    found = None
    try:
        for record, _ in _records(container):
            if found is not None:
                raise NotSingle("more than one record in one container")
            found = record
    except BadRecord as error:
        if found is None or isinstance(error, NotSingle):
            raise
        raise NotSingle(f"damage after a good record: {error}") from None
    if found is None:
        raise BadRecord(_EMPTY)
    return found


def _converted(schema: Schema, record: dict[str, Any]) -> dict[str, Any]:
    """Convert logical types in place."""
    if schema.convert is not None:
        schema.convert(record)
    return record


def _records(container: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield records, each with its bytes, until the end or the first damage (`BadRecord`)."""
    header = read_header(container)
    at = len(header.raw) + SYNC
    sync = container[len(header.raw) : at]
    room = _unpacked(len(container))
    while at < len(container):
        count, at = decode_long(container, at)
        size, at = decode_long(container, at)
        if count < 0 or size < 0:
            raise BadRecord(f"an Avro block claims {count} records in {size} bytes")
        end = at + size
        payload = _decompress(header.codec, container[at:end]) if size else b""
        room -= len(payload) + _PART
        if room < 0:
            raise BadRecord("the Avro container is too small for what its blocks would become")
        yield from _block(payload, count, header.schema)
        found = container[end : end + SYNC]
        if found != sync:
            what = "truncated" if len(found) < SYNC else "damaged"
            raise BadRecord(f"the Avro container is {what}: no sync marker after a block")
        at = end + SYNC


def _block(payload: bytes, count: int, schema: Schema) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the records of a block, each with its bytes."""
    at = 0
    for _ in range(count):
        record, end = _next(payload, at, schema)
        yield record, payload[at:end]
        at = end
    if at != len(payload):
        raise BadRecord(f"{len(payload) - at} bytes left over in an Avro block")


def _next(payload: bytes, at: int, schema: Schema) -> tuple[dict[str, Any], int]:
    """Give a record of a block, and where it ends."""
    left = len(payload) - at
    for size in _WINDOWS:
        if size < left:
            stream = BytesIO(payload[at : at + size])
            try:
                return _datum(stream, schema.parsed), at + stream.tell()
            except BadRecord:  # it goes on beyond
                continue
    stream = _stream(payload[at : at + _MAX_RECORD], schema)
    return _datum(stream, schema.parsed), at + stream.tell()


def _stream(data: bytes, schema: Schema, size: int | None = None) -> BytesIO:
    """Give a stream of a record's bytes; `size`: how many of them it can have."""
    size = len(data) if size is None else size
    return BytesIO(data) if size * schema.per_byte <= _MEMORY else _Metered(data)


def _block_bounds(container: bytes, header: Header) -> tuple[int, int] | None:
    """Where the block lies, if the container is one whole block of one record."""
    at = len(header.raw) + SYNC
    sync = container[at - SYNC : at]
    if not container.endswith(sync):
        return None
    try:
        count, at = decode_long(container, at)
        size, at = decode_long(container, at)
    except BadRecord:
        return None
    end = at + size
    return (at, end) if count == 1 and size > 0 and end + SYNC == len(container) else None


def _only_block(container: bytes, header: Header) -> tuple[BytesIO, int] | None:
    """Stream at the only record, and where it must end; None unless one whole block of one record."""
    bounds = _block_bounds(container, header)
    if bounds is None:
        return None
    at, end = bounds
    if header.codec == "null":
        _check_size(end - at)
        stream = _stream(container, header.schema, end - at)
        stream.seek(at)
        return stream, end
    payload = _decompress(header.codec, container[at:end])
    _check_size(len(payload))
    return _stream(payload, header.schema), len(payload)


def _check_size(size: int) -> None:
    if size > _MAX_RECORD:
        raise BadRecord(f"the record has {size} bytes, more than {_MAX_RECORD}")


def _datum(stream: BytesIO, parsed: Any) -> dict[str, Any]:
    try:
        record = fastavro.schemaless_reader(stream, parsed, None)
    except BadRecord:
        raise
    except Exception as error:
        raise BadRecord(
            f"truncated or damaged: the record does not fit the schema in its header ({_short(error)})"
        ) from None
    return record  # type: ignore[return-value]


def _decompress(codec: str, data: bytes) -> bytes:
    if codec == "null":
        return data
    most = _inflated(len(data))
    try:
        if codec == "deflate":
            inflater = zlib.decompressobj(-15)
            payload = inflater.decompress(data, most)
            if not inflater.eof:
                raise BadRecord(f"a deflated Avro block is truncated, or becomes more than {most} bytes")
            return payload
        if decode_long(data, 0, zigzag=False)[0] > most:
            raise BadRecord(f"a snappy Avro block claims to become more than {most} bytes")
        payload = bytes(cramjam.snappy.decompress_raw(data[:-4]))
    except BadRecord:
        raise
    except Exception as error:
        raise BadRecord(f"an Avro block cannot be decompressed ({codec}: {_short(error)})") from None
    if zlib.crc32(payload).to_bytes(4, "big") != data[-4:]:
        raise BadRecord("a snappy Avro block has a wrong checksum")
    return payload


def _get(record: Any, path: Sequence[str]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _short(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the data end too early"
    return f"{type(error).__name__}: {error}"[:160]

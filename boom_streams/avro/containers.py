"""Avro object containers: read fast, split into one record each, and distrust every byte.

* Header: magic, metadata (schema as JSON, codec), 16-byte sync marker; schemas are parsed once and cached
* Block: number of records, size, records after each other (compressed by the codec), the sync marker again
  x A container with damage after a good record gives the good records, and what is wrong
  x Any other damage is a `BadRecord` whose text says what; nothing here raises another exception
* Prefix: the fields of a record lie one after the other, so a schema cut off after the last wanted field
  reads it in microseconds

See https://avro.apache.org/docs/1.12.0/specification/#object-container-files for the format.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import cramjam
import fastavro

from boom_streams.avro.numbers import encode_long
from boom_streams.avro.schemas import Schema, cut_schema, load_schema
from boom_streams.errors import BadRecord

__all__ = [
    "Header",
    "NotSingle",
    "prefix_reader",
    "read",
    "read_header",
    "read_one",
    "single_record",
    "split",
]

_MAGIC = b"Obj\x01"
_SYNC = 16
_MAX_BLOCK = 64 << 20  # bytes of one decompressed block
_CODECS = ("null", "deflate", "snappy")


class NotSingle(BadRecord):
    """The container holds several records, or damage after a good one; `split` makes clean ones of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The start of a container up to its sync marker."""

    raw: bytes
    schema: Schema
    codec: str


#: Headers seen lately, newest first: containers of one survey differ in their sync marker only.
_recent: list[Header] = []
_RECENT = 16


def read_header(container: bytes) -> Header:
    """Header of a container; microseconds when its like has been seen before.

    Raises
    ------
    BadRecord
        If this is no Avro container, or its header, schema or codec cannot be used.
    """
    for place, header in enumerate(_recent):
        if container.startswith(header.raw):
            if place:
                _recent.insert(0, _recent.pop(place))
            return header
    header = _parse_header(container)
    _recent.insert(0, header)
    del _recent[_RECENT:]
    return header


def read(container: bytes) -> tuple[list[dict[str, Any]], BadRecord | None]:
    """Give the records of a container, and what is wrong after the last good one, if anything.

    Raises
    ------
    BadRecord
        If there is not one good record.
    """
    pairs, error = _collect(container)
    return [record for record, _ in pairs], error


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
        records, error = read(container)
        raise NotSingle(f"{len(records)} records in one container" + (f"; {error}" if error else ""))
    stream, end = block
    record = _datum(stream, header.schema.parsed)
    if stream.tell() != end:
        raise BadRecord("the record is not as long as its Avro block says")
    return header.schema, record


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
    data = container[slice(*bounds)]
    return header.schema, data if header.codec == "null" else _decompress(header.codec, data)


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
    pairs, error = _collect(container)
    sync = container[len(header.raw) : len(header.raw) + _SYNC]
    head = header.raw if header.codec == "null" else _header_bytes(header.schema)
    return [b"".join((head, sync, encode_long(1), encode_long(len(datum)), datum, sync)) for _, datum in pairs], error


@lru_cache(maxsize=256)
def prefix_reader(schema: Schema, wanted: tuple[str, ...]) -> Callable[[bytes], tuple[Any, ...]]:
    """Make a function that reads only the wanted fields of a container with one record.

    Parameters
    ----------
    schema : Schema
        The writer's schema; the function is for containers with this schema.
    wanted : tuple of str
        Fields of the record, or of a record in it (``candidate.jd``).

    Returns
    -------
    callable
        From container to the values, in the order of `wanted`; None where the schema or the record has
        none. It raises `BadRecord` for what it cannot read, and does not look at what follows.
    """
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


def _collect(container: bytes) -> tuple[list[tuple[dict[str, Any], bytes]], BadRecord | None]:
    pairs = []
    try:
        for pair in _records(container):
            pairs.append(pair)  # what came before an error is kept
    except BadRecord as error:
        if not pairs:
            raise
        return pairs, error
    if not pairs:
        raise BadRecord("the Avro container holds no record")
    return pairs, None


def _records(container: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield records, each with its bytes, until the end or the first damage (`BadRecord`)."""
    header = read_header(container)
    at = len(header.raw) + _SYNC
    sync = container[len(header.raw) : at]
    while at < len(container):
        count, at = _varint(container, at)
        size, at = _varint(container, at)
        if count <= 0 or size < 0:
            raise BadRecord(f"an Avro block claims {count} records in {size} bytes")
        end = at + size
        payload = _decompress(header.codec, container[at:end])
        stream = BytesIO(payload)
        for _ in range(count):
            start = stream.tell()
            record = _datum(stream, header.schema.parsed)
            yield record, payload[start : stream.tell()]
        if stream.tell() != len(payload):
            raise BadRecord(f"{len(payload) - stream.tell()} bytes left over in an Avro block")
        found = container[end : end + _SYNC]
        if found != sync:
            what = "truncated" if len(found) < _SYNC else "damaged"
            raise BadRecord(f"the Avro container is {what}: no sync marker after a block")
        at = end + _SYNC


def _block_bounds(container: bytes, header: Header) -> tuple[int, int] | None:
    """Where the block lies, if the container is one whole block of one record."""
    at = len(header.raw) + _SYNC
    sync = container[at - _SYNC : at]
    if not container.endswith(sync):
        return None
    try:
        count, at = _varint(container, at)
        size, at = _varint(container, at)
    except BadRecord:
        return None
    end = at + size
    return (at, end) if count == 1 and size > 0 and end + _SYNC == len(container) else None


def _only_block(container: bytes, header: Header) -> tuple[BytesIO, int] | None:
    """Stream at the only record, and where it must end; None unless one whole block of one record."""
    bounds = _block_bounds(container, header)
    if bounds is None:
        return None
    at, end = bounds
    if header.codec == "null":
        stream = BytesIO(container)
        stream.seek(at)
        return stream, end
    payload = _decompress(header.codec, container[at:end])
    return BytesIO(payload), len(payload)


def _datum(stream: BytesIO, parsed: Any) -> dict[str, Any]:
    try:
        record = fastavro.schemaless_reader(stream, parsed, None)
    except Exception as error:
        raise BadRecord(
            f"truncated or damaged: the record does not fit the schema in its header ({_short(error)})"
        ) from None
    return record  # type: ignore[return-value]


def _decompress(codec: str, data: bytes) -> bytes:
    if codec == "null":
        return data
    try:
        if codec == "deflate":
            inflater = zlib.decompressobj(-15)
            payload = inflater.decompress(data, _MAX_BLOCK)
            if not inflater.eof:
                raise BadRecord("a deflated Avro block is truncated or larger than 64 MiB")
            return payload
        if _varint(data, 0, zigzag=False)[0] > _MAX_BLOCK:
            raise BadRecord("a snappy Avro block claims to be larger than 64 MiB")
        payload = bytes(cramjam.snappy.decompress_raw(data[:-4]))
    except BadRecord:
        raise
    except Exception as error:
        raise BadRecord(f"an Avro block cannot be decompressed ({codec}: {_short(error)})") from None
    if zlib.crc32(payload).to_bytes(4, "big") != data[-4:]:
        raise BadRecord("a snappy Avro block has a wrong checksum")
    return payload


def _parse_header(container: bytes) -> Header:
    if not container.startswith(_MAGIC):
        start = container[:4].hex() or "nothing"
        raise BadRecord(f"no Avro container (starts with {start}, not with 4f626a01)")
    try:
        meta, at = _metadata(container)
    except BadRecord as error:
        raise BadRecord(f"broken Avro header: {error}") from None
    codec = meta.get(b"avro.codec", b"null").decode("ascii", "replace")
    if codec not in _CODECS:
        raise BadRecord(f"unknown Avro codec {codec[:40]!r}; known are {', '.join(_CODECS)}")
    if b"avro.schema" not in meta:
        raise BadRecord("broken Avro header: no schema in it")
    if len(container) < at + _SYNC:
        raise BadRecord("broken Avro header: the file ends in it")
    return Header(container[:at], load_schema(meta[b"avro.schema"]), codec)


def _metadata(container: bytes) -> tuple[dict[bytes, bytes], int]:
    meta: dict[bytes, bytes] = {}
    at = len(_MAGIC)
    while True:
        count, at = _varint(container, at)
        if count == 0:
            return meta, at
        if count < 0:
            count, (_, at) = -count, _varint(container, at)
        for _ in range(count):
            key, at = _text(container, at)
            meta[key], at = _text(container, at)


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _varint(data, at)
    if size < 0 or at + size > len(data):
        raise BadRecord(f"a length of {size} where {len(data) - at} bytes are left")
    return data[at : at + size], at + size


def _varint(data: bytes, at: int, *, zigzag: bool = True) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return ((value >> 1) ^ -(value & 1) if zigzag else value), at
    raise BadRecord("the Avro container is truncated, or a number in it has no end")


def _header_bytes(schema: Schema) -> bytes:
    source = json.dumps(schema.source).encode()
    parts = [_MAGIC, encode_long(2)]
    for text in (b"avro.codec", b"null", b"avro.schema", source):
        parts += [encode_long(len(text)), text]
    return b"".join((*parts, b"\0"))


def _get(record: Any, path: Sequence[str]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _short(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the data end too early"
    return f"{type(error).__name__}: {error}"[:160]

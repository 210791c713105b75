"""Headers of Avro object containers: magic, metadata (schema as JSON, codec), 16-byte sync marker.

Containers of one survey differ in their sync marker only, so that the headers seen last answer for nearly all.
"""

from __future__ import annotations

from dataclasses import dataclass

from boom_streams.avro.numbers import decode_long, encode_long
from boom_streams.avro.schemas import MAX_SCHEMA, Schema, load_schema
from boom_streams.errors import BadRecord

__all__ = ["SYNC", "Header", "plain_header", "read_header"]

#: Bytes of the marker after the header and after each block.
SYNC = 16

_MAGIC = b"Obj\x01"
_CODECS = ("null", "deflate", "snappy")
_MAX_HEADER = MAX_SCHEMA + (64 << 10)
_MAX_ENTRIES = 64  # of the metadata


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The start of a container up to its sync marker."""

    raw: bytes
    schema: Schema
    codec: str


#: Headers seen lately, newest first.
_recent: list[Header] = []
_RECENT = 8


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


def plain_header(schema: Schema) -> bytes:
    """Header, but for the sync marker, of a container of this schema that is not compressed."""
    parts = [_MAGIC, encode_long(2)]
    for text in (b"avro.codec", b"null", b"avro.schema", schema.json):
        parts += [encode_long(len(text)), text]
    return b"".join((*parts, b"\0"))


def _parse_header(container: bytes) -> Header:
    if not container.startswith(_MAGIC):
        start = container[:4].hex() or "nothing"
        raise BadRecord(f"no Avro container (starts with {start}, not with 4f626a01)")
    try:
        meta, at = _metadata(container[:_MAX_HEADER])
    except BadRecord as error:
        raise BadRecord(f"broken Avro header: {error}") from None
    codec = meta.get(b"avro.codec", b"null").decode("ascii", "replace")
    if codec not in _CODECS:
        raise BadRecord(f"unknown Avro codec {codec[:40]!r}; known are {', '.join(_CODECS)}")
    if b"avro.schema" not in meta:
        raise BadRecord("broken Avro header: no schema in it")
    if len(container) < at + SYNC:
        raise BadRecord("broken Avro header: the file ends in it")
    return Header(container[:at], load_schema(meta[b"avro.schema"]), codec)


def _metadata(container: bytes) -> tuple[dict[bytes, bytes], int]:
    meta: dict[bytes, bytes] = {}
    at, entries = len(_MAGIC), 0
    while True:
        count, at = decode_long(container, at)
        if count == 0:
            return meta, at
        if count < 0:
            count, (_, at) = -count, decode_long(container, at)
        entries += count
        if entries > _MAX_ENTRIES:
            raise BadRecord(f"more than {_MAX_ENTRIES} entries in its metadata")
        for _ in range(count):
            key, at = _text(container, at)
            meta[key], at = _text(container, at)


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = decode_long(data, at)
    if size < 0 or at + size > len(data):
        raise BadRecord(f"a length of {size} where {len(data) - at} bytes are left")
    return data[at : at + size], at + size

"""Avro containers: every codec, several records, damage of every kind."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from boom_streams.avro import containers
from boom_streams.avro.headers import read_header
from boom_streams.avro.numbers import encode_long
from boom_streams.avro.schemas import load_schema
from boom_streams.errors import BadRecord

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "alert",
    "namespace": "made.up",
    "version": "1.0",
    "fields": [
        {"name": "objectId", "type": "string"},
        {"name": "candid", "type": "long"},
        {
            "name": "candidate",
            "type": {
                "type": "record",
                "name": "candidate",
                "fields": [
                    {"name": "jd", "type": "double"},
                    {"name": "note", "type": ["null", "string"]},
                    {"name": "ra", "type": "double"},
                    {"name": "mag", "type": ["float", "null"]},
                ],
            },
        },
        {"name": "history", "type": ["null", {"type": "array", "items": "made.up.candidate"}]},
        {"name": "stamp", "type": "bytes"},
    ],
}


def record(number: int) -> dict[str, Any]:
    candidate = {"jd": 2460000.5 + number, "note": None, "ra": 10.0 + number, "mag": 18.5}
    return {
        "objectId": f"X{number}",
        "candid": number,
        "candidate": candidate,
        "history": [candidate] * number,
        "stamp": bytes(range(64)),
    }


def container(
    count: int = 1, codec: str = "null", schema: dict[str, Any] | None = None, interval: int = 16000
) -> bytes:
    out = io.BytesIO()
    records = [record(n) for n in range(1, count + 1)]
    fastavro.writer(out, schema or SCHEMA, records, codec=codec, sync_interval=interval, sync_marker=b"~" * 16)
    return out.getvalue()


def read(data: bytes) -> tuple[list[dict[str, Any]], BadRecord | None]:
    parts, damage = containers.split(data)
    return [containers.read_one(part)[1] for part in parts], damage


def raw_container(schema: dict[str, Any], datum: bytes, codec: str = "null") -> bytes:
    """Container written by hand, so that schema and datum need not agree."""
    source = json.dumps(schema).encode()
    parts = [b"Obj\x01", encode_long(2)]
    for text in (b"avro.codec", codec.encode(), b"avro.schema", source):
        parts += [encode_long(len(text)), text]
    return b"".join([*parts, b"\0", b"~" * 16, encode_long(1), encode_long(len(datum)), datum, b"~" * 16])


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
@pytest.mark.parametrize("interval", [1, 16000], ids=["many blocks", "one block"])
def test_several_records_are_read_and_split(codec: str, interval: int) -> None:
    data = container(5, codec, interval=interval)
    expected = [record(n) for n in range(1, 6)]
    assert read(data) == (expected, None)
    parts, damage = containers.split(data)
    assert damage is None
    assert [containers.read_one(part)[1] for part in parts] == expected
    assert [next(fastavro.reader(io.BytesIO(part))) for part in parts] == expected


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_one_record_is_not_copied(codec: str) -> None:
    data = container(1, codec)
    parts, damage = containers.split(data)
    assert parts[0] is data
    assert damage is None
    assert containers.read_one(data)[1] == record(1)


def test_schema_is_parsed_once() -> None:
    first, _ = containers.read_one(container(1))
    second, _ = containers.read_one(container(2)[:0] + container(1, "deflate"))
    assert first is second
    assert first.version == "1.0"


def test_several_records_are_not_single() -> None:
    with pytest.raises(containers.NotSingle, match="more than one record"):
        containers.read_one(container(3))


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ([0, 1, 2, 3, 4], ("objectId", "candid", "candidate.jd", "candidate.ra")),
        ([2, 1, 0, 3, 4], ("objectId", "candid", "candidate.jd", "candidate.ra")),
        ([2, 4, 3, 0, 1], ("candidate.ra", "candid")),
        ([0, 1, 2, 3, 4], ("candidate.ra", "nothing", "candidate.nothing", "objectId.x")),
    ],
)
@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_prefix_reads_what_a_full_read_gives(order: list[int], wanted: tuple[str, ...], codec: str) -> None:
    schema = {**SCHEMA, "fields": [SCHEMA["fields"][i] for i in order]}
    data = container(1, codec, schema)
    full = record(1)
    expected = []
    for path in wanted:
        value: Any = full
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        expected.append(value)
    read = containers.prefix_reader(read_header(data).schema, wanted)
    assert read(data) == tuple(expected)


def test_prefix_does_not_read_on() -> None:
    good = container(1)
    at = good.index(bytes(range(64)))
    damaged = good[: at - 1] + b"\xff" + good[at:]  # the stamp's length
    with pytest.raises(BadRecord):
        containers.read_one(damaged)
    read = containers.prefix_reader(read_header(damaged).schema, ("candid", "candidate.ra"))
    assert read(damaged) == (1, 11.0)


def test_truncated_after_good_records() -> None:
    data = container(3, interval=1)
    for cut in (1, 20, 100):
        records, error = read(data[:-cut])
        assert records == [record(n) for n in range(1, 4 if cut < 17 else 3)]
        assert "truncated" in str(error)
        parts, damage = containers.split(data[:-cut])
        assert [containers.read_one(part)[1] for part in parts] == records
        assert str(damage) == str(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no Avro container"),
        (b"{}", "no Avro container"),
        (b"Obj\x01", "broken Avro header.*truncated"),
        (container()[:300], "broken Avro header"),
        (container().replace(b"null", b"lzma", 1), "unknown Avro codec 'lzma'"),
        (container().replace(b'"record"', b'"rekord"', 1), "not that of a record"),
        (container()[:-120], "truncated"),
        (raw_container(SCHEMA, b""), "truncated"),
        (raw_container(SCHEMA, b"\x02X\x02"), "truncated or damaged"),
        (raw_container(SCHEMA, b"\x00" * 8, "deflate"), "cannot be decompressed|truncated"),
        (raw_container(SCHEMA, b"\xff\xff\xff\xff\x0f" + b"\x00" * 8, "snappy"), "snappy"),
        (read_header(container()).raw + b"~" * 16, "no record"),
        (
            container()[: len(read_header(container()).raw) + 16] + encode_long(-1) + encode_long(4),
            "claims -1",
        ),
    ],
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        read(data)
    if data.count(b"~" * 16) != 2:  # else its only block looks whole, and `split` leaves the record alone
        with pytest.raises(BadRecord, match=reason):
            containers.split(data)


def test_trailing_garbage_and_lying_size() -> None:
    data = container(1)
    with pytest.raises(containers.NotSingle):
        containers.read_one(data + b"garbage")
    records, error = read(data + b"garbage")
    assert records == [record(1)]
    assert error is not None
    longer = raw_container(SCHEMA, avro_datum(record(1)) + b"\0\0\0")
    with pytest.raises(BadRecord, match="not as long"):
        containers.read_one(longer)


def avro_datum(value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMA, value)
    return out.getvalue()


@pytest.mark.parametrize(
    "fields",
    [
        [{"name": "a", "type": ["null", "x"]}],
        [{"name": "a", "type": {"type": "array", "items": "null"}}],
        [{"name": "a", "type": "null"}],
        [{"name": "a", "type": {"type": "array", "items": {"type": "record", "name": "y", "fields": []}}}],
        [{"name": "a", "type": "unheard"}],
        [{"name": "a"}],
        "none",
    ],
    ids=["recursive", "list of nulls", "empty", "list of empties", "unknown type", "no type", "no fields"],
)
def test_schemas_that_cannot_be_used(fields: Any) -> None:
    schema = {"type": "record", "name": "x", "fields": fields}
    with pytest.raises(BadRecord, match="schema"):
        read(raw_container(schema, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x0f"))


def test_schema_that_doubles_without_end() -> None:
    kind: Any = "double"
    for n in range(30):
        name = f"r{n}"
        twice = [{"name": "a", "type": kind}, {"name": "b", "type": f"r{n - 1}" if n else "double"}]
        kind = {"type": "record", "name": name, "fields": twice}
    with pytest.raises(BadRecord, match="too many fields"):
        load_schema(json.dumps(kind).encode())


@pytest.mark.parametrize("length", [2**62, -5, 2**31])
def test_hostile_lengths_allocate_nothing(length: int) -> None:
    schema = {"type": "record", "name": "x", "fields": [{"name": "a", "type": "bytes"}]}
    with pytest.raises(BadRecord):
        containers.read_one(raw_container(schema, encode_long(length)[:10] + b"abc"))
    array = {
        "type": "record",
        "name": "x",
        "fields": [{"name": "a", "type": {"type": "array", "items": "int"}}],
    }
    with pytest.raises(BadRecord):
        containers.read_one(raw_container(array, encode_long(abs(length))[:10] + b"abc"))


@given(
    codec=st.sampled_from(["null", "deflate", "snappy"]),
    count=st.integers(1, 3),
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
    extra=st.binary(max_size=4),
)
@example(codec="null", count=1, edits=[], cut=None, extra=b"\0")
def test_any_damage_gives_records_or_bad_record(
    codec: str, count: int, edits: list[tuple[int, int]], cut: int | None, extra: bytes
) -> None:
    data = bytearray(container(count, codec))
    for place, value in edits:
        data[place % len(data)] = value
    damaged = bytes(data[: None if cut is None else cut % len(data)]) + extra
    for function in (read, containers.split, containers.read_one):
        with contextlib.suppress(BadRecord):
            function(damaged)  # type: ignore[operator]
    with contextlib.suppress(BadRecord):
        header = read_header(damaged)
        containers.prefix_reader(header.schema, ("objectId", "candidate.ra"))(damaged)


@given(st.binary(max_size=200))
def test_any_bytes_give_bad_record(data: bytes) -> None:
    for start in (b"", b"Obj\x01", read_header(container()).raw + b"~" * 16):
        with pytest.raises(BadRecord):
            containers.read_one(start + data)

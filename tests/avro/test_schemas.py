"""Schemas as surveys write them: keys of other libraries, names twice, nesting, logical types."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import bson
import fastavro
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.avro import containers
from boom_streams.avro.logical import converter
from boom_streams.avro.schemas import load_schema
from boom_streams.avro.types import MAX_DEPTH
from boom_streams.errors import BadRecord
from tests.avro.test_bounds import written


def record(*fields: tuple[str, Any], name: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields], **more}


def load(schema: Any) -> Any:
    return load_schema(json.dumps(schema).encode())


def encoded(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, schema, [value])
    return out.getvalue()


def test_keys_that_avro_does_not_know_are_passed_over() -> None:
    plain = record(("a", "int"), ("b", ["null", record(("c", "string"), name="y")]), namespace="made.up")
    odd = json.loads(json.dumps(fastavro.parse_schema(plain))) | {
        "__fastavro_parsed": True,
        "__named_schemas": {"z": 1},
    }
    odd["fields"][0] |= {"units": "mag", "default": None, "doc": 7}
    datum = b"\2\2\4ab"
    for schema in (plain, odd):
        assert containers.read_one(written(schema, [(1, datum)]))[1] == {"a": 1, "b": {"c": "ab"}}
    assert load(odd).source == load(plain).source


def test_a_container_that_is_written_again_keeps_its_schema_as_it_was() -> None:
    schema = json.dumps(record(("a", "int"), doc="what it is", units="mag"), indent=1).encode()
    parts, _ = containers.split(written(schema, [(2, b"\2\4")]))
    assert all(schema in part for part in parts)


def test_empty_blocks_are_legal() -> None:
    schema = record(("a", "int"))
    for codec, nothing in (("null", b""), ("deflate", b"\3\0")):
        block = (1, b"\2" if codec == "null" else b"\x63\x02\x00")
        between = written(schema, [(0, b""), block, (0, nothing), block, (0, b"")], codec)
        assert [containers.read_one(part)[1] for part in containers.split(between)[0]] == [{"a": 1}] * 2
        assert containers.split(between)[1] is None
        with pytest.raises(containers.NotSingle):
            containers.read_one(between)
        at_end = written(schema, [block, (0, nothing)], codec)
        assert containers.read_one(at_end)[1] == {"a": 1}
        assert [containers.read_one(part)[1] for part in containers.split(at_end)[0]] == [{"a": 1}]
        with pytest.raises(BadRecord, match="no record"):
            containers.split(written(schema, [(0, b"")], codec))


def test_fields_that_are_named_twice_are_known_by_their_path() -> None:
    inner = record(("mag", "float"), ("ra", "double"), ("mag", "float"), name="y")
    assert load(record(("a", "int"), ("candidate", ["null", inner]))).repeated == {"candidate.mag"}
    assert load(record(("a", "int"), ("b", "int"), ("a", "int"))).repeated == {"a"}
    assert load(record(("a", "int"))).repeated == frozenset()


@pytest.mark.parametrize("wrap", ["record", "array", "map", "union"])
def test_nesting_is_bounded(wrap: str) -> None:
    def nested(levels: int) -> Any:
        kind: Any = "int"
        for number in range(levels):
            kind = {
                "record": record(("n", kind), name=f"r{number}"),
                "union": record(("n", ["null", kind]), name=f"r{number}"),
                "array": {"type": "array", "items": kind},
                "map": {"type": "map", "values": kind},
            }[wrap]
        return record(("a", kind))

    load(nested(MAX_DEPTH - 1))
    for levels in (MAX_DEPTH, 190):
        with pytest.raises(BadRecord, match="nests more than"):
            load(nested(levels))


@pytest.mark.parametrize("levels", [300, 900, 15_000])
@pytest.mark.parametrize("start", ['{"type": "array", "items": ', '{"type": ', "["])
def test_schemas_that_nest_beyond_reason_are_refused(start: str, levels: int) -> None:
    ends = {"[": "]"}.get(start, "}")
    kind = f'{start * levels}"int"{ends * levels}'
    source = f'{{"type": "record", "name": "x", "fields": [{{"name": "a", "type": {kind}}}]}}'.encode()
    if start == '{"type": ' and levels < 15_000:  # a type's type is the type
        assert load_schema(source).source["fields"] == [{"name": "a", "type": "int"}]
        return
    with pytest.raises(BadRecord, match=r"nests more than|cannot be used|union in a union"):
        load_schema(source)


@pytest.mark.parametrize("name", ["$a", "a.b", "", "a\0", "1a", "ä"])
def test_names_that_a_document_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(BadRecord, match="field of the name"):
        load(record((name, "int")))


@pytest.mark.parametrize("key", ["$ref", "a\0b"])
def test_keys_of_maps_that_a_document_cannot_have_are_refused(key: str) -> None:
    schema = record(("a", {"type": "map", "values": "int"}))
    assert containers.read_one(encoded(schema, {"a": {"b.c": 1}}))[1] == {"a": {"b.c": 1}}
    with pytest.raises(BadRecord, match="a value of a is none of its type"):
        containers.read_one(encoded(schema, {"a": {key: 1}}))


LOGICAL = [
    ({"type": "int", "logicalType": "date"}, date(2024, 6, 17), datetime(2024, 6, 17, tzinfo=UTC)),
    ({"type": "long", "logicalType": "timestamp-millis"}, datetime(1960, 1, 2, 3, 4, 5, 6000, UTC), None),
    ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2024, 1, 2, 3, 4, 5, 6, UTC), None),
    (
        {"type": "long", "logicalType": "local-timestamp-millis"},
        datetime(2024, 1, 2, 3),  # noqa: DTZ001 - as this type has it
        datetime(2024, 1, 2, 3, tzinfo=UTC),
    ),
    ({"type": "int", "logicalType": "time-millis"}, time(1, 2, 3), "01:02:03"),
    ({"type": "long", "logicalType": "time-micros"}, time(1, 2, 3, 4), "01:02:03.000004"),
    (
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
        Decimal("-1.250"),
        Decimal128("-1.250"),
    ),
    (
        {"type": "fixed", "name": "f", "size": 20, "logicalType": "decimal", "precision": 40, "scale": 2},
        Decimal("-0.05"),
        "-0.05",
    ),
    ({"type": "string", "logicalType": "uuid"}, UUID(int=7), str(UUID(int=7))),
    ({"type": "int", "logicalType": "unheard-of"}, 5, 5),
]


@pytest.mark.parametrize("in_list", [False, True])
@pytest.mark.parametrize(("kind", "value", "expected"), LOGICAL)
def test_logical_types_become_what_bson_has(kind: Any, value: Any, expected: Any, in_list: bool) -> None:
    expected = value if expected is None else expected
    schema = record(
        ("a", ["null", {"type": "array", "items": kind}] if in_list else ["null", kind]), ("b", ["null", "int"])
    )
    data = encoded(schema, {"a": [value] if in_list else value, "b": None})
    found = containers.read_one(data)[1]
    assert found == {"a": [expected] if in_list else expected, "b": None}
    bson.encode(found)


def test_values_that_a_logical_type_does_not_have_are_named() -> None:
    day = record(("day", {"type": "int", "logicalType": "date"}))
    with pytest.raises(BadRecord, match="a value of day is none of its type"):
        containers.read_one(written(day, [(1, b"\xfe\xff\xff\xff\x0f")]))
    decimal = record(("d", {"type": "bytes", "logicalType": "decimal", "precision": 3}))
    for size in (5, 100_000):
        with pytest.raises(BadRecord, match="a value of d is none of its type: a decimal of"):
            containers.read_one(written(decimal, [(1, _bytes(b"\x7f" * size))]))


def _bytes(data: bytes) -> bytes:
    from boom_streams.avro.numbers import encode_long

    return encode_long(len(data)) + data


@pytest.mark.parametrize(
    "node",
    [
        {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 5},
        {"type": "bytes", "logicalType": "decimal", "precision": "x"},
        {"type": "string", "logicalType": "date"},
        {"type": "long", "logicalType": ["odd"]},
        {"type": "fixed", "size": 3, "logicalType": "uuid"},
    ],
)
def test_invalid_logical_types_are_passed_over(node: dict[str, Any]) -> None:
    assert converter(node) is None


def test_kinds_of_fields_are_found_behind_unions_lists_and_names() -> None:
    point = record(("jd", "double"), ("note", ["null", "string"]), name="p")
    schema = load(
        record(("own", ["null", point]), ("list", ["null", {"type": "array", "items": ["null", "p"]}]), ("n", "int"))
    )
    expected = {"jd": {"double"}, "note": {"null", "string"}}
    assert schema.kinds(("own",)) == schema.kinds(("list",)) == expected
    assert schema.kinds(())["n"] == {"int"}
    assert schema.kinds(("n",)) == schema.kinds(("nothing",)) == {}


PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=40),
    "string": st.text(max_size=20),
}


@st.composite
def kinds(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any]:
    """A type of a schema and a value of it."""
    if depth == 0 or draw(st.booleans()):
        name = draw(st.sampled_from(sorted(PRIMITIVES)))
        return name, draw(PRIMITIVES[name])
    shape = draw(st.sampled_from(["record", "array", "map", "union"]))
    inner, value = draw(kinds(depth - 1))
    if shape == "array":
        return {"type": "array", "items": inner}, [value] * draw(st.integers(0, 3))
    if shape == "map":
        return {"type": "map", "values": inner}, dict.fromkeys(
            draw(st.sets(st.text("ab", max_size=3), max_size=3)), value
        )
    if shape == "union":
        return ["null", inner], draw(st.sampled_from([None, value])) if not isinstance(inner, list) else value
    other, second = draw(kinds(depth - 1))
    name = f"r{draw(st.integers(0, 10**12))}"
    return record(("first", inner), ("second", other), name=name), {"first": value, "second": second}


def _flat(kind: Any) -> bool:
    """Whether no union lies right in a union, which Avro forbids, and no name is defined twice."""
    text = json.dumps(kind)
    names = [part.split('"')[0] for part in text.split('"name": "r')[1:]]
    return "[[" not in text and ", [" not in text and len(names) == len(set(names))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(kinds().filter(lambda pair: _flat(pair[0])), min_size=1, max_size=4),
    st.sampled_from(["null", "deflate", "snappy"]),
    st.integers(1, 4),
    st.sampled_from([1, 100, 16_000]),
)
def test_any_record_is_read_as_fastavro_writes_it(
    pairs: list[tuple[Any, Any]], codec: str, count: int, interval: int
) -> None:
    schema = record(*((f"f{number}", kind) for number, (kind, _) in enumerate(pairs)))
    value = {f"f{number}": one for number, (_, one) in enumerate(pairs)}
    out = io.BytesIO()
    try:
        parsed = fastavro.parse_schema(schema)
    except fastavro.schema.SchemaParseException:  # the same name twice
        return
    fastavro.writer(out, parsed, [value] * count, codec=codec, sync_interval=interval)
    expected = list(fastavro.reader(io.BytesIO(out.getvalue())))
    parts, damage = containers.split(out.getvalue())
    assert damage is None
    assert [containers.read_one(part)[1] for part in parts] == expected

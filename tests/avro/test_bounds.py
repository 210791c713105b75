"""What one record may become: small packets that grow are dead letters, large alerts pass."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from boom_streams.avro import containers, schemas
from boom_streams.avro.numbers import encode_long
from boom_streams.errors import BadRecord
from tests.support import ztf_packets
from tests.support.cost import cost

SYNC = b"~" * 16


def written(schema: Any, blocks: list[tuple[int, bytes]], codec: str = "null", extra: bytes = b"") -> bytes:
    """A container written by hand: numbers of records and bytes of its blocks as they are."""
    source = schema if isinstance(schema, bytes) else json.dumps(schema).encode()
    parts = [b"Obj\x01", extra, encode_long(2)]
    for text in (b"avro.codec", codec.encode(), b"avro.schema", source):
        parts += [encode_long(len(text)), text]
    parts += [b"\0", SYNC]
    for count, data in blocks:
        parts += [encode_long(count), encode_long(len(data)), data, SYNC]
    return b"".join(parts)


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, wbits=-15)
    return deflater.compress(data) + deflater.flush()


def with_items(kind: Any) -> dict[str, Any]:
    """The schema of an alert whose last field is a history that lists this."""
    schema = ztf_packets.packet_schema(leave_out=("fp_hists", "prv_candidates"))
    schema["fields"].append({"name": "prv_candidates", "type": {"type": "array", "items": kind}})
    return schema


def datum(schema: dict[str, Any], history: list[Any], stamp: bytes = b"gz") -> bytes:
    packet = {
        "schemavsn": "9.9",
        "publisher": "made up",
        "objectId": "ZTF00aaaaaaa",
        "candid": 42,
        "candidate": ztf_packets.candidate(),
        "prv_candidates": history,
        "cutoutScience": {"fileName": "x", "stampData": stamp},
        "cutoutTemplate": None,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), packet)
    return out.getvalue()


def listing(schema: dict[str, Any], item: bytes, count: int) -> bytes:
    """A record that lists the same item so many times."""
    whole = datum(schema, [])
    assert whole.endswith(b"\0")
    return b"".join((whole[:-1], encode_long(count), item * count, b"\0"))


POINT = ztf_packets.record_schema("p", ztf_packets.POINT_FIELDS)
NULLABLE, POINTS = with_items(["null", POINT]), with_items(POINT)
#: A schema of few bytes a record; it is no alert, but that is found only when its records are looked at.
SMALL: dict[str, Any] = {"type": "record", "name": "x", "fields": [{"name": "a", "type": "int"}]}


def of_nothing() -> dict[str, Any]:
    nothing = [{"name": f"n{number}", "type": "null"} for number in range(5_000)]
    return with_items({"type": "record", "name": "p", "fields": [{"name": "jd", "type": "int"}, *nothing]})


def large(number: int, size: int) -> bytes:
    return json.dumps({**SMALL, "doc": f"{number}" + "x" * size}).encode()


def of_many_fields(number: int) -> dict[str, Any]:
    return {**SMALL, "fields": [{"name": f"a{n}_{number}", "type": "int"} for n in range(10_000)]}


HOSTILE: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "null points in a small block": (
        lambda: [written(NULLABLE, [(1, deflated(listing(NULLABLE, b"\0", 5_000_000)))], "deflate")],
        "becomes more than",
    ),
    "null points": (
        lambda: [written(NULLABLE, [(1, listing(NULLABLE, b"\0", 10_000_000))])],
        "more than 256 MB of memory",
    ),
    "points of nulls": (
        lambda: [written(POINTS, [(1, listing(POINTS, bytes(len(POINT["fields"])), 700_000))])],
        "more than 256 MB of memory",
    ),
    "many points": (
        lambda: [written(POINTS, [(1, listing(POINTS, bytes(len(POINT["fields"])), 90_000))])],
        "has 90000 points, more than 50000",
    ),
    "points of nothing": (
        lambda: [written(of_nothing(), [(1, listing(of_nothing(), b"\2", 1_000_000))])],
        "more than 8 fields that are always null",
    ),
    "records under a large schema": (
        lambda: [written(large(0, 400_000), [(5_000, bytes(5_000))])],
        "too small for what its records",
    ),
    "very many records": (lambda: [written(SMALL, [(1_000_000, bytes(1_000_000))])], "too small for what its records"),
    "very many blocks": (lambda: [written(SMALL, [(0, b"")] * 600_000)], "too small for what its blocks"),
    "empty metadata": (lambda: [written(SMALL, [(1, b"\0")], extra=b"\2\0\0" * 4_000_000)], "broken Avro header"),
    "many large schemas": (lambda: [written(large(n, 500_000), [(1, b"\0")]) for n in range(40)], "lacks"),
    "schemas of many fields": (lambda: [written(of_many_fields(n), [(1, bytes(10_000))]) for n in range(40)], "lacks"),
    "a schema that is too large": (lambda: [written(large(0, 600_000), [(1, b"\0")])], "broken Avro header"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_grows_is_a_dead_letter_within_memory_and_time(name: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[name]
    data = make()
    assert sum(map(len, data)) < 25_000_000
    found = cost(tmp_path, data)
    assert found.alerts == 0
    assert found.reasons
    assert all(reason in said for said in found.reasons), found.reasons
    assert found.megabytes < 600, found
    assert found.seconds < 15, found


def test_a_stamp_that_grows_is_no_image(tmp_path: Path) -> None:
    out = io.BytesIO()
    fits.PrimaryHDU(np.zeros((4000, 4000), np.int32)).writeto(out)
    stamp = gzip.compress(out.getvalue())
    assert len(stamp) < 70_000
    cutouts = {name: {"fileName": "x", "stampData": stamp} for name in ("cutoutScience", "cutoutTemplate")}
    found = cost(tmp_path, [ztf_packets.container(**cutouts)] * 3)
    assert found.alerts == 3
    assert found.megabytes < 100


def test_large_alerts_pass(tmp_path: Path) -> None:
    point = ztf_packets.detection(2459000.5, None)
    schema = POINTS
    many = [{**point, "jd": 2459000.5 + n, "candid": 1000 + n} for n in range(2204)]
    deep = datum(schema, many, bytes(range(256)) * 500)
    assert len(deep) > 290_000
    found = cost(tmp_path, [written(schema, [(1, deep)]), written(schema, [(1, deflated(deep))], "deflate")])
    assert (found.alerts, found.points, found.reasons[:1]) == (2, 2 * 2205, found.reasons[:1])
    stamps = datum(schema, many, bytes(range(256)) * 31_000)
    assert len(stamps) > 8_000_000
    assert cost(tmp_path, [written(schema, [(1, stamps)])]).points == 2205
    longest = datum(schema, [{**point, "jd": 2459000.5 + n, "candid": 1000 + n} for n in range(48_000)])
    found = cost(tmp_path, [written(schema, [(1, longest)])])
    assert (found.alerts, found.points) == (1, 48_001)
    assert found.megabytes < 700


def test_schemas_are_kept_by_their_size() -> None:
    for number in range(60):
        source = json.dumps({**SMALL, "doc": f"{number}" + "x" * 100_000}).encode()
        schema = schemas.load_schema(source)
        assert schemas.load_schema(source) is schema
    assert sum(map(len, schemas._latest)) <= 4 << 20


def test_a_large_block_gives_all_its_records() -> None:
    schema = POINTS
    one = datum(schema, [ztf_packets.detection(2459000.5, 7)] * 300, bytes(3_000_000))
    small = datum(schema, [])
    parts, damage = containers.split(written(schema, [(4, one + small + one + small)]))
    assert damage is None
    assert [len(part) - len(parts[1]) for part in parts] == [len(one) + 2 - len(small), 0, len(one) + 2 - len(small), 0]


DAMAGED = written(NULLABLE, [(1, deflated(listing(NULLABLE, b"\2" + bytes(len(POINT["fields"])), 300)))], "deflate")


@settings(max_examples=80, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 255)), max_size=4),
    st.one_of(st.none(), st.integers(1, 400)),
)
def test_no_damage_takes_memory_beyond_the_budget(packed: bool, edits: list[tuple[int, int]], cut: int | None) -> None:
    source = containers.single_record(DAMAGED)[0].json
    data = bytearray(DAMAGED if packed else written(source, [(1, containers.single_record(DAMAGED)[1])]))
    for place, value in edits:  # counted from the end: the schema is much of the rest
        data[-place] = value
    tracemalloc.start()
    try:
        for function in (containers.split, containers.read_one):
            with contextlib.suppress(BadRecord):
                function(bytes(data[: None if cut is None else -cut]))  # type: ignore[operator]
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()

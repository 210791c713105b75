"""Batches of records are unpacked within bounds, and read as the client reads them, and further."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.agents.faust_fixes import batches
from boom_streams.agents.faust_fixes.batches import MAX_HEADERS, MAX_UNPACKED, parse, unpack
from boom_streams.errors import BadRecord
from tests.support.kafka_batches import batch, record

ATTRIBUTES, TIMESTAMP = 21, 1_700_000_000_000
RECORDS = [
    record(0, b"k", b"value", [(b"a", b"1"), ("é".encode(), None)]),
    record(1, None, None, timestamp=7),
    record(2, b"", b""),
]


def xerial(data: bytes) -> bytes:
    """Snappy as Java's clients write it: in blocks."""
    blocks = [bytes(cramjam.snappy.compress_raw(data[at : at + 1000])) for at in range(0, len(data), 1000)]
    framed = b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + framed


CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, gzip.compress),
    "gzip in two members": (1, lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    "snappy": (2, lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "snappy in blocks": (2, xerial),
    "lz4": (3, lambda data: bytes(cramjam.lz4.compress(data))),
    "zstd": (4, lambda data: bytes(cramjam.zstd.compress(data))),
}


def content(one: Any) -> tuple[Any, ...]:
    return one.offset, one.timestamp, one.timestamp_type, one.key, one.value, list(one.headers)


@pytest.mark.parametrize("name", CODECS)
def test_an_unpacked_batch_is_read_as_the_packed_one(name: str) -> None:
    packed = batch(RECORDS, *CODECS[name])
    expected = [content(one) for one in DefaultRecordBatch(packed)]
    assert expected[0][5] == [("a", b"1"), ("é", None)]
    plain = unpack(memoryview(packed))
    assert [content(one) for one in DefaultRecordBatch(plain)] == expected
    assert [content(one) for one in parse(plain)] == expected


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=300),
            st.none() | st.binary(max_size=300),
            st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3),
            st.integers(-(1 << 40), 1 << 40),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([0, 0x08]),
)
def test_our_reading_is_the_clients(records: list[Any], attributes: int) -> None:
    encoded = [
        record(place, key, value, [(name.encode(), held) for name, held in headers], timestamp)
        for place, (key, value, headers, timestamp) in enumerate(records)
    ]
    data = batch(encoded, attributes=attributes)
    assert [content(one) for one in parse(data)] == [content(one) for one in DefaultRecordBatch(data)]


@pytest.mark.parametrize("name", [name for name in CODECS if name != "none"])
def test_a_batch_that_becomes_too_large_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, compress = CODECS[name]
    largest = batch([record(0, b"k", bytes(100_000))], codec, compress)
    unpacked = len(unpack(memoryview(largest))) - 61
    monkeypatch.setattr(batches, "MAX_UNPACKED", unpacked)
    assert unpack(memoryview(largest))
    monkeypatch.setattr(batches, "MAX_UNPACKED", unpacked - 1)
    with pytest.raises(BadRecord, match="batch"):
        unpack(memoryview(largest))


def test_what_is_no_compressed_data_is_refused() -> None:
    for codec in range(1, 8):
        with pytest.raises(BadRecord):
            unpack(memoryview(batch(RECORDS, codec)))
    with pytest.raises(BadRecord, match="too early"):
        unpack(memoryview(batch(RECORDS, 1, lambda data: gzip.compress(data)[:-9])))
    assert zlib.decompress(zlib.compress(bytes(MAX_UNPACKED))) == bytes(MAX_UNPACKED)


def test_a_name_that_is_no_text_is_written_with_escapes() -> None:
    (one,) = parse(batch([record(0, b"k", b"v", [(b"\xff\xfe", b"1")])]))
    assert one.headers == [(r"\xff\xfe", b"1")]


def test_of_many_headers_the_first_are_read() -> None:
    (one, two) = parse(batch([record(0, b"k", b"v", [(b"", None)] * 5000), record(1, b"k", b"w")]))
    assert (len(one.headers), one.value, two.value) == (MAX_HEADERS + 1, b"v", b"w")


@pytest.mark.parametrize("cut", range(62, 80))
def test_a_damaged_batch_says_so(cut: int) -> None:
    with pytest.raises(BadRecord):
        list(parse(batch(RECORDS)[:cut]))

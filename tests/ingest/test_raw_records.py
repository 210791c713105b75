"""Raw records: keys, partitions, margins, splitting, and what cannot be placed."""

from __future__ import annotations

import io

import bson
import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.astro import sky
from boom_streams.avro import containers
from boom_streams.ingest import raw_records as raw
from boom_streams.kafka.partitions import raw_partition
from boom_streams.surveys import get_survey
from tests.support.alerts import alert_schema

ZTF = get_survey("ZTF")
SCHEMA = alert_schema("jd", "ra", "dec", "more")


def container(*places: tuple[float, float], codec: str = "null") -> bytes:
    records = [
        {"objectId": f"X{n}", "candid": n, "candidate": {"jd": 2460000.5, "ra": ra, "dec": dec, "more": 1.0}}
        for n, (ra, dec) in enumerate(places)
    ]
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, records, codec=codec)
    return out.getvalue()


@given(
    st.lists(st.tuples(st.floats(0, 359.999), st.floats(-90, 90)), min_size=1, max_size=4),
    st.integers(1, 12),
    st.sampled_from(["null", "deflate"]),
)
def test_each_alert_is_placed_by_its_cell(places: list[tuple[float, float]], partitions: int, codec: str) -> None:
    batch = raw.raw_records(container(*places, codec=codec), ZTF, partitions)
    assert batch.bad == []
    own = [record for record in batch.records if not record.headers]
    assert [record.candid for record in own] == list(range(len(places)))
    for record, (ra, dec) in zip(own, places, strict=True):
        cell = int(sky.cells(ra, dec, 256))
        assert record.key == str(cell).encode()
        assert raw.is_placed(record.key, record.partition, partitions, cell)
        assert containers.read_one(record.value)[1]["candidate"]["ra"] == ra


def test_margin_records_go_to_every_other_partition_within_reach() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    partitions = 5
    batch = raw.raw_batch([container(place) for place in zip(ra, dec, strict=True)], ZTF, partitions)
    around = sky.neighbour_cells(ra, dec, 256, 5.0)
    margins: dict[int, dict[int, raw.RawRecord]] = {}
    for record in batch.records:
        if record.headers:
            assert record.headers == (("role", b"margin"),)
            assert margins.setdefault(record.source, {}).setdefault(record.partition, record) is record
    assert 20 < len(margins) < 150
    own = {record.source: record for record in batch.records if not record.headers}
    for source, cells in enumerate(around):
        reached = {raw_partition(str(cell).encode(), partitions) for cell in cells} - {own[source].partition}
        sent = margins.get(source, {})
        assert set(sent) == reached
        for record in sent.values():
            assert int(record.key) in cells
            assert raw.is_placed(record.key, record.partition, partitions)
            assert bson.decode(record.value) == {
                "v": 1,
                "survey": "ZTF",
                "objectId": "X0",
                "candid": 0,
                "jd": 2460000.5,
                "ra": ra[source],
                "dec": dec[source],
            }


def test_one_record_keeps_its_bytes() -> None:
    data = container((10.0, 20.0))
    (record,) = raw.raw_records(data, ZTF, 1).records
    assert record.value is data


def test_one_partition_needs_no_margins() -> None:
    rng = np.random.default_rng(4)
    places = list(zip(rng.uniform(0, 360, 500).tolist(), rng.uniform(-89, 89, 500).tolist(), strict=True))
    assert len(raw.raw_batch([container(*places)], ZTF, 1).records) == 500


def test_what_cannot_be_placed_comes_back_with_its_reason() -> None:
    good, several = container((10.0, 20.0)), container((10.0, 20.0), (10.0, 91.0), (11.0, 20.0))
    batch = raw.raw_batch([b"nonsense", good, several, good[:-20]], ZTF, 8)
    assert [(record.source, record.candid) for record in batch.records if not record.headers] == [
        (1, 0),
        (2, 0),
        (2, 2),
    ]
    assert batch.bad_sources == [0, 2, 3]
    (first, second, third) = batch.bad
    assert first == (b"nonsense", "no Avro container (starts with 6e6f6e73, not with 4f626a01)")
    assert containers.read_one(second[0])[1]["candid"] == 1
    assert second[1] == "candidate.dec is 91.0, not in [-90, 90]"
    assert third[0] == good[:-20]
    assert "early" in third[1]


def test_good_alert_of_a_truncated_file_is_kept() -> None:
    data = container((10.0, 20.0))[:-3]
    batch = raw.raw_records(data, ZTF, 8)
    (record,) = (record for record in batch.records if not record.headers)
    assert containers.read_one(record.value)[1]["candid"] == 0
    ((value, reason),) = batch.bad
    assert value == data
    assert "truncated" in reason
    assert "first 1 alerts are good" in reason


def test_other_surveys_are_refused() -> None:
    out = io.BytesIO()
    fastavro.writer(
        out,
        {"type": "record", "name": "x", "fields": [{"name": "diaSourceId", "type": "long"}]},
        [{"diaSourceId": 1}],
    )
    batch = raw.raw_records(out.getvalue(), ZTF, 8)
    assert batch.records == []
    assert "lacks objectId, candid, candidate" in batch.bad[0][1]


@pytest.mark.parametrize("key", [None, b"", b"abc", b"-1", b"007", b"786432", b"9" * 30, "\u0661".encode(), b"1 "])
def test_keys_that_are_no_cells(key: bytes | None) -> None:
    assert not any(raw.is_placed(key, partition, 3) for partition in range(3))


def test_wrong_partition_or_cell_is_not_placed() -> None:
    key = raw.cell_key(1234)
    right = raw_partition(key, 8)
    assert raw.is_placed(key, right, 8)
    assert raw.is_placed(key, right, 8, 1234)
    assert not raw.is_placed(key, right, 8, 1235)
    assert not raw.is_placed(key, (right + 1) % 8, 8)

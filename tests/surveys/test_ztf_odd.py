"""ZTF packets that are odd but good, and those that only look good."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import fastavro
import pytest
from bson.decimal128 import Decimal128

from boom_streams.avro import containers
from boom_streams.errors import BadRecord
from boom_streams.ingest.raw_records import raw_records
from boom_streams.surveys import Alert
from tests.avro.test_bounds import written
from tests.support import ztf_packets
from tests.support.ztf_packets import ZTF, candidate, detection

Changes = dict[str, Any]


def packet(fields: Changes | None = None, *, without: tuple[str, ...] = (), **values: Any) -> bytes:
    """A packet whose candidate has further fields, or others, of these types."""
    schema = ztf_packets.packet_schema(leave_out=without)
    (own,) = (f["type"][1] for f in schema["fields"] if f["name"] == "candidate")
    own["fields"] = [f for f in own["fields"] if f["name"] not in (fields or {})]
    own["fields"] += [{"name": name, "type": kind} for name, kind in (fields or {}).items()]
    whole = {"schemavsn": "9.9", "publisher": "made up", "objectId": "ZTF00aaaaaaa", "candid": 42}
    out = io.BytesIO()
    fastavro.writer(out, schema, [whole | {"candidate": candidate(**values)}])
    return out.getvalue()


@pytest.fixture(params=[1, 20], ids=["alone", "together"])
def times(request: pytest.FixtureRequest) -> int:
    """How many alike are decoded at once: few are read one by one, many as columns."""
    return int(request.param)


def one(data: bytes, times: int) -> Alert | BadRecord:
    first, *others = ZTF.decode([data] * times)
    assert len(others) == times - 1
    return first


def refused(data: bytes, times: int) -> str:
    batch = raw_records(data, ZTF, 4)
    assert not batch.records
    decoded = one(data, times)
    assert isinstance(decoded, BadRecord)
    assert str(decoded) == batch.bad[0][1]
    return str(decoded)


def test_a_candid_in_the_candidate_alone_is_read(times: int) -> None:
    data = packet(without=("candid",))
    alert = one(data, times)
    assert isinstance(alert, Alert)
    assert alert.candid == alert.document["_id"] == 42
    assert raw_records(data, ZTF, 4).records[0].candid == 42


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", "1.5", "string"),
        (["null", "float", "string"], 1.5, "float or string"),
        ("boolean", True, "boolean"),
        ({"type": "array", "items": "float"}, [1.5], "array"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}, Decimal("1.5"), "bytes"),
    ],
)
def test_a_number_that_may_be_something_else_is_refused_and_named(
    kind: Any, value: Any, found: str, times: int
) -> None:
    assert refused(packet({"sumrat": kind}, sumrat=value), times) == (
        f"candidate.sumrat is {found} by its schema, not a number"
    )


def test_a_text_that_may_be_a_number_is_refused_and_named(times: int) -> None:
    assert refused(packet({"ssnamenr": "int"}, ssnamenr=5), times) == (
        "candidate.ssnamenr is int by its schema, not a text"
    )


def test_history_has_the_types_of_the_survey_too(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setitem(ztf_packets.TYPES, "rb", "string")
    data = ztf_packets.container(candidate=candidate(rb="0.5"), prv_candidates=[detection(2459990.5, 7, rb="0.5")])
    assert "rb is string by its schema" in refused(data, times)


def test_a_field_that_is_named_twice_is_refused_and_named(times: int) -> None:
    data = packet({"zzz": "float"}, zzz=1.0)
    assert isinstance(one(data, times), Alert)
    twice = data.replace(b'"name": "zzz"', b'"name": "jd"')
    source = containers.read_one(data)[0].json.replace(b'"name": "zzz"', b'"name": "jd"')
    datum = containers.single_record(data)[1]
    assert twice != data
    assert refused(written(source, [(1, datum)]), times) == "its schema names candidate.jd twice"


def test_fields_of_logical_types_are_in_the_document(times: int) -> None:
    fields = {
        "day": ["null", {"type": "int", "logicalType": "date"}],
        "taken": {"type": "long", "logicalType": "timestamp-micros"},
        "price": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}],
        "mark": {"type": "string", "logicalType": "uuid"},
    }
    values = {
        "day": date(2024, 6, 17),
        "taken": datetime(2024, 6, 17, 1, 2, 3, tzinfo=UTC),
        "price": Decimal("12.50"),
        "mark": UUID(int=9),
    }
    alert = one(packet(fields, **values), times)
    assert isinstance(alert, Alert)
    own = alert.document["candidate"]
    expected = {
        "day": datetime(2024, 6, 17, tzinfo=UTC),
        "taken": values["taken"],
        "price": Decimal128("12.50"),
        "mark": str(UUID(int=9)),
    }
    assert {name: own[name] for name in fields} == expected
    bson.encode(own)


def test_a_right_ascension_of_360_is_0(times: int) -> None:
    data = ztf_packets.container(candidate=candidate(ra=360.0))
    alert = one(data, times)
    assert isinstance(alert, Alert)
    assert alert.ra == alert.document["candidate"]["ra"] == 0.0
    assert (
        raw_records(data, ZTF, 4).records[0].key
        == raw_records(ztf_packets.container(candidate=candidate(ra=0.0)), ZTF, 4).records[0].key
    )


def test_a_field_nested_deeper_than_documents_are_is_refused(times: int) -> None:
    kind: Any = "int"
    value: Any = 1
    for number in range(100):
        kind = {"type": "record", "name": f"r{number}", "fields": [{"name": "n", "type": kind}]}
        value = {"n": value}
    assert "nests more than" in refused(packet({"deep": kind}, deep=value), times)


@pytest.mark.parametrize(
    ("name", "alerts", "reason"),
    [
        ("697252384215015000", 1, ""),
        ("1703222170415010089", 1, ""),
        ("header_with_fastavro_key", 1, ""),
        ("candid_in_candidate", 1, ""),
        ("empty_block_between", 2, ""),
        ("empty_block_at_end", 1, ""),
        ("nested_190", 0, "nests more than"),
        ("sumrat_string", 0, "candidate.sumrat is string by its schema, not a number"),
    ],
)
def test_real_odd_packets(shared: Path, name: str, alerts: int, reason: str) -> None:
    batch = raw_records((shared / f"data/faults/{name}.avro").read_bytes(), ZTF, 4)
    decoded = ZTF.decode([record.value for record in batch.records if not record.headers])
    assert [type(alert) for alert in decoded] == [Alert] * alerts
    assert [reason in said for _, said in batch.bad] == [True] * bool(reason)

"""What release 0.1.0 wrote is read as if today's had; what a newer one wrote is refused, never misread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any, ClassVar

import bson
import fastavro
import numpy as np
import pytest

from boom_streams.agents.classify import take
from boom_streams.crossmatch.tiles import Tile, pack
from boom_streams.errors import BadRecord, FormatError
from boom_streams.schema import bson_records, dead_letters, filtered, formats, records
from boom_streams.surveys import Survey, get_survey, packed_points, registry
from boom_streams.surveys.ztf.earlier import EARLIER
from boom_streams.tables import cells
from boom_streams.tables.objects import chunks, history
from boom_streams.testing import stages
from tests.upgrade.sample import DATA, Sample, read

ZTF = get_survey("ZTF")

#: What the light curves that this release packs look like. If you change a survey's columns: freeze those of the last
#: release in the survey's ``earlier.py``, if they are not there yet, and put the new fingerprint here.
MARKS = {"ZTF": "aa74d021"}

#: Length of the source offset that a changelog puts before a value.
OFFSET = 8


def _widened(dtype: np.dtype[Any]) -> list[tuple[str, Any]]:
    """Columns in another order, texts and small integers wider, without ``pid``."""
    kinds = [(name, dtype[name]) for name in reversed(dtype.names or ())]
    return [(name, _WIDER.get(kind.str, kind)) for name, kind in kinds if name != "pid"]


_WIDER = {"|S24": "S40", "|S16": "S64", "|i1": "<i2", "<f4": "<f8"}


@cache
def sample() -> Sample:
    return read(DATA / "0.1.0")


def values(topic: str) -> list[bytes]:
    return [record.value for record in sample().records if record.topic == topic and record.value is not None]


def changelog(table: str) -> list[tuple[bytes, bytes]]:
    topic = f"boom.{table}.changelog"
    return [(r.key or b"", (r.value or b"")[OFFSET:]) for r in sample().records if r.topic == topic]


@pytest.mark.parametrize("survey", MARKS)
def test_columns_do_not_change_unnoticed(survey: str) -> None:
    assert formats.packing(get_survey(survey)).mark == MARKS[survey]


def test_earlier_columns_stay_as_they_were() -> None:
    assert {release: formats.fingerprint(columns) for release, columns in EARLIER.items()} == {"0.1.0": "666998e2"}


@pytest.mark.parametrize("stage", ["enriched", "classified"])
def test_records_of_the_first_release_are_given_as_todays(stage: str) -> None:
    for value in values(f"ztf.{stage}"):
        old, new = bson.decode(value), bson_records.fields(value)
        records.check(stage, bytes(new.raw))
        for field in bson_records.PACKED:
            for name, data in old.get(field, {}).items():
                before = np.frombuffer(data, EARLIER["0.1.0"][name])
                after = ZTF.series[name].loads(new[field][name])
                assert len(before) == len(after)
                for column in before.dtype.names or ():
                    np.testing.assert_array_equal(before[column], after[column])
        rest = [name for name in old if name not in ("v", "columns", *bson_records.PACKED)]
        for name in rest:
            assert bson.encode({"": old[name]}) == bson.encode({"": new[name]})


def test_tables_of_the_first_release_are_read() -> None:
    objects = chunks.canonical(changelog("objects"), ZTF)
    assert any(series["prv_candidates"] for key, series in objects.items() if key.count(b":") == 2)
    assert all(cells.objects_in(value) for _, value in changelog("cells") if len(value) > 30)


def test_tiles_and_filtered_records_of_the_first_release_are_read() -> None:
    (tiles,) = [each.documents for each in sample().collections if each.name == "catalog_tiles"]
    assert all(len(Tile.unpack(bytes(tile["data"]))) for tile in tiles)
    for value in values("ztf.filtered"):
        assert filtered.decode_matches(value)["filters"] == filtered.decode_filtered(value)["filters"]


def test_a_points_table_of_other_columns_is_converted() -> None:
    names = ["jd", "fid", "candid", "text", "new"]
    kinds = [np.dtype([("jd", "<f8"), ("fid", "i1"), ("candid", "<i8"), ("text", "S4"), ("gone", "<f4")])]
    kinds.append(np.dtype([("text", "S8"), ("jd", "<f8"), ("fid", "<i4"), ("candid", "<i8"), ("new", "<i2")]))
    old = np.array([(1.5, -128, 7, b"abcd", 2.0), (2.5, 3, 8, b"", np.nan)], kinds[0])
    new = packed_points.convert(old, kinds[1])
    none = np.iinfo(np.int32).min
    rows = [(1.5, none, 7, b"abcd", -32768), (2.5, 3, 8, b"", -32768)]
    assert new[names].tolist() == rows


class _Wider(type(ZTF)):  # type: ignore[misc]
    """ZTF with columns that are wider, moved and new, and without a series and a column that there were."""

    series: ClassVar = {
        name: replace(series, dtype=np.dtype([("new", "<f4"), *_widened(series.dtype)]))
        for name, series in ZTF.series.items()
        if name != "prv_nondetections"
    }


@pytest.fixture
def wider() -> Iterator[Survey]:
    """What a later release may make of ZTF's light curves."""
    survey = _Wider()
    registry.register(survey)
    yield survey
    registry.register(ZTF)


@pytest.mark.parametrize("stage", ["enriched", "classified"])
def test_records_get_the_columns_of_a_later_release(wider: Survey, stage: str) -> None:
    for value in values(f"ztf.{stage}"):
        old, new = bson.decode(value), bson_records.fields(value)
        assert new["columns"] == formats.packing(wider).mark != MARKS["ZTF"]
        for field in {*bson_records.PACKED} & old.keys():
            assert new[field].keys() == old[field].keys() - {"prv_nondetections"}
            for name, data in new[field].items():
                before = ZTF.series[name].to_documents(np.frombuffer(old[field][name], EARLIER["0.1.0"][name]))
                after = wider.series[name].to_documents(wider.series[name].loads(data))
                assert after == [{key: each for key, each in point.items() if key != "pid"} for point in before]


def test_histories_go_on_with_the_columns_of_a_later_release(wider: Survey) -> None:
    store = stages.Memory(changelog("objects"))
    known = {head: chunks.Head.loads(store[head]) for head in store if head.count(b":") == 1}
    for value in values("ztf.enriched"):
        _, arrival = take(value, wider, 365.0)
        answer = history.admit(store, arrival)
        assert len(answer.series["prv_candidates"]) >= 1
        assert answer.series["prv_candidates"].dtype == wider.series["prv_candidates"].dtype
    written = {key: value for key, value in store.puts if key.count(b":") == 2}
    header = formats.packing(wider).header
    assert any(value.startswith(header) for value in written.values())
    found = chunks.canonical(store.items(), wider)
    assert all(found[head].revision >= before.revision for head, before in known.items())
    assert sum(head.revision for key, head in found.items() if key.count(b":") == 1) == 28


def test_columns_that_lose_something_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="column text was"):
        packed_points.convert(np.zeros(1, [("text", "S8")]), np.dtype([("text", "S4")]))


def test_a_record_says_its_format_and_costs_nothing_more() -> None:
    stated = bson_records.stated(ZTF)
    assert stated == {"v": formats.ENRICHED.version, "columns": MARKS["ZTF"]}
    value = bson.encode({**stated, "survey": "ZTF"})
    assert bytes(bson_records.fields(value).raw) == value


@pytest.mark.parametrize("said", [{"v": 3}, {"columns": "00000000"}, {"columns": None}])
def test_a_newer_record_is_refused(said: dict[str, Any]) -> None:
    value = bson.encode({"survey": "ZTF", **bson_records.stated(ZTF)} | said)
    with pytest.raises(FormatError, match=r"written by a newer release.*upgrade boom-streams"):
        bson_records.fields(value)


@pytest.mark.parametrize("record", [{}, {"survey": "ZTF"}, {"survey": "ZTF", "v": "two"}, {"survey": "ZTF", "v": 0}])
def test_what_says_no_format_is_the_records_fault(record: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        bson_records.fields(bson.encode(record))


def test_newer_values_of_tables_are_refused() -> None:
    head = chunks.Head(revision=1).dumps()
    assert chunks.Head.loads(head).revision == 1
    with pytest.raises(FormatError):
        chunks.Head.loads(b"\x02" + head[1:])
    for value in (b"\x03" + bytes(40), formats.header(formats.CHUNK, "00000000") + bytes(40)):
        with pytest.raises(FormatError):
            chunks.canonical([(b"ZTF:a:1", value)], ZTF)
    for value in (b"\x03" + bytes(40), formats.header(formats.CELL, "00000000") + bytes(40)):
        with pytest.raises(FormatError):
            cells.objects_in(value)


def test_newer_tiles_letters_and_filtered_records_are_refused() -> None:
    tile = bson.decode(pack([1.0], [2.0], [bson.encode({})]))
    assert len(Tile.unpack(bson.encode(tile))) == 1
    for said in ({"v": 3}, {"columns": "00000000"}):
        with pytest.raises(FormatError):
            Tile.unpack(bson.encode(tile | said))
    with pytest.raises(FormatError):
        dead_letters.read_letter("ZTF", {"dead.version": b"2"}, None, 0, (0, 0))
    (value, *_) = values("ztf.filtered")
    with pytest.raises(FormatError):
        filtered.check_version({"boom.version": "2"})
    filtered.check_version(fastavro.reader(BytesIO(value)).metadata)

"""A filtered record is the same bytes, whichever process encodes it: what is sent again can be recognised."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest
from astropy.io import fits

from boom_streams.errors import BadRecord
from boom_streams.kafka.limits import MAX_BYTES
from boom_streams.schema.filtered import Passed, decode_filtered, decode_matches, encode_body, filtered_schema
from boom_streams.schema.formats import FILTERED
from boom_streams.surveys import get_survey
from tests.schema.make_sample import AVRO, make

RECORD = {
    **{"survey": "ZTF", "objectId": "ZTF00aaaaaaa", "candid": 42, "jd": 2460000.5, "ra": 10.0, "dec": 20.0},
    **{"programid": 1, "received": 2460001.5, "history": "complete", "classifications": {}},
    "alert": {"candidate": {"band": "g", "magpsf": 18.0, "sigmapsf": 0.1}},
}
CODE = "from tests.schema.test_filtered import encoded; print(encoded().hex())"


class _NoSeries:
    raw = b"\x05\x00\x00\x00\x00"


def encoded() -> bytes:
    passed = [Passed("1", "bright", "a", "{}")]
    record = {**RECORD, "series": _NoSeries()}
    return b"".join(encode_body(get_survey("ZTF"), record, frozenset({1}), None).container(passed))


@pytest.mark.parametrize("hash_seed", ["1", "2", "3"])
def test_bytes_do_not_depend_on_the_process(hash_seed: str) -> None:
    variables = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", CODE], env=variables, capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout.strip()) == encoded()


def test_the_record_can_be_read() -> None:
    assert decode_filtered(encoded())["candid"] == 42


def test_matches_are_read_without_the_rest() -> None:
    whole, matches = decode_filtered(encoded()), decode_matches(encoded())
    assert matches == {name: whole[name] for name in matches}
    assert [passed["name"] for passed in matches["filters"]] == ["bright"]
    assert "photometry" not in matches


def test_matches_of_another_writer_are_read_too() -> None:
    stream = io.BytesIO()
    fastavro.writer(stream, filtered_schema(), [decode_filtered(encoded())], codec="deflate")
    assert decode_matches(stream.getvalue()) == decode_filtered(encoded())


def test_filters_whose_annotations_are_too_much_for_one_record_come_in_several() -> None:
    text = '{"x": "' + "y" * 65_000 + '"}'
    passed = [Passed(str(number), f"f{number}", "a", text) for number in range(210)]
    body = encode_body(get_survey("ZTF"), {**RECORD, "series": _NoSeries()}, frozenset({1}), None)
    values = [b"".join(pieces) for pieces in body.containers(passed)]
    assert max(map(len, values)) < MAX_BYTES / 4
    found = [entry["filter_id"] for value in values for entry in decode_matches(value)["filters"]]
    assert found == [entry.filter_id for entry in passed]
    assert [b"".join(pieces) for pieces in body.containers(passed[:2])] == [b"".join(body.container(passed[:2]))]


@pytest.mark.parametrize(
    "value", [b"", b"Obj\x01", b"no Avro", encoded()[:-30]], ids=["nothing", "start", "text", "cut"]
)
def test_what_is_no_filtered_record_is_a_bad_one(value: bytes) -> None:
    with pytest.raises(BadRecord, match="no Avro object container with one alert"):
        decode_filtered(value)


@pytest.mark.parametrize("folder", sorted(AVRO.iterdir()), ids=lambda folder: f"format {folder.name}")
def test_the_sample_of_each_format_is_read_by_an_avro_library_alone(folder: Path) -> None:
    sample = (folder / "sample.avro").read_bytes()
    assert len(sample) < 10_000
    (record,) = fastavro.reader(io.BytesIO(sample))
    (same,) = fastavro.reader(io.BytesIO(sample), json.loads((folder / "filtered.avsc").read_text()))
    assert record == same == decode_filtered(sample)
    assert isinstance(record, dict)
    (passed,) = record["filters"]
    assert json.loads(passed["annotations"]) == {"age": 3.25}
    assert {point["origin"] for point in record["photometry"]} == {"alert", "limit", "forced"}
    assert record["objectId"].startswith("ZTF24z"), "made up"
    with fits.open(io.BytesIO(gzip.decompress(record["cutoutScience"]))) as hdus:
        assert hdus[0].data.shape == (5, 5)


def test_the_newest_sample_has_what_is_written_today() -> None:
    (record,) = fastavro.reader(io.BytesIO((AVRO / str(FILTERED.version) / "sample.avro").read_bytes()))
    (today,) = fastavro.reader(io.BytesIO(make()))
    assert isinstance(record, dict)
    assert isinstance(today, dict)
    assert record.keys() == today.keys()
    assert (record["candid"], record["filters"]) == (today["candid"], today["filters"])

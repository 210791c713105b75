"""Samples for those who extend the broker: every survey's, in every schema version."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest

from boom_streams.errors import BoomError
from boom_streams.surveys import Alert, get_survey
from boom_streams.synthetic.versions import VERSIONS, alert_schema
from boom_streams.testing import (
    classify,
    run_filter,
    sample_alert,
    sample_alerts,
    sample_packets,
    scratch_database,
    versions,
)
from tests.contracts import mayfly

ZTF = get_survey("ZTF")
FORCED = ("3.4", "3.5")
#: Versions of which a real file is there, with its schema in its header, and those of which the schemas are published.
IN_FILES = ("1.1", "1.3", "1.7", "1.8", "2.0", "3.0", "3.1", "3.2", "3.3", "3.5", "4.01")
PUBLISHED = ("3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "4.01", "4.02")

Fields = dict[str, list[tuple[str, Any]]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sample_of_every_version_decodes(version: str) -> None:
    packets = sample_packets("ZTF", 12, version=version)
    alerts = sample_alerts("ZTF", 12, version=version)
    for data, alert, newest in zip(packets, alerts, sample_alerts("ZTF", 12), strict=True):
        (packet,) = fastavro.reader(io.BytesIO(data))
        assert isinstance(packet, dict)
        assert (alert.candid, alert.jd, alert.ra, alert.dec) == (newest.candid, newest.jd, newest.ra, newest.dec)
        assert alert.object_id == str(packet["alertId"] if version == "1.1" else packet["objectId"])
        assert alert.cutouts == newest.cutouts
        own, latest = alert.document["candidate"], newest.document["candidate"]
        assert ("drb" in own, "exptime" in own) == (version >= "3.3", version >= "3.1")
        assert {name: own[name] for name in own.keys() & latest.keys()} == {n: latest[n] for n in own.keys() & latest}
        counts = {name: len(points) for name, points in alert.series.items()}
        whole = {name: len(points) for name, points in newest.series.items()}
        assert counts == {
            "prv_candidates": 1 if version in FORCED else whole["prv_candidates"],
            "prv_nondetections": 0 if version in FORCED or version == "1.1" else whole["prv_nondetections"],
            "fp_hists": whole["fp_hists"] if version in FORCED or version >= "4" else 0,
        }


def test_versions_are_in_the_order_of_time_and_the_newest_is_the_default() -> None:
    assert versions("ZTF") == VERSIONS
    assert sample_packets("ZTF", 3) == sample_packets("ZTF", 3, version=VERSIONS[-1])
    assert len({alert.object_id for alert in sample_alerts()}) < len(sample_alerts()) == 40
    assert isinstance(sample_alert(), Alert)
    assert sample_packets("ZTF", 3, seed=6) != sample_packets("ZTF", 3)


def test_a_survey_makes_its_own() -> None:
    assert len(sample_packets(mayfly.SURVEY, 4)) == 4
    assert sample_alert(mayfly.SURVEY).survey == "MAYFLY"


def test_what_there_is_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BoomError, match=r"no samples of ZTF in schema version '9\.9'"):
        sample_packets("ZTF", 1, version="9.9")
    monkeypatch.setattr(mayfly.SURVEY, "samples", lambda count, seed: [])
    with pytest.raises(BoomError, match="MAYFLY has no samples"):
        sample_packets(mayfly.SURVEY, 1)


def test_a_filter_is_tried_without_a_broker(services: dict[str, str], scratch: Any) -> None:
    alerts = classify(sample_packets())
    bright = [{"$match": {"candidate.magpsf": {"$lt": 18}}}, {"$project": {"objectId": 1, "annotations.x": "$_id"}}]
    found = run_filter(scratch, bright, alerts)
    assert found == {a.candid: {"x": a.candid} for a in sample_alerts() if a.document["candidate"]["magpsf"] < 18} != {}
    assert run_filter(scratch, bright, alerts, permissions={"ZTF": [2]}) == {}
    assert scratch.list_collection_names() == []


@pytest.mark.parametrize("version", IN_FILES)
def test_fields_are_those_of_real_packets(shared: Path, version: str) -> None:
    for path in sorted((shared / "data/alerts/ztf").rglob("*.avro")):
        if path.is_file():
            try:
                with path.open("rb") as file:
                    theirs: Any = fastavro.reader(file).writer_schema
            except Exception:  # a file that is broken, whatever is wrong with it
                continue
            if theirs.get("version") == version:
                assert bare(alert_schema(version)) == bare(theirs)
                return
    pytest.fail(f"no packet of version {version}")


@pytest.mark.parametrize("version", PUBLISHED)
def test_fields_are_those_of_published_schemas(shared: Path, version: str) -> None:
    ours = bare(alert_schema(version))
    for name, fields in ours.items():
        theirs = json.loads((shared / f"data/schemas/ztf/{version}/{name}.avsc").read_text())
        found = [(field["name"], field["type"]) for field in theirs["fields"]]
        assert [n for n, _ in found] == [n for n, _ in fields]
        if name != "alert":
            assert found == fields


def bare(tree: Any) -> Fields:
    """Names and types of the fields of each record of a schema, records by their names."""
    found: Fields = {}

    def visit(kind: Any) -> Any:
        if isinstance(kind, list):
            return [visit(branch) for branch in kind]
        if isinstance(kind, dict) and kind["type"] == "array":
            return ("array", visit(kind["items"]))
        if isinstance(kind, dict) and kind["type"] == "record":
            name: str = kind["name"].rpartition(".")[2]
            found[name] = [(field["name"], visit(field["type"])) for field in kind["fields"]]
            return name
        return kind if isinstance(kind, str) and "." not in kind else str(kind).rpartition(".")[2]

    visit(tree)
    return found


@pytest.fixture
def scratch(services: dict[str, str]) -> Iterator[Any]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database

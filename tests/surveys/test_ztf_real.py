"""The ZTF adapter on every real packet there is."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from boom_streams.avro import containers
from boom_streams.errors import BadRecord
from boom_streams.surveys import Alert
from tests.support.ztf_packets import ZTF, decode

DATA = Path(__file__).parents[3] / "shared" / "data"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason="real data not here: no folder `shared` beside the checkout")


def real_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".avro" and path.is_file():
            yield path.name, path.read_bytes()
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    opened = archive.extractfile(member)
                    if opened is not None:
                        yield member.name, opened.read()


BROKEN = {
    "121540793515135009.avro",
    "121540793515135010.avro",
    "516434762915010006.avro",
    "516442805615015004.avro",
}
TRUNCATED = {"516401801315010009.avro", "516442330015015017.avro", "516476004815015005.avro"}
COUNTS = {
    "20231012": 24,
    "20200202": 12,
    "20231018": 561,
    "20211121_snappy": 110,
    "schema_history": 28,
    "ampel": 83,
}


@real_data
@pytest.mark.parametrize("folder", COUNTS)
def test_every_real_packet_decodes(folder: str) -> None:
    alerts: list[Alert] = []
    for name, data in real_files(DATA / "alerts" / "ztf" / folder):
        try:
            parts, damage = containers.split(data)
        except BadRecord:
            assert name in BROKEN
            continue
        assert (damage is not None) == (name in TRUNCATED)
        for alert in ZTF.decode(parts):
            assert isinstance(alert, Alert), (name, alert)
            alerts.append(alert)
    assert len(alerts) == COUNTS[folder]
    if folder == "20231018":
        assert len({alert.candid for alert in alerts}) == 558
        assert len({alert.object_id for alert in alerts}) == 515
    for alert in alerts:
        own = alert.series["prv_candidates"]
        assert (own["candid"] == alert.candid).sum() == 1
        assert None not in alert.document["candidate"].values()
        bson.encode(alert.document)
        for name, series in alert.series.items():
            documents = ZTF.series[name].to_documents(series)
            assert ZTF.series[name].from_documents(documents).tobytes() == series.tobytes()


@real_data
def test_a_file_that_ends_too_early_has_one_good_alert() -> None:
    ends = Counter(
        len(containers.split(data)[0]) for name, data in real_files(DATA / "alerts/ztf/ampel") if name in TRUNCATED
    )
    assert ends == {1: 3}


@real_data
def test_forced_photometry_in_the_history_of_a_test_packet() -> None:
    (path,) = (DATA / "alerts/ztf/schema_history").glob("forcedphot_test_*")
    series = decode(path.read_bytes()).series
    assert len(series["fp_hists"]) == 18
    assert len(series["prv_nondetections"]) == 0


@real_data
def test_reference_alert() -> None:
    expected = json.loads((DATA / "expected_results.json").read_text())["boom_ztf_2695378462115010012"]

    def near(value: float) -> Any:
        return pytest.approx(value, rel=5e-6, abs=1e-6)

    (path,) = (DATA / "alerts/reference/ztf").glob("2695378462115010012.avro")
    alert = decode(path.read_bytes())
    for name in ("prv_candidates", "prv_nondetections", "fp_hists"):
        assert len(alert.series[name]) == expected["ingest"][name]
    for name in ("rock", "star", "near_brightstar"):
        assert alert.properties[name] is expected["properties"][name]
    own = alert.document["candidate"]
    assert own["psfFlux"] == near(-3957191.6)
    assert own["psfFluxErr"] == near(55887.786)
    assert own["apFlux"] == near(-3650897.6)
    assert own["apFluxErr"] == near(24546.988)
    fp = ZTF.series["fp_hists"].to_documents(alert.series["fp_hists"])
    assert (fp[0]["magpsf"], fp[0]["sigmapsf"], fp[0]["isdiffpos"]) == (
        near(20.801506),
        near(0.3616859),
        True,
    )
    stated = expected["forced_phot_point"]
    (point,) = (p for p in fp if abs(p["jd"] - stated["jd"]) < 1e-7 and "ztf" + p["band"] == stated["band"])
    assert (point["magpsf"], point["isdiffpos"]) == (near(15.949999), False)
    assert point["sigmapsf"] == near(0.002316) or abs(point["sigmapsf"] - 0.002316) < 1e-6
    assert point["psfFlux"] < 0
    for name, value in stated["packet"].items():
        assert point[name] == near(value)
    stated = expected["prv_candidate_point"]
    prv = ZTF.detections.to_documents(alert.series["prv_candidates"])
    (point,) = (p for p in prv if abs(p["jd"] - stated["jd"]) < 1e-7)
    assert (round(point["magpsf"], 4), round(point["sigmapsf"], 4)) == (stated["magpsf"], stated["sigmapsf"])


@real_data
def test_records_that_are_decoded_together_are_those_that_are_decoded_one_by_one() -> None:
    for folder in COUNTS:
        parts: list[bytes] = []
        for name, data in real_files(DATA / "alerts" / "ztf" / folder):
            if name not in BROKEN:
                parts += containers.split(data)[0]
        together = ZTF.decode(parts)
        for part, alert in zip(parts, together, strict=True):
            alone = decode(part)
            assert isinstance(alert, Alert)
            assert alert.document == alone.document
            assert (alert.properties, alert.cutouts) == (alone.properties, alone.cutouts)
            for name, series in alone.series.items():
                assert alert.series[name].tobytes() == series.tobytes(), (folder, alert.candid, name)

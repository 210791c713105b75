"""Nights through the whole chain: nothing lost, nothing twice, the values that others published."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from boom_streams import names
from boom_streams.archive import mongo
from tests.acceptance import made_up
from tests.acceptance.conftest import KINDS, Nights, packets

REFERENCE = 2695378462115010012
SERIES = ("prv_candidates", "prv_nondetections", "fp_hists")
BANDS = {"g": 1, "r": 2, "i": 3}

#: Files of `alerts/ztf` that cannot be read to their end, as the README of the data names them.
BROKEN = {"121540793515135009", "121540793515135010", "516434762915010006", "516442805615015004"}
TRUNCATED = {"516401801315010009", "516442330015015017", "516476004815015005"}


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    """What another broker's tests say about the reference alert."""
    found: dict[str, Any] = json.loads((shared / "data/expected_results.json").read_text())
    return found["boom_ztf_2695378462115010012"]  # type: ignore[no-any-return]


def stored(nights: Nights, kind: str, identity: Any) -> dict[str, Any]:
    found = mongo.database(nights.settings)[names.collection("ZTF", kind)].find_one({"_id": identity})
    assert found is not None
    return found


def close(value: float) -> Any:
    """The tolerance that `expected_results.json` states; times, Julian dates, are stated to a millionth of a day."""
    return pytest.approx(value, abs=1e-6) if value > 2.4e6 else pytest.approx(value, rel=5e-6, abs=1e-6)


def test_every_alert_of_a_night_is_stored_with_its_stamps(nights: Nights) -> None:
    sent = {packet["candid"]: packet for packet in packets(nights.night)}
    assert (nights.counts["once"].alerts, nights.counts["once"].dead) == (sum(1 for _ in packets(nights.night)), 0)
    assert {document["_id"] for document in nights.once["alerts"].values()} == sent.keys()
    assert set(nights.once["alerts_aux"]) == {repr(packet["objectId"]) for packet in sent.values()}
    assert nights.once["alerts_cutouts"].keys() == nights.once["alerts"].keys()
    for document in nights.once["alerts_cutouts"].values():
        packet = sent[document["_id"]]
        assert {name: data for name, data in document.items() if name != "_id"} == {
            name: packet[name]["stampData"] for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference")
        }


def test_the_real_night_has_as_many_alerts_as_its_description_says(real_nights: Nights) -> None:
    assert real_nights.counts["once"].alerts == 561
    assert [len(real_nights.once[kind]) for kind in KINDS[:3]] == [558, 515, 558]


def test_light_curves_are_those_that_the_packets_list(made_up_nights: Nights) -> None:
    """Worked out from the packets by fastavro alone: a made-up survey does not change its mind."""
    expected: dict[str, dict[str, set[tuple[float, int]]]] = {}
    for packet in packets(made_up_nights.night):
        curves = expected.setdefault(packet["objectId"], {name: set() for name in SERIES})
        listed = [*(packet["prv_candidates"] or ()), packet["candidate"]]
        for point in listed:
            seen = point["candid"] is not None
            curves["prv_candidates" if seen else "prv_nondetections"].add((point["jd"], point["fid"]))
        curves["fp_hists"] |= {(point["jd"], point["fid"]) for point in packet["fp_hists"] or ()}
    found = {
        document["_id"]: {name: [(p["jd"], BANDS[p["band"]]) for p in document[name]] for name in SERIES}
        for document in made_up_nights.once["alerts_aux"].values()
    }
    assert found == {name: {k: sorted(points) for k, points in curves.items()} for name, curves in expected.items()}


def test_the_same_night_again_changes_nothing(nights: Nights) -> None:
    assert nights.counts["twice"].alerts == nights.counts["once"].alerts
    for kind in KINDS:
        assert nights.twice[kind].keys() == nights.once[kind].keys()
        changed = [key for key, document in nights.twice[kind].items() if document != nights.once[kind][key]]
        assert changed == [], kind


def test_what_cannot_be_read_is_a_dead_letter_and_nothing_else_is(real_nights: Nights) -> None:
    check_letters(real_nights, BROKEN, TRUNCATED)


def test_every_schema_version_is_stored_and_what_cannot_be_read_is_a_dead_letter(
    made_up_nights: Nights, tmp_path: Path
) -> None:
    check_letters(made_up_nights, {made_up.broken(tmp_path).stem}, {made_up.truncated(tmp_path).stem})
    made_up.every_version(tmp_path / "versions")
    found = mongo.database(made_up_nights.settings)["ZTF_alerts"]
    for path in (tmp_path / "versions").iterdir():
        (packet,) = packets(path)
        stored = found.find_one({"_id": packet["candid"]})
        assert stored is not None, path.stem
        assert stored["schemavsn"] == path.stem
        assert stored["candidate"]["jd"] == packet["candidate"]["jd"]


def check_letters(nights: Nights, broken: set[str], truncated: set[str]) -> None:
    """Every file that cannot be read to its end is a letter, and what is good of it is stored."""
    named = {Path(letter.topic).stem: letter.reason for letter in nights.letters}
    assert named.keys() == broken | truncated
    assert all("its first 1 alerts are good" in named[name] for name in truncated)
    found = mongo.database(nights.settings)["ZTF_alerts"]
    assert found.count_documents({"_id": {"$in": [int(name) for name in truncated]}}) == len(truncated)


def test_the_reference_alert_has_the_published_history(real_nights: Nights, expected: dict[str, Any]) -> None:
    curve = stored(real_nights, "alerts_aux", stored(real_nights, "alerts", REFERENCE)["objectId"])
    counts = {name: len(curve[name]) for name in ("prv_candidates", "prv_nondetections", "fp_hists")}
    assert counts == {name: expected["ingest"][name] for name in counts}
    assert curve["_id"] == expected["objectId"]


def test_the_reference_alert_has_the_published_points(real_nights: Nights, expected: dict[str, Any]) -> None:
    curve = stored(real_nights, "alerts_aux", expected["objectId"])
    published = expected["prv_candidate_point"]
    (point,) = [point for point in curve["prv_candidates"] if point["jd"] == close(published["jd"])]
    assert (point["magpsf"], point["sigmapsf"]) == (close(published["magpsf"]), close(published["sigmapsf"]))
    published = expected["forced_phot_point"]
    band = published["band"].removeprefix("ztf")
    (point,) = [p for p in curve["fp_hists"] if p["band"] == band and p["jd"] == close(published["jd"])]
    packet = published["packet"]
    assert {name: point[name] for name in packet} == {name: close(value) for name, value in packet.items()}
    assert point["psfFlux"] < 0
    magnitude = -2.5 * math.log10(-packet["forcediffimflux"]) + packet["magzpsci"]
    assert point["magpsf"] == pytest.approx(magnitude, abs=1e-5)
    assert -2.5 * math.log10(-point["psfFlux"]) + 31.4 == pytest.approx(magnitude, abs=1e-5)


def test_the_reference_alert_has_the_published_properties(real_nights: Nights, expected: dict[str, Any]) -> None:
    properties = stored(real_nights, "alerts", REFERENCE)["properties"]
    assert {name: properties[name] for name in expected["properties"]} == expected["properties"]
    published = expected["photstats"]
    assert properties["photstats"].keys() == published.keys()
    for band, statistics in published.items():
        found = properties["photstats"][band]
        for name in ("peak_mag", "peak_jd", "dt"):
            assert found[name] == close(statistics[name]), (band, name)
        for slope in ("rising", "fading"):
            for name, value in statistics[slope].items():
                if isinstance(value, str):  # stated as NaN, which is dropped
                    assert name not in found[slope], (band, slope, name)
                else:
                    assert found[slope][name] == close(value), (band, slope, name)


def test_the_reference_alert_passes_the_published_filter(real_nights: Nights, expected: dict[str, Any]) -> None:
    assert REFERENCE in real_nights.passed["published"]
    matches = mongo.database(real_nights.settings)["ZTF_filter_matches"]
    (match,) = matches.find({"candid": REFERENCE, "filter_name": "published"})
    assert match["annotations"] == expected["filter"]["annotations"]

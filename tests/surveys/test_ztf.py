"""The ZTF adapter: made-up packets for each rule."""

from __future__ import annotations

import io
import math
from typing import Any

import bson
import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.avro import containers
from boom_streams.errors import BadRecord, SettingsError
from boom_streams.surveys import Alert, get_survey
from boom_streams.surveys.ztf.packets import properties
from tests.support.ztf_packets import ZTF, candidate, container, decode, detection, forced, limit, packet_schema


def test_document_keeps_the_whole_candidate_without_nulls() -> None:
    own = candidate(ssnamenr="null", nothing=math.nan, drbversion="d6", rb=math.inf, jdstarthist=2459000.0)
    alert = decode(container(candidate=own))
    kept = alert.document["candidate"]
    assert {name: kept[name] for name in ("jd", "fid", "candid", "drbversion", "band", "isdiffpos")} == {
        "jd": 2460000.5,
        "fid": 1,
        "candid": 42,
        "drbversion": "d6",
        "band": "g",
        "isdiffpos": True,
    }
    assert not {"ssnamenr", "nothing", "rb", "sgscore1"} & set(kept)
    assert kept["psfFlux"] == pytest.approx(10 ** (-0.4 * (18.0 - 31.4)))
    assert kept["snr_psf"] == pytest.approx(1.0857362 / 0.1)
    assert kept["apFlux"] == pytest.approx(10 ** (-0.4 * (18.1 - 31.4)), rel=1e-6)
    assert alert.document["_id"] == 42
    assert alert.document["coordinates"]["radec_geojson"] == {"type": "Point", "coordinates": [-170.0, 20.0]}
    assert alert.history_start == 2459000.0
    assert alert.cutouts == {"cutoutScience": b"gz"}
    assert bson.decode(bson.encode(alert.document)) == alert.document


def test_own_detection_is_in_the_series_and_replaces_a_listed_one() -> None:
    prv = [detection(2459990.5, 41, magpsf=19.0), detection(2460000.5, 42, magpsf=25.0)]
    series = decode(container(prv_candidates=prv)).series["prv_candidates"]
    assert series["candid"].tolist() == [41, 42]
    assert series["magpsf"].tolist() == [19.0, 18.0]
    assert series["drb"][1] == np.float32(0.9)


def test_equal_points_the_last_counts_and_series_are_sorted() -> None:
    prv = [
        detection(2459995.5, 40),
        detection(2459990.5, 41, magpsf=19.0),
        detection(2459990.5, 41, magpsf=19.5),
        detection(2459990.5, 39, fid=2),
        detection(2459990.5, None, magpsf=17.0),
        detection(2459990.5, None, magpsf=17.5),
        limit(2459980.5),
        limit(2459980.5, diffmaglim=19.0),
        limit(2459980.5, fid=2),
        limit(2459980.5, programid=2),
    ]
    fp = [forced(2459970.5, 50.0), forced(2459960.5, 10.0), forced(2459970.5, 60.0)]
    series = decode(container(prv_candidates=prv, fp_hists=fp)).series
    none = np.iinfo(np.int64).min
    found = series["prv_candidates"]
    assert list(zip(found["jd"], found["fid"], found["candid"], found["magpsf"], strict=True)) == [
        (2459990.5, 1, none, 17.5),
        (2459990.5, 1, 41, 19.5),
        (2459990.5, 2, 39, 18.0),
        (2459995.5, 1, 40, 18.0),
        (2460000.5, 1, 42, 18.0),
    ]
    limits = series["prv_nondetections"]
    assert sorted(zip(limits["fid"], limits["programid"], limits["diffmaglim"], strict=True)) == [
        (1, 1, 19.0),
        (1, 2, 20.0),
        (2, 1, 20.0),
    ]
    assert limits["psfFluxErr"][-1] == pytest.approx(10 ** (-0.4 * (20.0 - 31.4)) / 5)
    assert series["fp_hists"]["forcediffimflux"].tolist() == [10.0, 60.0]


@pytest.mark.parametrize(
    "point",
    [
        detection(2459990.5, 1, sigmapsf=None),
        detection(2459990.5, 1, isdiffpos=None),
        detection(2459990.5, 1, magpsf=math.nan),
        detection(math.nan, 1),
        detection(2459990.5, 1, magpsf=math.inf),
        detection(2459990.5, 1, fid=4),
        detection(2459990.5, 1, fid=400),
        detection(2459990.5, 1, field=2**40),
        limit(2459990.5, diffmaglim=None),
        limit(2459990.5, magpsf=18.0),
        limit(2459990.5, isdiffpos="t"),
    ],
)
def test_one_bad_point_drops_only_that_point(point: dict[str, Any]) -> None:
    good = [detection(2459989.5, 5), limit(2459988.5)]
    alert, other = ZTF.decode([container(prv_candidates=[*good, point]), container(prv_candidates=good)])
    assert isinstance(alert, Alert)
    assert isinstance(other, Alert)
    for name in ("prv_candidates", "prv_nondetections"):
        assert alert.series[name].tobytes() == other.series[name].tobytes()
    assert len(alert.series["prv_candidates"]) == 2
    assert len(alert.series["prv_nondetections"]) == 1


def test_forced_photometry() -> None:
    fp = [
        forced(1.5, -31.0),
        forced(2.5, 30.0),
        forced(3.5, -99999.0),
        forced(4.5, None),
        forced(5.5, 40.0, -99999.0),
        forced(6.5, 40.0, None),
        forced(7.5, 40.0, magzpsci=None),
        forced(8.5, 40.0, 0.0),
    ]
    series = decode(container(fp_hists=fp)).series["fp_hists"]
    documents = ZTF.series["fp_hists"].to_documents(series)
    assert [document["jd"] for document in documents] == [1.5, 2.5, 3.5, 4.5]
    scale = 10 ** (0.4 * (31.4 - 26.0))
    assert documents[0]["psfFlux"] == pytest.approx(-31 * scale)
    assert documents[0]["psfFluxErr"] == pytest.approx(10 * scale)
    assert documents[0]["magpsf"] == pytest.approx(26 - 2.5 * math.log10(31), abs=1e-6)
    assert documents[0]["sigmapsf"] == pytest.approx(1.0857362 * 10 / 31)
    assert documents[0]["isdiffpos"] is False
    assert documents[0]["band"] == "r"
    assert not {"magpsf", "sigmapsf", "isdiffpos", "snr_psf"} & set(documents[1])
    for document in documents[2:]:
        assert "psfFlux" not in document
        assert "forcediffimflux" not in document
        assert document["psfFluxErr"] == pytest.approx(10 * scale)


@pytest.mark.parametrize("jd", [1e300, -1e300, -1.0, 1e8, math.inf, math.nan])
def test_a_point_whose_time_is_none_is_dropped_and_not_the_alert(jd: float) -> None:
    alert = decode(
        container(prv_candidates=[detection(jd, 7), detection(2460000.25, 8), limit(jd)], fp_hists=[forced(jd, 40.0)])
    )
    assert alert.series["prv_candidates"]["candid"].tolist() == [8, 42]
    assert not len(alert.series["prv_nondetections"])
    assert not len(alert.series["fp_hists"])


def test_packets_without_history_or_stamps() -> None:
    alert = decode(container(leave_out=("fp_hists", "cutoutTemplate"), cutoutScience=None))
    assert {name: len(series) for name, series in alert.series.items()} == {
        "prv_candidates": 1,
        "prv_nondetections": 0,
        "fp_hists": 0,
    }
    assert alert.cutouts == {}
    assert math.isnan(alert.history_start)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"candidate": candidate(fid=4)}, "fid is 4"),
        ({"candidate": candidate(fid=None)}, "fid is None"),
        ({"candidate": candidate(jd=None)}, "jd is missing"),
        ({"candidate": candidate(jd=math.nan)}, "jd is nan"),
        ({"candidate": candidate(jd=1e300)}, "jd is 1e+300, not in"),
        ({"candidate": candidate(jd=-1.0)}, "jd is -1.0, not in"),
        ({"candidate": candidate(ra=360.1)}, "ra is 360.1"),
        ({"candidate": candidate(ra=-0.1)}, "ra is -0.1"),
        ({"candidate": candidate(dec=90.1)}, "dec is 90.1"),
        ({"candidate": candidate(dec=math.inf)}, "dec is inf"),
        ({"candidate": candidate(magpsf=None)}, "magpsf is missing"),
        ({"candidate": candidate(sigmapsf=math.nan)}, "sigmapsf is missing"),
        ({"candidate": candidate(isdiffpos=None)}, "isdiffpos is missing"),
        ({"candidate": candidate(field=2**40)}, "field does not fit"),
        ({"candidate": None}, "candidate is missing"),
        ({"objectId": None}, "objectId is missing"),
        ({"candid": None}, "candid is missing"),
        ({"leave_out": ("candidate", "candid")}, "its schema lacks candid, candidate"),
        ({"leave_out": ("objectId",)}, "its schema lacks objectId"),
    ],
)
def test_bad_alerts_name_the_reason_and_leave_the_others(changes: dict[str, Any], reason: str) -> None:
    bad, good, also_bad = ZTF.decode([container(**changes), container(), b"nonsense"])
    assert isinstance(bad, BadRecord)
    assert reason in str(bad)
    assert isinstance(good, Alert)
    assert isinstance(also_bad, BadRecord)


def test_several_alerts_in_one_container_must_be_split() -> None:
    out = io.BytesIO()
    _, packet = containers.read_one(container())
    fastavro.writer(out, packet_schema(), [packet, packet])
    (answer,) = ZTF.decode([out.getvalue()])
    assert isinstance(answer, containers.NotSingle)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("t", True), ("T", True), ("true", True), ("1", True), ("f", False), ("0", False), ("", False)],
)
def test_isdiffpos(value: str, expected: bool) -> None:
    kept = decode(container(candidate=candidate(isdiffpos=value))).document["candidate"]
    assert kept["isdiffpos"] is expected
    assert (kept["psfFlux"] > 0) is expected


@given(st.permutations(range(5)), st.data())
def test_a_batch_is_its_members(order: list[int], data: st.DataObject) -> None:
    packets = [
        container(prv_candidates=[detection(2459990.5 + n, n) for n in range(5)], candid=100),
        container(prv_candidates=[limit(2459990.5 + n) for n in range(3)], fp_hists=[forced(3.5, 50.0)]),
        container(leave_out=("fp_hists",), prv_candidates=[limit(2459990.5), detection(2459991.5, None)]),
        b"nonsense",
        container(candidate=candidate(fid=9)),
    ]
    chosen = [packets[i] for i in order[: data.draw(st.integers(0, 5))]]
    for packet, together in zip(chosen, ZTF.decode(chosen), strict=True):
        (alone,) = ZTF.decode([packet])
        if isinstance(alone, BadRecord):
            assert str(alone) == str(together)
            continue
        assert isinstance(together, Alert)
        assert alone.document == together.document
        assert {n: s.tobytes() for n, s in alone.series.items()} == {n: s.tobytes() for n, s in together.series.items()}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, False),
        ({"ssdistnr": 5.0}, True),
        ({"ssdistnr": 0.0, "ssmagnr": 19.0}, True),
        ({"ssdistnr": 12.0, "ssmagnr": 19.0}, False),
        ({"ssdistnr": -999.0, "ssmagnr": -999.0}, False),
        ({"ssdistnr": 5.0, "ssmagnr": -999.0}, False),
    ],
)
def test_rock(columns: dict[str, float], expected: bool) -> None:
    assert properties(columns)["rock"] is expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, False),
        ({"sgscore1": 0.77, "distpsnr1": 2.0}, True),
        ({"sgscore1": float(np.float32(0.76)), "distpsnr1": 1.0}, False),
        ({"sgscore1": 0.77, "distpsnr1": 2.1}, False),
        ({"sgscore1": 0.77, "distpsnr1": -999.0}, False),
        ({"sgscore1": 0.3, "distpsnr1": 1.0, "srmag1": 20.0, "szmag1": 16.9}, True),
        ({"sgscore1": 0.3, "distpsnr1": 1.0, "srmag1": 20.0, "simag1": 16.9}, True),
        ({"sgscore1": 0.3, "distpsnr1": 1.1, "srmag1": 20.0, "simag1": 16.9}, False),
        ({"sgscore1": 0.3, "distpsnr1": 1.0, "srmag1": 20.0, "simag1": 17.0}, False),
        ({"sgscore1": 0.3, "distpsnr1": 1.0, "srmag1": 20.0, "simag1": -999.0}, False),
        ({"sgscore1": 0.1, "distpsnr1": 0.0, "srmag1": 20.0, "simag1": 16.0}, False),
    ],
)
def test_star(columns: dict[str, float], expected: bool) -> None:
    assert properties(columns)["star"] is expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, False),
        ({"neargaiabright": 20.0, "maggaiabright": 12.0}, True),
        ({"neargaiabright": 20.1, "maggaiabright": 12.0}, False),
        ({"neargaiabright": -999.0, "maggaiabright": -999.0}, False),
        ({"neargaiabright": 3.0, "maggaiabright": 12.1}, False),
        ({"sgscore3": 0.5, "distpsnr3": 20.0, "srmag3": 15.0}, True),
        ({"sgscore2": 0.5, "distpsnr2": 20.0, "srmag2": 15.1}, False),
        ({"sgscore2": 0.5, "distpsnr2": 20.0, "srmag2": -999.0}, False),
        ({"sgscore2": float(np.float32(0.49)), "distpsnr2": 20.0, "srmag2": 15.0}, False),
        ({"sgscore2": 0.5, "distpsnr2": -999.0, "srmag2": 14.0}, True),
        ({"sgscore1": 0.5, "distpsnr1": 0.4, "sgmag1": -999.0}, True),
        ({"sgscore1": 0.5, "distpsnr1": 0.4, "simag1": 16.9}, True),
        ({"sgscore1": 0.5, "distpsnr1": 0.4, "srmag1": 17.0}, False),
        ({"sgscore1": 0.5, "distpsnr1": 0.5, "srmag1": 16.0}, False),
    ],
)
def test_near_brightstar(columns: dict[str, float], expected: bool) -> None:
    assert properties(columns)["near_brightstar"] is expected


def test_sso() -> None:
    assert properties({"ssdistnr": -999.0})["sso"] == {"is_sso": False, "source": "ipac"}
    assert properties({"ssdistnr": 3.0, "ssmagnr": 18.0, "ssnamenr": "123"})["sso"] == {
        "is_sso": True,
        "designation": "123",
        "separation_arcsec": 3.0,
        "predicted_mag": 18.0,
        "source": "ipac",
    }


def test_unknown_survey() -> None:
    with pytest.raises(SettingsError, match=r"'LSS'.*ZTF"):
        get_survey("LSS")


@pytest.mark.parametrize("together", [1, 20], ids=["one by one", "together"])
def test_names_and_states_are_whole_in_light_curves_or_not_there(together: int) -> None:
    name, state = "C/2019 Y4-B (ATLAS), a comet in pieces", "56,57,61,62,64,65"
    packet = container(
        candidate=candidate(ssnamenr=name),
        prv_candidates=[detection(2459990.5, 1, ssnamenr=name), detection(2459991.5, 2, ssnamenr=49 * "x")],
        fp_hists=[forced(2459990.5, 50.0, procstatus=state)],
    )
    alert, *_ = ZTF.decode([packet] * together)
    assert isinstance(alert, Alert)
    names = [point.get("ssnamenr") for point in ZTF.detections.to_documents(alert.series["prv_candidates"])]
    assert names == [name, None, name]
    assert alert.series["fp_hists"]["procstatus"].tolist() == [state.encode()]
    assert len(name) == 38

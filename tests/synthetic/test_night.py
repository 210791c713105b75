"""A made-up night: as valid, and as consistent, as a real one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from astropy.io import fits
from click.testing import CliRunner

from boom_streams.astro.fits import pixels
from boom_streams.astro.photometry import ZP_NJY
from boom_streams.cli import cli
from boom_streams.errors import BoomError
from boom_streams.models import History, Scorer, Subject, history, triplets
from boom_streams.surveys import Alert, get_survey
from boom_streams.surveys.ztf import models
from boom_streams.synthetic import Night, make_night, schema
from boom_streams.synthetic.population import KINDS
from boom_streams.synthetic.stamps import moffat

ALERTS = 150
STAMPS = get_survey("ZTF").stamps.names
Packet = dict[str, Any]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return make_night(tmp_path_factory.mktemp("synthetic") / "night", ALERTS, 3)


@pytest.fixture(scope="module")
def containers(night: Night) -> list[bytes]:
    return [file.read_bytes() for file in sorted(night.folder.glob("*.avro"))]


@pytest.fixture(scope="module")
def packets(containers: list[bytes]) -> list[Packet]:
    return [next(fastavro.reader(io.BytesIO(container))) for container in containers]


@pytest.fixture(scope="module")
def truth(night: Night) -> dict[int, dict[str, str]]:
    with night.truth.open() as file:
        return {int(row["candid"]): row for row in csv.DictReader(file)}


def points(packets: list[Packet]) -> Iterator[Packet]:
    """All detections: the alerts' own, and those of their histories."""
    for packet in packets:
        yield packet["candidate"]
        yield from (point for point in packet["prv_candidates"] or () if point["candid"] is not None)


def test_the_schema_is_that_of_ztf(shared: Path) -> None:
    def fields(tree: Any) -> list[tuple[str, Any]]:
        return [(field["name"], field["type"]) for field in tree["fields"]]

    made = {field["name"]: field["type"] for field in schema.alert_schema()["fields"]}
    ours = {
        "alert": schema.alert_schema(),
        "candidate": made["candidate"],
        "prv_candidate": made["prv_candidates"][1]["items"],
        "fp_hist": made["fp_hists"][1]["items"],
        "cutout": made["cutoutScience"][1],
    }
    for name, tree in ours.items():
        theirs = json.loads((shared / f"data/schemas/ztf/4.02/{name}.avsc").read_text())
        if name == "alert":
            assert [field for field, _ in fields(tree)] == [field for field, _ in fields(theirs)]
        else:
            assert fields(tree) == fields(theirs)


def test_a_seed_gives_the_same_bytes(night: Night, tmp_path: Path) -> None:
    few = make_night(tmp_path / "few", 20, 3)
    for file in few.folder.glob("*.avro"):
        assert file.read_bytes() == (night.folder / file.name).read_bytes()
    again = make_night(tmp_path / "again", 20, 3)
    for file in few.folder.rglob("*.*"):
        assert file.read_bytes() == (again.folder / file.relative_to(few.folder)).read_bytes()
    other = make_night(tmp_path / "other", 20, 4)
    assert not {file.name for file in other.folder.glob("*.avro")} & {file.name for file in night.folder.glob("*.avro")}


def test_every_container_is_decoded(containers: list[bytes], packets: list[Packet]) -> None:
    alerts = get_survey("ztf").decode(containers)
    assert len(alerts) == ALERTS
    assert [alert for alert in alerts if not isinstance(alert, Alert)] == []
    for alert, packet in zip(alerts, packets, strict=True):
        assert isinstance(alert, Alert)
        listed = packet["prv_candidates"] or []
        assert len(alert.series["prv_candidates"]) == 1 + sum(p["candid"] is not None for p in listed)
        assert len(alert.series["prv_nondetections"]) == sum(p["candid"] is None for p in listed)
        assert len(alert.series["fp_hists"]) == len(packet["fp_hists"] or [])


def test_all_numbers_are_finite(packets: list[Packet]) -> None:
    for packet in packets:
        for point in (packet["candidate"], *(packet["prv_candidates"] or ()), *(packet["fp_hists"] or ())):
            assert all(math.isfinite(value) for value in point.values() if isinstance(value, float))
        empty = {name for name, value in packet["candidate"].items() if value is None}
        assert empty <= {"objectidps3"}
        assert len(models.acai(packet["candidate"], History(*[0.0] * 5))) == 25


def test_every_kind_is_there_and_the_truth_joins(
    night: Night, packets: list[Packet], truth: dict[int, dict[str, str]]
) -> None:
    assert [packet["candid"] for packet in packets] == sorted(truth)
    assert set(night.kinds) == {row["kind"] for row in truth.values()} == set(KINDS)
    assert (night.alerts, night.objects) == (ALERTS, len({row["objectId"] for row in truth.values()}))
    for packet in packets:
        row = truth[packet["candid"]]
        assert row["objectId"] == packet["objectId"]
        assert float(row["jd"]) == packet["candidate"]["jd"]


def test_measurements_scatter_about_the_truth(packets: list[Packet], truth: dict[int, dict[str, str]]) -> None:
    pulls = []
    for packet in packets:
        candidate, row = packet["candidate"], truth[packet["candid"]]
        if row["flux_njy"]:
            sign = 1 if candidate["isdiffpos"] == "t" else -1
            flux = sign * 10 ** (-0.4 * (candidate["magpsf"] - ZP_NJY))
            pulls.append((flux - float(row["flux_njy"])) / (flux * candidate["sigmapsf"] / 1.0857))
    assert len(pulls) > 100
    assert abs(np.mean(pulls)) < 0.4
    assert 0.7 < np.std(pulls) < 1.3


def test_a_point_has_one_brightness(packets: list[Packet]) -> None:
    """The magnitude is that of the forced flux at the zero point, and the errors agree."""
    compared = 0
    for packet in packets:
        forced = {point["pid"]: point for point in packet["fp_hists"] or ()}
        for point in packet["prv_candidates"] or ():
            other = forced[point["pid"]]
            flux, error = other["forcediffimflux"], other["forcediffimfluxunc"]
            if point["candid"] is None:
                continue
            compared += 1
            assert abs(flux) > 5 * error
            assert point["magpsf"] == pytest.approx(other["magzpsci"] - 2.5 * math.log10(abs(flux)), abs=1e-4)
            assert point["sigmapsf"] == pytest.approx(1.0857362 * error / abs(flux), rel=1e-4)
            assert point["isdiffpos"] == ("t" if flux > 0 else "f")
    assert compared > 300


def test_detections_are_those_of_sources_that_are_bright_enough(packets: list[Packet]) -> None:
    for point in points(packets):
        assert point["magpsf"] < point["diffmaglim"] + 0.05
        assert point["magdiff"] == pytest.approx(point["magap"] - point["magpsf"], abs=1e-4)
        assert point["magfromlim"] == pytest.approx(point["diffmaglim"] - point["magap"], abs=1e-4)


def test_identifiers_tell_detections_apart(packets: list[Packet]) -> None:
    known: dict[int, Packet] = {}
    for point in points(packets):
        first = known.setdefault(point["candid"], point)
        common = point.keys() & first.keys()
        assert {name: point[name] for name in common} == {name: first[name] for name in common}
        assert point["candid"] // 1_000_000 == point["pid"]
        assert point["nid"] == math.floor(point["jd"] - 2457754.5) == point["pid"] // 10**9
    where = {(point["jd"], point["field"]) for point in points(packets)}
    assert len({jd for jd, _ in where}) == len(where)


def test_histories_are_in_order_and_before_the_alert(packets: list[Packet]) -> None:
    for packet in packets:
        jd = packet["candidate"]["jd"]
        for name in ("prv_candidates", "fp_hists"):
            times = [point["jd"] for point in packet[name] or ()]
            assert times == sorted(times)
            assert all(jd - 30 <= time < jd for time in times)
        assert packet["candidate"]["jdstarthist"] <= packet["candidate"]["jdendhist"] == jd
        assert 1 <= packet["candidate"]["ndethist"] <= packet["candidate"]["ncovhist"]


def test_an_object_alerts_in_both_bands(packets: list[Packet]) -> None:
    bands: dict[str, set[int]] = defaultdict(set)
    for packet in packets:
        bands[packet["objectId"]].add(packet["candidate"]["fid"])
    assert sum(seen == {1, 2} for seen in bands.values()) > len(bands) / 2


def test_kinds_look_as_they_should(packets: list[Packet], truth: dict[int, dict[str, str]]) -> None:
    for packet in packets:
        candidate, kind = packet["candidate"], truth[packet["candid"]]["kind"]
        if kind == "mover":
            assert 0 <= candidate["ssdistnr"] < 5
            assert (packet["prv_candidates"], packet["fp_hists"], candidate["ndethist"]) == (None, None, 1)
        else:
            assert candidate["ssdistnr"] == -999
        if kind == "artefact":
            assert candidate["drb"] < 0.7
            assert not [point for point in packet["prv_candidates"] if point["candid"] is not None]
        if kind in ("variable", "outburst"):
            assert candidate["sgscore1"] > 0.85
            assert candidate["distpsnr1"] < 1
        if kind in ("supernova", "tidal_disruption"):
            assert candidate["isdiffpos"] == "t"
            assert candidate["sgscore1"] < 0.5
            assert 0 < float(truth[packet["candid"]]["redshift"]) < 0.1
    signs = {packet["candidate"]["isdiffpos"] for packet in packets if truth[packet["candid"]]["kind"] == "variable"}
    assert signs == {"t", "f"}


def test_stamps_are_fits_and_their_difference_is_exact(packets: list[Packet]) -> None:
    for packet in packets:
        images = {name: pixels(packet[name]["stampData"]) for name in STAMPS}
        expected = images["cutoutScience"] - images["cutoutTemplate"]
        np.testing.assert_array_equal(images["cutoutDifference"], expected)
        assert all(image.shape == (63, 63) for image in images.values())
    for name in STAMPS:
        with fits.open(io.BytesIO(gzip.decompress(packets[0][name]["stampData"]))) as file:
            file.verify("exception")
            np.testing.assert_array_equal(file[0].data, pixels(packets[0][name]["stampData"]))
    stamps = [{name: packet[name]["stampData"] for name in STAMPS} for packet in packets]
    assert set(triplets(stamps, STAMPS)[1]) == {None}


def test_the_source_is_in_the_difference(packets: list[Packet], truth: dict[int, dict[str, str]]) -> None:
    """Photometry with the profile of a point source gives the true flux, about as well as the packet says."""
    pulls = []
    for packet in packets:
        candidate, row = packet["candidate"], truth[packet["candid"]]
        if row["kind"] == "artefact":
            continue
        point = moffat(0.0, 0.0, candidate["fwhm"])
        flux = float((pixels(packet["cutoutDifference"]["stampData"]) * point).sum() / (point**2).sum())
        true = float(row["flux_njy"]) * 10 ** (0.4 * (candidate["magzpsci"] - ZP_NJY))
        error = candidate["sigmapsf"] / 1.0857 * 10 ** (0.4 * (candidate["magzpsci"] - candidate["magpsf"]))
        pulls.append((flux - true) / error)
    assert abs(np.mean(pulls)) < 0.3
    assert 0.5 < np.std(pulls) < 1.3


def test_real_models_take_it_for_what_it_is(
    shared: Path, containers: list[bytes], truth: dict[int, dict[str, str]]
) -> None:
    survey = get_survey("ztf")
    alerts = [alert for alert in survey.decode(containers) if isinstance(alert, Alert)]
    subjects = [
        Subject(alert.document["candidate"], history(survey, alert.series, alert.jd, alert.programid))
        for alert in alerts
    ]
    images, reasons = triplets([alert.cutouts for alert in alerts], STAMPS)
    names = ("acai_h", "acai_n", "acai_v", "acai_b", "braai")
    found = Scorer(shared / "models", names).score(subjects, images, reasons)
    scores = defaultdict(list)
    for alert, each in zip(alerts, found, strict=True):
        assert not each.unscored
        scores[truth[alert.candid]["kind"]].append([each.classifications[name] for name in names])
    medians = {kind: dict(zip(names, np.median(rows, axis=0), strict=True)) for kind, rows in scores.items()}
    assert medians["supernova"]["acai_h"] > 0.8
    assert medians["tidal_disruption"]["acai_n"] > 0.3
    assert medians["variable"]["acai_v"] > 0.8
    assert medians["outburst"]["acai_v"] > 0.5
    assert medians["artefact"]["acai_b"] > 0.5
    assert all((median["braai"] > 0.5) == (kind != "artefact") for kind, median in medians.items())


def test_catalogues_have_the_counterparts(
    night: Night, packets: list[Packet], truth: dict[int, dict[str, str]]
) -> None:
    tables = {file.stem: pl.read_parquet(file) for file in night.catalogs}
    assert set(tables) == {"PS1_DR1", "Gaia_DR3", "NED", "milliquas_v6", "DESI_DR1", "LS_DR10_PHOTOZ"}
    for table in tables.values():
        assert table.columns[:3] == ["_id", "ra", "dec"]
        assert 0 < table.height == table["_id"].n_unique()
    places = {name: set(zip(table["ra"], table["dec"], strict=True)) for name, table in tables.items()}
    redshifts = {(row["ra"], row["dec"]): row["z"] for row in tables["NED"].iter_rows(named=True)}
    identities = set(tables["PS1_DR1"]["_id"])
    found = 0
    for packet in packets:
        assert packet["candidate"]["objectidps1"] in identities
        row = truth[packet["candid"]]
        if not row["counterpart"]:
            continue
        where = float(row["counterpart_ra"]), float(row["counterpart_dec"])
        assert where in places["PS1_DR1"]
        assert (where in places["milliquas_v6"]) == (row["counterpart"] == "nucleus")
        if row["redshift"]:
            assert where in places["LS_DR10_PHOTOZ"]
            found += where in redshifts
            assert redshifts.get(where, float(row["redshift"])) == pytest.approx(float(row["redshift"]), abs=1e-5)
    assert found > 50


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.avro").write_bytes(b"x")
    with pytest.raises(BoomError, match="is not empty"):
        make_night(tmp_path, 1)
    with pytest.raises(BoomError, match="cannot be used"):
        make_night(tmp_path / "mine.avro", 1)


def test_the_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["synthesize", str(tmp_path / "night"), "--alerts", "3", "--seed", "5"])
    assert done.exit_code == 0, done.output
    assert "3 alerts of " in done.output
    assert len(list((tmp_path / "night").glob("*.avro"))) == 3

"""Scores: those that the authors published, and what keeps an alert from a model."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boom_streams.models import History, Scorer, Subject, history, known_models, triplets
from boom_streams.surveys import Alert, get_survey, packed_points

ZTF = get_survey("ZTF")
PUBLISHED = {"btsbot": "expected_scores", "braai": "new_drb", **{f"acai_{x}": f"acai_{x}" for x in "hvonb"}}

MODELS = known_models()


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, Any]]:
    """The published alerts of one object, numbers as numbers, in time."""
    with (shared / "data/models_reference/btsbot_reference_ZTF23abhvlji.csv").open() as file:
        read = list(csv.DictReader(file))
    text = ("objectId", "isdiffpos")
    return [{name: value if name in text else float(value) for name, value in row.items() if value} for row in read]


@pytest.fixture(scope="module")
def images(shared: Path) -> Any:
    return np.load(shared / "data/models_reference/btsbot_reference_ZTF23abhvlji_triplets.npy").astype(np.float32)


@pytest.fixture(scope="module")
def scorer(shared: Path) -> Scorer:
    return Scorer(shared / "models", MODELS)


def past(row: dict[str, Any]) -> History:
    names = ("age", "days_since_peak", "days_to_peak", "peakmag_so_far", "maxmag_so_far")
    return History(*(row[name] for name in names))


def test_published_scores(rows: list[dict[str, Any]], images: Any, scorer: Scorer) -> None:
    assert len(rows) == len(images) == 23
    nothing = [None] * len(rows)
    found = scorer.score([Subject(row, past(row)) for row in rows], images, nothing)
    redone = scorer.score([Subject({**row, "drb": row["new_drb"]}, past(row)) for row in rows], images, nothing)
    for row, scores, with_new_drb in zip(rows, found, redone, strict=True):
        assert not scores.unscored
        for name, column in PUBLISHED.items():
            told = with_new_drb if name == "btsbot" else scores
            assert told.classifications[name] == pytest.approx(row[column], abs=1e-5)


def test_an_image_that_overflows_is_scored_as_its_authors_do(shared: Path, scorer: Scorer) -> None:
    names = ("697252384215015000", "1703222170415010089")
    alerts = ZTF.decode([(shared / f"data/faults/{name}.avro").read_bytes() for name in names])
    good = [alert for alert in alerts if isinstance(alert, Alert)]
    seen, reasons = triplets([alert.cutouts for alert in good], ZTF.stamps.names)
    none = History(*[None] * 5)
    first, second = scorer.score([Subject(a.document["candidate"], none) for a in good], seen, reasons)
    assert first.classifications["braai"] == pytest.approx(0.9933, abs=1e-4)
    expected = {"braai": 0.107, "acai_v": 0.0234, "acai_b": 0.960}
    assert {name: second.classifications[name] for name in expected} == pytest.approx(expected, abs=5e-4)


def test_history_is_that_of_the_rows(rows: list[dict[str, Any]]) -> None:
    listed = [{name: row[name] for name in ("jd", "fid", "magpsf", "programid")} for row in rows]
    series = {"prv_candidates": packed_points.pack(listed, ZTF.detections.dtype)}
    for row in rows:
        found = history(ZTF, series, row["jd"], 3)
        assert found == pytest.approx(past(row), abs=2e-3)  # the times are rounded to 0.001 d
        assert (found.peakmag, found.faintestmag) == pytest.approx((row["peakmag_so_far"], row["maxmag_so_far"]))
        assert row["ncovhist"] - row["ndethist"] == row["nnotdet"]


def test_history_is_of_points_that_everyone_may_see(rows: list[dict[str, Any]]) -> None:
    listed = [
        {"jd": 1.0, "fid": 1, "magpsf": 15.0, "programid": 2},
        {"jd": 2.0, "fid": 1, "magpsf": 18.0, "programid": 1},
    ]
    series = {"prv_candidates": packed_points.pack(listed, ZTF.detections.dtype)}
    assert history(ZTF, series, 2.0, 1) == History(0.0, 0.0, 0.0, 18.0, 18.0)
    assert history(ZTF, series, 2.0, 2) == History(1.0, 1.0, 0.0, 15.0, 18.0)


def test_a_missing_feature_keeps_one_model_from_the_alert(
    rows: list[dict[str, Any]], images: Any, scorer: Scorer
) -> None:
    row = {name: value for name, value in rows[0].items() if name != "distpsnr3"}  # ACAI's, not BTSbot's
    (found,) = scorer.score([Subject(row, past(row))], images[:1], [None])
    assert set(found.classifications) == {"btsbot", "braai"}
    assert found.unscored == {f"acai_{x}": "distpsnr3 is missing" for x in "hvonb"}


def test_an_alert_without_images_has_no_score_and_the_others_have(
    rows: list[dict[str, Any]], images: Any, scorer: Scorer
) -> None:
    subjects = [Subject(row, past(row)) for row in rows[:2]]
    bad, good = scorer.score(subjects, images[:2], ["cutoutScience is blank", None])
    assert not bad.classifications
    assert set(bad.unscored.values()) == {"cutoutScience is blank"}
    assert set(good.classifications) == set(MODELS)


def test_a_score_does_not_depend_on_the_others_in_the_batch(
    rows: list[dict[str, Any]], images: Any, scorer: Scorer
) -> None:
    subjects = [Subject(row, past(row)) for row in rows]
    together = scorer.score(subjects, images, [None] * len(rows))
    for place, subject in enumerate(subjects):
        (alone,) = scorer.score([subject], images[place : place + 1], [None])
        assert alone == together[place]


def test_models_that_are_not_there_are_named(tmp_path: Path, rows: list[dict[str, Any]], images: Any) -> None:
    scorer = Scorer(tmp_path, ["acai_h", "btsbot"])
    assert (list(scorer.absent), scorer.versions) == (["acai_h", "btsbot"], {})
    (found,) = scorer.score([Subject(rows[0], past(rows[0]))], images[:1], [None])
    assert found.unscored == dict.fromkeys(["acai_h", "btsbot"], "the model is not installed")


def test_a_damaged_file_is_no_model(tmp_path: Path, shared: Path, rows: list[dict[str, Any]], images: Any) -> None:
    for name, size in (("acai_h", None), ("acai_n", 1000)):
        data = (shared / "models" / MODELS[name].file).read_bytes()
        (tmp_path / MODELS[name].file).write_bytes(data[:size])
    scorer = Scorer(tmp_path, ["acai_h", "acai_n"])
    (found,) = scorer.score([Subject(rows[0], past(rows[0]))], images[:1], [None])
    assert found.versions == {"acai_h": MODELS["acai_h"].version}
    assert found.unscored == {"acai_n": "the model's file is damaged or another version"}

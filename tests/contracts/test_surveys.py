"""What every survey must do, whatever its packets look like."""

from __future__ import annotations

import random
from typing import Any

import bson
import numpy as np
import pytest

from boom_streams.agents.classify import classified_record, take
from boom_streams.agents.enrich import enriched_record
from boom_streams.astro.fits import pixels
from boom_streams.avro import containers
from boom_streams.crossmatch import Matches
from boom_streams.errors import BadRecord
from boom_streams.ingest import raw_records
from boom_streams.lightcurves.statistics import statistics
from boom_streams.models import Scores, history
from boom_streams.schema import bson_records, records
from boom_streams.schema.filtered import Passed, decode_filtered, encode_body
from boom_streams.surveys import Alert, Series, Survey
from boom_streams.tables.objects.history import Arrival, admit, canonical
from tests.contracts.samples import SURVEYS, samples
from tests.support import chain
from tests.support.chain import Memory

pytestmark = [
    pytest.mark.usefixtures("mayfly"),
    pytest.mark.parametrize("survey", SURVEYS, ids=[survey.name for survey in SURVEYS]),
]


def alerts(survey: Survey) -> list[Alert]:
    """The samples, decoded."""
    found = survey.decode(samples(survey.name))
    assert all(isinstance(alert, Alert) for alert in found), [alert for alert in found if isinstance(alert, BadRecord)]
    return found  # type: ignore[return-value]


def classified(survey: Survey, alert: Alert) -> Any:
    """The alert's classified record, without models."""
    fields, arrived = take(enriched_record(alert, chain.RECEIVED, Matches()), survey, 365.0)
    return classified_record(fields, admit(Memory(), arrived), {}, Scores())


def test_it_says_what_it_is(survey: Survey) -> None:
    assert survey.name == survey.name.upper()
    assert survey.about
    assert survey.time
    assert len(set(survey.stamps.names)) == 3
    assert survey.rights.programmes
    roles = [series.role for series in survey.series.values()]
    assert roles.count("detection") == 1
    assert len(set(roles)) == len(roles)
    for name, series in survey.series.items():
        assert name == series.name
        assert dict(series.bands) == dict(survey.detections.bands), "one survey, one set of bands"
        assert survey.rights.field is None or series.dtype[survey.rights.field] == np.int8
        assert bool(series.flux) == (series.role != "limit")
        assert series.dtype.itemsize < 512


def test_its_fields_are_documented(survey: Survey) -> None:
    fields = {name for alert in alerts(survey) for name in alert.document["candidate"]}
    columns = {name for series in survey.series.values() for name in series.fields}
    assert (fields | columns) - survey.documentation.keys() == set()


def test_an_alert_is_placed_as_it_is_decoded(survey: Survey) -> None:
    batch = raw_records.raw_batch(samples(survey.name), survey, 4)
    assert batch.bad == []
    placed = [(record.object_id, record.candid) for record in batch.records if not record.headers]
    assert placed == [(alert.object_id, alert.candid) for alert in alerts(survey)]
    assert len({candid for _, candid in placed}) == len(placed)
    for container, alert in zip(samples(survey.name), alerts(survey), strict=True):
        schema, _ = containers.read_one(container)
        at = survey.position(containers.prefix_reader(schema, survey.key_fields(schema))(container))
        assert at == (alert.object_id, alert.candid, alert.jd, alert.ra, alert.dec)


def test_its_documents_are_those_of_an_alert(survey: Survey) -> None:
    for alert in alerts(survey):
        assert alert.survey == survey.name
        assert alert.document["_id"] == alert.candid
        assert -(2**63) < alert.candid < 2**63
        assert {"_id", "objectId", "candidate", "coordinates"} <= alert.document.keys()
        assert alert.document.keys() <= {"_id", "objectId", "candidate", "coordinates", *survey.document}
        candidate = alert.document["candidate"]
        assert [candidate[name] for name in ("jd", "ra", "dec")] == [alert.jd, alert.ra, alert.dec]
        assert candidate["band"] in survey.detections.names
        assert None not in candidate.values()
        assert bson.decode(bson.encode(alert.document)) == alert.document
        assert survey.rights.programme(alert.programid) == alert.programid
        assert set(alert.cutouts) <= set(survey.stamps.names)
        measured = survey.measured(candidate)
        assert measured.band == candidate["band"]
        assert 5 < (measured.magnitude or 0) < 35


def test_a_batch_is_its_members_and_a_bad_one_harms_no_other(survey: Survey) -> None:
    packets = list(samples(survey.name))
    whole = survey.decode(packets)
    for place in range(0, len(packets), 7):
        (alone,) = survey.decode([packets[place]])
        assert equal(alone, whole[place])
    for bad in (b"", b"junk", packets[0][:-20], packets[0][:300]):
        first, *others = survey.decode([bad, *packets])
        assert isinstance(first, BadRecord)
        assert all(map(equal, others, whole))


def equal(one: Any, other: Any) -> bool:
    """Whether two decoded alerts are the same."""
    if not isinstance(one, Alert) or not isinstance(other, Alert):
        return False
    curves = [{name: points.tobytes() for name, points in alert.series.items()} for alert in (one, other)]
    return (one.document, one.cutouts, curves[0]) == (other.document, other.cutouts, curves[1])


def test_another_survey_s_alert_is_refused(survey: Survey) -> None:
    others = [packet for other in SURVEYS if other is not survey for packet in samples(other.name)[:3]]
    assert all(isinstance(answer, BadRecord) for answer in survey.decode(others))
    assert raw_records.raw_batch(others, survey, 4).records == []


def test_points_are_as_its_series_say(survey: Survey) -> None:
    seen = set()
    for alert in alerts(survey):
        assert alert.series.keys() == survey.series.keys()
        assert (alert.series[survey.detections.name]["candid"] == alert.candid).sum() == 1
        for name, points in alert.series.items():
            check_points(survey.series[name], points)
            seen |= {survey.series[name].role} if len(points) else set()
    assert seen == {series.role for series in survey.series.values()}, "the samples have points of every role"


def check_points(series: Series, points: Any) -> None:
    """Points of one series: their columns, order, bands, fluxes and documents."""
    assert points.dtype == series.dtype
    assert series.arranged(points).tobytes() == points.tobytes()
    assert None not in series.band_names(points)
    assert np.isfinite(points["jd"]).all()
    assert (points[series.flux_error] > 0).all()
    if series.flux and len(points):
        magnitudes, errors = series.magnitudes(points)
        known = np.isfinite(magnitudes)
        np.testing.assert_allclose(10 ** (-0.4 * (magnitudes[known] - 31.4)), np.abs(points[series.flux][known]), 1e-4)
        assert (errors[known] > 0).all()
    documents = series.to_documents(points)
    assert series.from_documents(documents).tobytes() == points.tobytes()
    assert all(document.keys() <= series.fields for document in documents)
    assert [document["band"] for document in documents] == series.band_names(points)
    assert series.loads(points.tobytes()).tobytes() == points.tobytes()
    bson.encode({"points": documents})


def test_stamps_are_images(survey: Survey) -> None:
    for alert in alerts(survey)[:5]:
        assert set(alert.cutouts) == set(survey.stamps.names)
        assert all(pixels(data).ndim == 2 for data in alert.cutouts.values())


def test_the_history_of_an_object_does_not_depend_on_the_order_of_its_alerts(survey: Survey) -> None:
    tables = []
    for seed in range(3):
        order = alerts(survey)
        random.Random(seed).shuffle(order)
        table = Memory()
        for alert in order:
            admit(table, Arrival(survey, alert.object_id, alert.candid, alert.jd, alert.programid, alert.series))
        tables.append(canonical(table.items(), survey))
    names = {alert.object_id for alert in alerts(survey)}
    assert len(names) < len(alerts(survey)), "the samples have an object with several alerts"
    assert tables[0].keys() == tables[1].keys() == tables[2].keys()


def test_statistics_and_records_are_made_of_it(survey: Survey) -> None:
    for alert in alerts(survey)[:10]:
        found = statistics(survey, alert.series, alert.candid, alert.jd, alert.programid)
        assert found["photstats"].keys() <= set(survey.detections.names)
        assert alert.document["candidate"]["band"] in found["photstats"]
        value = classified(survey, alert)
        records.check("classified", value)
        body = encode_body(survey, bson_records.fields(value), survey.rights.programmes, alert.cutouts)
        result = decode_filtered(b"".join(body.container([Passed("i", "n", "v", "{}")])))
        assert result["band"] == alert.document["candidate"]["band"]
        assert len(result["photometry"]) == sum(len(points) for points in alert.series.values())
        assert result["cutoutDifference"] == alert.cutouts[survey.stamps.difference]


def test_its_models_get_their_numbers(survey: Survey) -> None:
    for alert in alerts(survey)[:5]:
        past = history(survey, alert.series, alert.jd, alert.programid)
        for model in survey.models:
            numbers = model.features(alert.document["candidate"], past) if model.features else []
            assert len(numbers) == len(model.fields)
            assert np.isfinite(numbers).all()

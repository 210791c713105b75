"""What every survey must do, whatever its packets look like: tests for the author of a survey.

In a test file, for pytest::

    class TestMine(SurveyContract):
        survey = SURVEY

and in ``conftest.py``, before that file is imported, for messages that show the values::

    pytest.register_assert_rewrite("boom_streams.testing.contract")
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import bson
import numpy as np

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
from boom_streams.surveys import Alert, Series, Survey, usable_surveys
from boom_streams.surveys.registry import missing_parts
from boom_streams.tables.objects.history import Arrival, admit, canonical
from boom_streams.testing.samples import sample_alerts, sample_packets
from boom_streams.testing.stages import RECEIVED, Memory

__all__ = ["SurveyContract"]


class SurveyContract:
    """Tests of a survey, on its samples.

    Attributes
    ----------
    survey
        The survey; who inherits says which.
    """

    survey: ClassVar[Survey]

    @cached_property
    def packets(self) -> Sequence[bytes]:
        """Packets of one alert each; several are of one object, and there are points of each role among them."""
        _check_parts(self.survey)
        return sample_packets(self.survey)

    @property
    def alerts(self) -> list[Alert]:
        """The packets, decoded."""
        _check_parts(self.survey)
        return sample_alerts(self.survey)

    def test_it_says_what_it_is(self) -> None:
        """Name, description, stamps, rights and series are there, and agree."""
        _check_parts(self.survey)
        assert self.survey.name == self.survey.name.upper()
        assert self.survey.about
        assert self.survey.time
        assert len(set(self.survey.stamps.names)) == 3
        assert self.survey.rights.programmes
        roles = [series.role for series in self.survey.series.values()]
        assert roles.count("detection") == 1
        assert len(set(roles)) == len(roles)
        for name, series in self.survey.series.items():
            assert name == series.name
            assert dict(series.bands) == dict(self.survey.detections.bands), "one self.survey, one set of bands"
            assert self.survey.rights.field is None or series.dtype[self.survey.rights.field] == np.int8
            assert bool(series.flux) == (series.role != "limit")
            assert series.dtype.itemsize < 512

    def test_its_fields_are_documented(self) -> None:
        """Every field of a candidate or a point has a line in `documentation`."""
        fields = {name for alert in self.alerts for name in alert.document["candidate"]}
        columns = {name for series in self.survey.series.values() for name in series.fields}
        assert (fields | columns) - self.survey.documentation.keys() == set()

    def test_its_properties_are_named(self) -> None:
        """What alerts have among their `properties` is in the survey's list of them, if it has one."""
        named = {name for alert in self.alerts for name in alert.properties}
        assert not self.survey.properties or named <= {*self.survey.properties}

    def test_an_alert_is_placed_as_it_is_decoded(self) -> None:
        """`position` gives the ids, the time and the place that `decode` gives."""
        batch = raw_records.raw_batch(self.packets, self.survey, 4)
        assert batch.bad == []
        placed = [(record.object_id, record.candid) for record in batch.records if not record.headers]
        assert placed == [(alert.object_id, alert.candid) for alert in self.alerts]
        assert len({candid for _, candid in placed}) == len(placed)
        for container, alert in zip(self.packets, self.alerts, strict=True):
            schema, _ = containers.read_one(container)
            at = self.survey.position(
                containers.prefix_reader(schema, tuple(self.survey.key_fields(schema)))(container)
            )
            assert at == (alert.object_id, alert.candid, alert.jd, alert.ra, alert.dec)

    def test_its_documents_are_those_of_an_alert(self) -> None:
        """Documents have what every alert has, and nothing that the survey does not name."""
        programmes = [alert.programid for alert in self.alerts]
        assert set(programmes) <= self.survey.rights.programmes
        for alert in self.alerts:
            assert alert.survey == self.survey.name
            assert alert.document["_id"] == alert.candid
            assert -(2**63) < alert.candid < 2**63
            assert {"_id", "objectId", "candidate", "coordinates"} <= alert.document.keys()
            assert alert.document.keys() <= {"_id", "objectId", "candidate", "coordinates", *self.survey.document}
            candidate = alert.document["candidate"]
            assert [candidate[name] for name in ("jd", "ra", "dec")] == [alert.jd, alert.ra, alert.dec]
            assert candidate["band"] in self.survey.detections.names
            assert None not in candidate.values()
            assert bson.decode(bson.encode(alert.document)) == alert.document
            assert set(alert.cutouts) <= set(self.survey.stamps.names)
            measured = self.survey.measured(candidate)
            assert measured.band == candidate["band"]
            assert 5 < (measured.magnitude or 0) < 35

    def test_a_batch_is_its_members_and_a_bad_one_harms_no_other(self) -> None:
        """An alert is decoded alike alone and beside broken ones."""
        packets = list(self.packets)
        whole = self.survey.decode(packets)
        for place in range(0, len(packets), 7):
            (alone,) = self.survey.decode([packets[place]])
            assert equal(alone, whole[place])
        for bad in (b"", b"junk", packets[0][:-20], packets[0][:300]):
            first, *others = self.survey.decode([bad, *packets])
            assert isinstance(first, BadRecord)
            assert all(map(equal, others, whole))

    def test_another_survey_s_alert_is_refused(self) -> None:
        """Packets of other surveys are bad records."""
        surveys = [survey for survey in usable_surveys() if survey.name != self.survey.name]
        others = [packet for survey in surveys for packet in sample_packets(survey, 3)]
        assert all(isinstance(answer, BadRecord) for answer in self.survey.decode(others))
        assert raw_records.raw_batch(others, self.survey, 4).records == []

    def test_points_are_as_its_series_say(self) -> None:
        """Points have the columns, order, bands and fluxes of their series; every role is there."""
        seen = set()
        for alert in self.alerts:
            assert alert.series.keys() == self.survey.series.keys()
            assert (alert.series[self.survey.detections.name]["candid"] == alert.candid).sum() == 1
            for name, points in alert.series.items():
                check_points(self.survey.series[name], points)
                seen |= {self.survey.series[name].role} if len(points) else set()
        assert seen == {series.role for series in self.survey.series.values()}, "the samples have points of every role"

    def test_stamps_are_images(self) -> None:
        """Every stamp is a FITS image."""
        for alert in self.alerts[:5]:
            assert set(alert.cutouts) == set(self.survey.stamps.names)
            assert all(pixels(data).ndim == 2 for data in alert.cutouts.values())

    def test_the_history_of_an_object_does_not_depend_on_the_order_of_its_alerts(self) -> None:
        """Whatever the order of alerts, the object is the same."""
        tables = []
        for seed in range(3):
            order = self.alerts
            random.Random(seed).shuffle(order)
            table = Memory()
            for alert in order:
                admit(
                    table, Arrival(self.survey, alert.object_id, alert.candid, alert.jd, alert.programid, alert.series)
                )
            tables.append(canonical(table.items(), self.survey))
        names = {alert.object_id for alert in self.alerts}
        assert len(names) < len(self.alerts), "the samples have an object with several alerts"
        assert tables[0].keys() == tables[1].keys() == tables[2].keys()

    def test_statistics_and_records_are_made_of_it(self) -> None:
        """Statistics, classified and filtered records can be made."""
        for alert in self.alerts[:10]:
            found = statistics(self.survey, alert.series, alert.candid, alert.jd, alert.programid)
            assert found["photstats"].keys() <= set(self.survey.detections.names)
            assert alert.document["candidate"]["band"] in found["photstats"]
            value = classified(self.survey, alert)
            records.check("classified", value)
            body = encode_body(self.survey, bson_records.fields(value), self.survey.rights.programmes, alert.cutouts)
            result = decode_filtered(b"".join(body.container([Passed("i", "n", "v", "{}")])))
            assert result["band"] == alert.document["candidate"]["band"]
            assert len(result["photometry"]) == sum(len(points) for points in alert.series.values())
            assert result["cutoutDifference"] == alert.cutouts[self.survey.stamps.difference]

    def test_its_models_get_their_numbers(self) -> None:
        """Models get a finite number for each of their fields."""
        for alert in self.alerts[:5]:
            past = history(self.survey, alert.series, alert.jd, alert.programid)
            for model in self.survey.models:
                numbers = model.features(alert.document["candidate"], past) if model.features else []
                assert len(numbers) == len(model.fields)
                assert np.isfinite(numbers).all()


def classified(survey: Survey, alert: Alert) -> Any:
    """The alert's classified record, without models."""
    fields, arrived = take(enriched_record(alert, RECEIVED, Matches()), survey, 365.0)
    return classified_record(fields, admit(Memory(), arrived), {}, Scores())


def _check_parts(survey: Survey) -> None:
    missing = missing_parts(survey)
    assert not missing, f"the survey lacks {', '.join(missing)}"


def equal(one: Any, other: Any) -> bool:
    """Whether two decoded alerts are the same."""
    if not isinstance(one, Alert) or not isinstance(other, Alert):
        return False
    curves = [{name: points.tobytes() for name, points in alert.series.items()} for alert in (one, other)]
    return (one.document, one.cutouts, curves[0]) == (other.document, other.cutouts, curves[1])


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

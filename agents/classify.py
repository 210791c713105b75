"""classify: what is it? Joins the alert with its object's history, computes statistics, asks the models.

enriched → classified.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import bson

from boom_streams import models, names
from boom_streams.agents.delivery.loop import Process, Record, Result, Work
from boom_streams.agents.delivery.output import Send
from boom_streams.archive import Archive, mongo
from boom_streams.lightcurves import statistics as lightcurve
from boom_streams.models import Scorer, Scores, Subject, models_of, triplets
from boom_streams.schema import bson_records
from boom_streams.settings import Settings
from boom_streams.surveys import Survey, get_survey
from boom_streams.tables.objects import history

__all__ = ["Classifier", "classified_record", "classified_values", "make", "take"]

log = logging.getLogger(__name__)

#: An object that the archive does not know: points, own alerts, newest revision.
_NOTHING: tuple[dict[str, Any], frozenset[int], int] = ({}, frozenset(), 0)

Fields = Mapping[str, Any]

#: An enriched record taken apart, and what the history says to it.
Admitted = tuple[Fields, history.Arrival, history.Answer]


def make(settings: Settings) -> Process:
    """Make the stage for the configured surveys."""
    surveys = {name: get_survey(name) for name in settings.surveys}
    past = _Past(settings)
    classifier = Classifier.of(settings)

    def process(work: Work) -> list[Result]:
        taken = [
            take(r.value, surveys[bson_records.fields(r.value)["survey"]], settings.history_days) for r in work.records
        ]
        views = [work.view("objects", record) for record in work.records]
        past.restore([(arrival, view) for (_, arrival), view in zip(taken, views, strict=True)])
        admitted = [
            (fields, arrival, history.admit(view, arrival))
            for (fields, arrival), view in zip(taken, views, strict=True)
        ]
        values = classified_values(admitted, classifier)
        return [_result(settings, *each) for each in zip(work.records, admitted, values, strict=True)]

    return process


def classified_record(fields: Fields, answer: history.Answer, properties: Mapping[str, Any], scores: Scores) -> bytes:
    """Encode a classified record; the parts of ``enriched`` that it carries on are copied as they are."""
    return bson.encode(
        {
            **bson_records.stated(get_survey(fields["survey"])),
            **bson_records.envelope(fields),
            "alert": fields["alert"],
            "properties": properties,
            "classifications": scores.classifications,
            "models": scores.versions,
            "unscored": scores.unscored,
            **{name: fields[name] for name in ("cross_matches", "catalogs", "unmatched", "aliases")},
            "history": answer.history,
            "revision": answer.revision,
            "newest": answer.newest,
            "position": list(answer.position),
            "changed": {name: points.tobytes() for name, points in answer.changed.items()},
            "replaced": answer.replaced,
            "appended": answer.appended,
            "series": {name: points.tobytes() for name, points in answer.series.items()},
        }
    )


def take(value: bytes, survey: Survey, history_days: float) -> tuple[Fields, history.Arrival]:
    """Take an enriched record apart, as far as this stage needs it."""
    fields = bson_records.fields(value)
    packed = bson.decode(fields["series"].raw)
    series = {name: found.loads(packed[name]) for name, found in survey.series.items() if name in packed}
    return fields, history.Arrival(
        survey=survey,
        object_id=fields["objectId"],
        candid=fields["candid"],
        jd=fields["jd"],
        programid=fields["programid"],
        series=series,
        window_days=history_days,
        history_start=fields["history_start"],
    )


class Classifier:
    """The models of each survey."""

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self._scorers = scorers

    @classmethod
    def of(cls, settings: Settings) -> Classifier:
        """The configured models; says which are not installed."""
        scorers = {name: Scorer(settings.models_folder, models_of(name, settings.models)) for name in settings.surveys}
        for name, reason in (each for scorer in scorers.values() for each in scorer.absent.items()):
            log.warning("alerts go on without %s: %s; see boom-streams models --help", name, reason)
        return cls(scorers)

    def score(self, survey: Survey, admitted: Sequence[Admitted]) -> list[Scores]:
        """Scores of alerts of a survey."""
        scorer = self._scorers[survey.name]
        if not scorer.versions:
            return scorer.without_models(len(admitted))
        images, reasons = triplets(
            [bson.decode(fields["cutouts"].raw) for fields, _, _ in admitted], survey.stamps.names
        )
        subjects = [
            Subject(
                bson.decode(fields["alert"]["candidate"].raw),
                models.history(survey, answer.series, arrival.jd, arrival.programid),
            )
            for fields, arrival, answer in admitted
        ]
        return scorer.score(subjects, images, reasons)


def classified_values(admitted: Sequence[Admitted], classifier: Classifier) -> list[bytes]:
    """Compute statistics and scores of alerts with their histories, and encode their classified records."""
    values: dict[int, bytes] = {}
    for survey in {arrival.survey.name: arrival.survey for _, arrival, _ in admitted}.values():
        places = [place for place, (_, arrival, _) in enumerate(admitted) if arrival.survey is survey]
        scored = classifier.score(survey, [admitted[place] for place in places])
        for place, scores in zip(places, scored, strict=True):
            fields, arrival, answer = admitted[place]
            statistics = lightcurve.statistics(survey, answer.series, arrival.candid, arrival.jd, arrival.programid)
            properties = {**bson.decode(fields["properties"].raw), **statistics}
            values[place] = classified_record(fields, answer, properties, scores)
    return [values[place] for place in range(len(admitted))]


def _result(settings: Settings, record: Record, admitted: Admitted, value: bytes) -> Result:
    topic = names.topic(admitted[1].survey.name, "classified", settings.topic_prefix)
    headers = (("enriched", f"{record.partition}:{record.offset}".encode()),)
    return Result([Send(topic, record.key, value, record.partition, headers)])


class _Past:
    """Reads back from the archive the objects that began before their packet's history and are not in the table."""

    def __init__(self, settings: Settings) -> None:
        self._archive = Archive(mongo.database(settings), settings.surveys)
        self._patience = mongo.Patience(
            settings.archive_patience, "classify goes on without old history", partial(mongo.problem, settings)
        )

    def restore(self, arrivals: list[tuple[history.Arrival, Any]]) -> None:
        """Seed the tables for a batch; objects that cannot be read back are marked as partial."""
        missing: dict[str, dict[str, tuple[history.Arrival, Any]]] = {}
        for arrival, view in arrivals:
            if history.needs_archive(view, arrival):
                missing.setdefault(arrival.survey.name, {}).setdefault(arrival.object_id, (arrival, view))
        for survey, objects in missing.items():
            try:
                found = self._patience.read(partial(self._archive.read_objects, survey, list(objects)))
            except mongo.Away:
                found = None
            for object_id, (arrival, view) in objects.items():
                if found is None:
                    arrival.partial = True
                else:
                    history.restore(view, arrival.survey, object_id, *found.get(object_id, _NOTHING))

"""enrich: from a survey's alert to a record with true fluxes, coordinates and flags; raw → enriched."""

from __future__ import annotations

from collections.abc import Sequence

import bson

from boom_streams import names, raw, wire
from boom_streams.agents.delivery import Process, Record, Result, Work
from boom_streams.agents.output import Send
from boom_streams.errors import BadRecord
from boom_streams.settings import Settings
from boom_streams.sky import partition_of
from boom_streams.surveys import Alert, Survey, get_survey
from boom_streams.tables import cells

__all__ = ["enriched_record", "make"]

_REKEYED = "rekeyed"
_MARGIN = (raw.ROLE_HEADER, raw.MARGIN_ROLE)


def make(config: Settings) -> Process:
    """Make the stage for the configured surveys."""
    surveys = {names.topic(name, "raw", config.topic_prefix): get_survey(name) for name in config.surveys}

    def process(work: Work) -> list[Result]:
        results: dict[int, Result] = {}
        by_survey: dict[str, list[int]] = {}
        sightings: list[tuple[int, cells.Sighting]] = []
        for index, record in enumerate(work.records):
            if record.headers.get(raw.ROLE_HEADER) == raw.MARGIN_ROLE:
                results[index] = Result()
                sightings.append((index, _margin(work, record)))
            else:
                by_survey.setdefault(record.topic, []).append(index)
        for topic, indices in by_survey.items():
            survey = surveys[topic]
            alerts = _decode(survey, [work.records[index] for index in indices])
            for index, alert in zip(indices, alerts, strict=True):
                record = work.records[index]
                result = _enrich(config, survey, record, alert)
                results[index] = result
                if isinstance(alert, Alert) and result.dead is None and result.sends[0].topic != record.topic:
                    view = work.view("cells", record)
                    sightings.append(
                        (index, cells.Sighting(
                            view, alert.survey, alert.object_id, alert.candid, alert.jd, alert.ra, alert.dec
                        ))
                    )
        cells.record([sighting for _, sighting in sorted(sightings, key=lambda item: item[0])])
        return [results[index] for index in range(len(work.records))]

    return process


def enriched_record(alert: Alert, received: float) -> bytes:
    """Encode an enriched record; ``received`` is the time of the raw record, JD (UTC)."""
    return bson.encode(
        {
            "v": 1,
            "survey": alert.survey,
            "objectId": alert.object_id,
            "candid": bson.Int64(alert.candid),
            "jd": alert.jd,
            "ra": alert.ra,
            "dec": alert.dec,
            "programid": alert.programid,
            "received": received,
            "history_start": alert.history_start,
            "alert": alert.document,
            "properties": alert.properties,
            "cross_matches": {},
            "aliases": {},
            "series": {name: points.tobytes() for name, points in alert.series.items()},
            "cutouts": alert.cutouts,
        }
    )


def _decode(survey: Survey, records: Sequence[Record]) -> Sequence[Alert | BadRecord]:
    return survey.decode([record.value for record in records])


def _margin(work: Work, record: Record) -> cells.Sighting:
    margin = bson.decode(record.value)
    return cells.Sighting(
        work.view("cells", record),
        margin["survey"],
        margin["objectId"],
        margin["candid"],
        margin["jd"],
        margin["ra"],
        margin["dec"],
    )


def _enrich(config: Settings, survey: Survey, record: Record, alert: Alert | BadRecord) -> Result:
    placed = isinstance(alert, Alert) and raw.is_placed(
        record.key, record.partition, alert.ra, alert.dec, config.partitions
    )
    if isinstance(alert, BadRecord) or not placed:
        return _rekey(config, survey, record, alert)
    value = enriched_record(alert, wire.julian_date(record.timestamp * 1000))
    key = alert.object_id.encode()
    topic = names.topic(survey.name, "enriched", config.topic_prefix)
    return Result([Send(topic, key, value, partition_of(key, config.partitions))])


def _rekey(config: Settings, survey: Survey, record: Record, alert: Alert | BadRecord) -> Result:
    """Write a record again where it belongs: under its cell's key, one alert a record."""
    if _REKEYED in record.headers:
        reason = str(alert) if isinstance(alert, BadRecord) else "in the wrong place after it was re-keyed"
        return Result(dead=reason)
    batch = raw.raw_records(record.value, survey, config.partitions)
    if not batch.records or (isinstance(alert, BadRecord) and len(batch.records) < 2):
        return Result(dead=str(alert) if isinstance(alert, BadRecord) else batch.bad[0].reason)
    timestamp = int(record.timestamp * 1000)
    sends = [
        Send(record.topic, r.key, r.value, r.partition, (*r.headers, (_REKEYED, b"1")), timestamp)
        for r in batch.records
    ]
    return Result(sends, dead=batch.bad[0].reason if batch.bad else None)

"""enrich: where is it? True fluxes, coordinates, flags, and matches with catalogues; raw → enriched."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import bson
from bson.errors import BSONError

from boom_streams import names
from boom_streams.agents.delivery.loop import Process, Record, Result, Work
from boom_streams.agents.delivery.output import Send
from boom_streams.archive import mongo
from boom_streams.astro import times
from boom_streams.astro.sky import cells as cells_of
from boom_streams.crossmatch import CatalogStore, Crossmatcher, Matches, load_descriptions
from boom_streams.errors import BadRecord, FormatError
from boom_streams.ingest import raw_records as raw
from boom_streams.kafka.partitions import raw_partition
from boom_streams.schema import bson_records, formats
from boom_streams.settings import Settings
from boom_streams.surveys import Alert, Survey, get_survey
from boom_streams.surveys.checks import check_position
from boom_streams.tables import cells
from boom_streams.tables.tiles import Tiles

__all__ = ["enriched_record", "make"]

log = logging.getLogger(__name__)

_REKEYED = "rekeyed"


def make(settings: Settings) -> Process:
    """Make the stage for the configured surveys."""
    surveys = {names.topic(name, "raw", settings.topic_prefix): get_survey(name) for name in settings.surveys}
    catalogs = _Catalogs(settings)

    def process(work: Work) -> list[Result]:
        results = [Result() for _ in work.records]
        sightings: dict[int, cells.Sighting] = {}
        alerts: dict[str, list[int]] = {}
        for index, record in enumerate(work.records):
            if record.headers.get("role") == b"margin":
                try:
                    where = _margin(settings, surveys[record.topic].name, record)
                except BadRecord as error:
                    results[index] = Result(dead=str(error))
                else:
                    sightings[index] = _sighting(work, record, where)
            else:
                alerts.setdefault(record.topic, []).append(index)
        for topic, indices in alerts.items():
            survey = surveys[topic]
            records = [work.records[index] for index in indices]
            decoded = survey.decode([record.value for record in records])
            placed: dict[int, Alert] = {}
            for index, record, alert, cell in zip(indices, records, decoded, _cells(decoded), strict=True):
                here = raw.is_placed(record.key, record.partition, settings.partitions, cell)
                if isinstance(alert, Alert) and here:
                    placed[index] = alert
                else:
                    results[index] = _rekeyed(settings, survey, record, alert)
            for (index, alert), matches in zip(placed.items(), catalogs.match(survey, placed.values()), strict=True):
                results[index] = _enriched(settings, work.records[index], alert, matches)
                sightings[index] = _sighting(work, work.records[index], bson_records.position(alert.survey, alert))
        cells.record([sighting for _, sighting in sorted(sightings.items())])
        return results

    return process


class _Catalogs:
    """The catalogues, and their tiles at hand."""

    def __init__(self, settings: Settings) -> None:
        patience = mongo.Patience(
            settings.archive_patience,
            "enrich goes on without what it does not have of catalogues",
            partial(mongo.problem, settings),
        )
        described = load_descriptions(settings.catalogs_dir)
        for problem in described.wrong.values():
            log.error("%s; until then this catalogue is not named in records unless it is imported", problem)
        store = CatalogStore(mongo.database(settings))
        self._crossmatcher = Crossmatcher(store, described.catalogs, patience, settings.catalog_refresh)
        self._tiles = Tiles(settings.worker_folder / "tiles", self._crossmatcher.read)

    def match(self, survey: Survey, alerts: Collection[Alert]) -> list[Matches]:
        """Match alerts at their own positions."""
        ra, dec = [alert.ra for alert in alerts], [alert.dec for alert in alerts]
        return self._crossmatcher.match(survey.name, ra, dec, self._tiles.get)


def enriched_record(alert: Alert, received: float, matches: Matches) -> bytes:
    """Encode an enriched record; ``received`` is the time of the raw record, JD (UTC)."""
    return bson.encode(
        {
            **bson_records.stated(get_survey(alert.survey)),
            **bson_records.position(alert.survey, alert),
            "programid": alert.programid,
            "received": received,
            "history_start": alert.history_start,
            "alert": {**alert.document, "_id": bson.Int64(alert.candid)},
            "properties": alert.properties,
            "cross_matches": matches.cross_matches,
            "catalogs": matches.catalogs,
            "unmatched": matches.unmatched,
            "aliases": {},
            "series": {name: points.tobytes() for name, points in alert.series.items()},
            "cutouts": alert.cutouts,
        }
    )


def _cells(alerts: Sequence[Alert | BadRecord]) -> list[int | None]:
    """Cell of each alert; None for what is not an alert."""
    good = [alert for alert in alerts if isinstance(alert, Alert)]
    found = iter(cells_of([alert.ra for alert in good], [alert.dec for alert in good], raw.NSIDE).tolist())
    return [next(found) if isinstance(alert, Alert) else None for alert in alerts]


def _margin(settings: Settings, survey: str, record: Record) -> dict[str, Any]:
    """What a margin record says; anybody writes to the raw topic, and other alerts stand beside it in the table.

    Raises
    ------
    BadRecord
        If it is not one that the writer of raw records makes, or not where that puts it.
    """
    try:
        found: dict[str, Any] = bson.decode(record.value)
        formats.MARGIN.check(found.get("v", 1))
    except (FormatError, BSONError, TypeError, ValueError) as error:
        raise BadRecord(f"no margin record: {error}") from None
    object_id, candid = found.get("objectId"), found.get("candid")
    if found.get("survey") != survey or not isinstance(object_id, str):
        raise BadRecord(f"no margin record of {survey}: its survey or objectId is something else")
    at = check_position(survey, object_id, candid, {name: found.get(name) for name in ("jd", "ra", "dec")})
    if not raw.is_margin(record.key, record.partition, settings.partitions, at):
        raise BadRecord("a margin record that is not near the cell of its key, or in another partition")
    return bson_records.position(survey, at)


def _sighting(work: Work, record: Record, where: Mapping[str, Any]) -> cells.Sighting:
    return cells.Sighting(work.view("cells", record), *(where[name] for name in bson_records.POSITION))


def _enriched(settings: Settings, record: Record, alert: Alert, matches: Matches) -> Result:
    value = enriched_record(alert, times.julian_date(record.received), matches)
    key = alert.object_id.encode()
    topic = names.topic(alert.survey, "enriched", settings.topic_prefix)
    return Result([Send(topic, key, value, raw_partition(key, settings.partitions))])


def _rekeyed(settings: Settings, survey: Survey, record: Record, alert: Alert | BadRecord) -> Result:
    """Write a record again where it belongs: under its cell's key, one alert a record."""
    if _REKEYED in record.headers:
        reason = str(alert) if isinstance(alert, BadRecord) else "in the wrong place after it was re-keyed"
        return Result(dead=reason)
    batch = raw.raw_records(record.value, survey, settings.partitions)
    broken = batch.bad[0][1] if batch.bad else None
    alone = sum(not r.headers for r in batch.records) < 2  # but for its margin records
    if isinstance(alert, BadRecord) and alone and broken is None:
        return Result(dead=str(alert))  # one record, where it belongs, that cannot be enriched
    marks = (_REKEYED, b"1"), raw.received_header(record.received)
    sends = [Send(record.topic, r.key, r.value, r.partition, (*r.headers, *marks)) for r in batch.records]
    return Result(sends, dead=broken)

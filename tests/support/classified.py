"""Classified records of real alerts, as the stages make them, and the archive that the sinks make of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from boom_streams.agents.classify import classified_record
from boom_streams.agents.enrich import enriched_record
from boom_streams.archive import Archive
from boom_streams.crossmatch import Matches
from boom_streams.ingest import raw_records
from boom_streams.lightcurves import statistics as lightcurve
from boom_streams.models import Scores
from boom_streams.schema import bson_records
from boom_streams.surveys import Alert, get_survey
from boom_streams.tables.objects import history

ZTF = get_survey("ZTF")
RECEIVED = 2460000.5


@dataclass(frozen=True)
class Stored:
    """An alert's two records."""

    enriched: bytes
    classified: bytes

    @property
    def record(self) -> RawBSONDocument:
        """The classified record, taken apart as the filter stage does."""
        return bson_records.fields(self.classified)


class _Table(dict[bytes, bytes]):
    put = dict.__setitem__


def containers(*folders: Path) -> list[bytes]:
    """Containers of one alert each, of all files that can be read."""
    files = [path for folder in folders for path in sorted(folder.rglob("*.avro")) if path.is_file()]
    batch = raw_records.raw_batch([path.read_bytes() for path in files], ZTF, 1)
    return [record.value for record in batch.records if not record.headers]


def classify(packets: Sequence[bytes], programids: Sequence[int] = ()) -> list[Stored]:
    """Send packets of one alert each through the pure parts of the stages, in order of time, each candid once.

    With `programids`, alerts and points get these instead of their own.
    """
    alerts = {alert.candid: alert for alert in ZTF.decode(packets) if isinstance(alert, Alert)}
    table = _Table()
    stored = []
    for alert in sorted(alerts.values(), key=lambda alert: (alert.jd, alert.candid)):
        if programids:
            _assign(alert, programids)
        enriched = enriched_record(alert, RECEIVED, Matches())
        arrival = history.Arrival(ZTF, alert.object_id, alert.candid, alert.jd, alert.programid, alert.series)
        answer = history.admit(table, arrival)
        statistics = lightcurve.statistics(ZTF, answer.series, alert.candid, alert.jd, alert.programid)
        record = classified_record(bson_records.fields(enriched), answer, {**alert.properties, **statistics}, Scores())
        stored.append(Stored(enriched, record))
    return stored


def _assign(alert: Alert, programids: Sequence[int]) -> None:
    """Give a programme to the alert and to each point, always the same at one time."""
    of = np.array(programids, np.int8)
    alert.programid = alert.document["candidate"]["programid"] = int(of[int(alert.jd * 1e4) % len(of)])
    for name, points in alert.series.items():
        alert.series[name] = points.copy()
        alert.series[name]["programid"] = of[(points["jd"] * 1e4).astype(int) % len(of)]


def rounds(stored: Iterable[Stored]) -> list[list[Stored]]:
    """The alerts such that each object is once in each round, in order."""
    found: list[list[Stored]] = []
    seen: dict[str, int] = {}
    for one in stored:
        number = seen.setdefault(one.record["objectId"], 0)
        seen[one.record["objectId"]] += 1
        if number == len(found):
            found.append([])
        found[number].append(one)
    return found


def store(database: Any, alerts: Sequence[Stored]) -> None:
    """Write to the archive what the sinks write."""
    archive = Archive(database, ["ZTF"])
    assert not any(archive.write_enriched([one.enriched for one in alerts]))
    assert not any(archive.write_classified([one.classified for one in alerts]))


@contextmanager
def scratch_database(mongo_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """A database of one's own, dropped at the end."""
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        name = f"t{uuid.uuid4().hex[:10]}"
        try:
            yield client[name]
        finally:
            client.drop_database(name)

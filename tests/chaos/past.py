"""An archive that is older than the broker: objects whose earlier points only MongoDB has, to be read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from boom_streams import names
from boom_streams.agents.classify import classified_record
from boom_streams.agents.enrich import enriched_record
from boom_streams.archive import mongo
from boom_streams.archive.objects import write_objects
from boom_streams.crossmatch import Matches
from boom_streams.models import Scores
from boom_streams.schema import bson_records
from boom_streams.settings import Settings
from boom_streams.surveys import Alert, get_survey
from boom_streams.surveys.packed_points import Points
from boom_streams.tables.objects import history
from tests.chaos.log import RawLog

__all__ = ["add_past"]

_DAYS = 200.0

#: Subtracted from the candids of the past, so that they are none of the present.
_CANDIDS = 10**9

#: One in so many objects has a past.
_SHARE = 5


class _Memory(dict[bytes, bytes]):
    """A table in memory."""

    put = dict.__setitem__


def add_past(settings: Settings, log: RawLog) -> int:
    """Put earlier light curves of some of the log's objects into the archive; return their number."""
    survey = get_survey("ztf")
    values = [entry.value for entry in log.entries if entry.key and not entry.headers][:: 2 * _SHARE]
    alerts = [alert for alert in survey.decode(values) if isinstance(alert, Alert)]
    # the others' packets say that there is nothing so early
    objects = {alert.object_id: _earlier(alert) for alert in alerts if alert.history_start < alert.jd - _DAYS}
    records = []
    for alert in objects.values():
        arrival = history.Arrival(survey, alert.object_id, alert.candid, alert.jd, alert.programid, alert.series)
        fields = bson_records.fields(enriched_record(alert, alert.jd, Matches()))
        records.append(bson_records.fields(classified_record(fields, history.admit(_Memory(), arrival), {}, Scores())))
    write_objects(mongo.database(settings)[names.collection("ztf", "alerts_aux")], survey, records)
    return len(records)


def _earlier(alert: Alert) -> Alert:
    series = {name: _shifted(points) for name, points in alert.series.items()}
    return replace(alert, candid=alert.candid - _CANDIDS, jd=alert.jd - _DAYS, series=series)


def _shifted(points: Points) -> Points:
    moved = points.copy()
    moved["jd"] -= _DAYS
    if "candid" in (moved.dtype.names or ()):
        moved["candid"][moved["candid"] > 0] -= _CANDIDS
    return np.asarray(moved)

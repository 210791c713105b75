"""Alerts as the archive has them, and what a filter selects of them, without Kafka and workers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from bson.raw_bson import RawBSONDocument
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from boom_streams.access.permissions import Permissions, check_permissions
from boom_streams.agents.enrich import enriched_record
from boom_streams.archive import Archive
from boom_streams.crossmatch import Matches
from boom_streams.errors import FilterError
from boom_streams.filters import Evaluator, Filter, check_pipeline
from boom_streams.schema import bson_records
from boom_streams.surveys import Alert, Survey, get_survey
from boom_streams.testing.stages import RECEIVED, Memory, classified

__all__ = ["Stored", "classify", "run_filter", "scratch_database", "store"]


@dataclass(frozen=True)
class Stored:
    """The two records of an alert that the archive is made of."""

    enriched: bytes
    classified: bytes

    @property
    def record(self) -> RawBSONDocument:
        """The classified record, taken apart as the filter stage does."""
        return bson_records.fields(self.classified)


def classify(packets: Sequence[bytes], survey: str = "ZTF", programids: Sequence[int] = ()) -> list[Stored]:
    """Send packets through the pure parts of the stages, in the order of their times, each candid once.

    Parameters
    ----------
    packets
        Containers of one alert each; those that cannot be decoded are left out.
    survey
        Whose they are.
    programids
        If given, alerts and points get these programmes in place of their own.
    """
    adapter = get_survey(survey)
    alerts = {alert.candid: alert for alert in adapter.decode(packets) if isinstance(alert, Alert)}
    table = Memory()
    stored = []
    for alert in sorted(alerts.values(), key=lambda alert: (alert.jd, alert.candid)):
        if programids:
            _assign(adapter, alert, programids)
        enriched = enriched_record(alert, RECEIVED, Matches())
        stored.append(Stored(enriched, *classified([enriched], table, adapter)))
    return stored


def _assign(survey: Survey, alert: Alert, programids: Sequence[int]) -> None:
    """Give a programme to the alert and to each point, always the same at one time."""
    field = survey.rights.field
    if field is None:
        raise ValueError(f"points of {survey.name} have no programmes")
    of = np.array(programids, np.int8)
    alert.programid = alert.document["candidate"][field] = int(of[int(alert.jd * 1e4) % len(of)])
    for name, points in alert.series.items():
        alert.series[name] = points.copy()
        alert.series[name][field] = of[(points["jd"] * 1e4).astype(int) % len(of)]


def store(database: Database[dict[str, Any]], alerts: Sequence[Stored], survey: str = "ZTF") -> None:
    """Write to the archive what the sinks write."""
    archive = Archive(database, [survey])
    bad = [*archive.write_enriched([one.enriched for one in alerts])]
    bad += archive.write_classified([one.classified for one in alerts])
    assert not any(bad), bad


def run_filter(
    database: Database[dict[str, Any]],
    pipeline: Any,
    alerts: Sequence[Stored],
    survey: str = "ZTF",
    permissions: Permissions | None = None,
) -> dict[int, Mapping[str, Any]]:
    """Run a filter on alerts as the filter stage does; nothing is stored.

    Parameters
    ----------
    database
        Where the alerts are held while MongoDB evaluates the filter: see `scratch_database`.
    pipeline
        The filter, as `boom-streams filters add` takes it.
    alerts
        As `classify` makes them.
    survey
        Whose alerts it is for.
    permissions
        Programmes by survey; all of them unless given.

    Returns
    -------
    dict
        Annotations of the alerts that passed, by candid.

    Raises
    ------
    FilterError
        If the filter is not valid, or fails at an alert.
    """
    stages, _ = check_pipeline(pipeline)
    everything = {survey: sorted(get_survey(survey).rights.programmes)}
    permitted = check_permissions(survey, dict(permissions or everything))
    one = Filter("tried", "tried", survey, permitted, "v1", tuple(stages))
    records = [alert.record for alert in alerts]
    with closing(Evaluator(database)) as evaluator:
        matches, failures = evaluator.evaluate(records, [one])
    if failures:
        raise FilterError(failures[0].reason)
    return {records[match.index]["candid"]: match.annotations for match in matches}


@contextmanager
def scratch_database(mongo_uri: str | SecretStr) -> Iterator[Database[dict[str, Any]]]:
    """A database of one's own, dropped at the end; the address as it is, or as the settings have it."""
    uri = mongo_uri.get_secret_value() if isinstance(mongo_uri, SecretStr) else mongo_uri
    with MongoClient[dict[str, Any]](uri) as client:
        name = f"t{uuid.uuid4().hex[:10]}"
        try:
            yield client[name]
        finally:
            client.drop_database(name)

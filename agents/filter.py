"""filter: does anybody want it? Runs users' filters; classified → filtered.<name> and <survey>.filtered."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from boom_streams import names
from boom_streams.access.permissions import everything_that
from boom_streams.agents.delivery.loop import Process, Record, Result, Work
from boom_streams.agents.delivery.output import Send
from boom_streams.archive import Archive, mongo
from boom_streams.errors import FilterError, RefusedError, ServiceError
from boom_streams.filters import Evaluator, Failure, Filter, FilterStore, Match
from boom_streams.filters.topics import open_topic, own_topic, topic_is_ready
from boom_streams.kafka import offsets
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import Passed, encode_body
from boom_streams.settings import Settings
from boom_streams.surveys import Survey, get_survey

__all__ = ["Stage", "make"]

log = logging.getLogger(__name__)

Fields = Mapping[str, Any]

#: Longest wait for the sink to store the cutouts of alerts that passed, seconds.
_CUTOUT_PATIENCE = 60.0

#: Seconds for which no topic of a filter is made after Kafka could not make one: each attempt holds up all filters.
_TOPIC_RETRY = 20.0


def make(settings: Settings) -> Process:
    """Make the stage for the configured surveys."""
    stage = Stage(settings)
    atexit.register(stage.close)
    return stage.process


class Stage:
    """The filter stage, and what it remembers between batches.

    Parameters
    ----------
    settings
        Settings of the broker.
    since
        Offsets of ``<survey>.classified``, by partition, from which a filter that fails has missed alerts; None: what
        the workers have committed.
    """

    def __init__(self, settings: Settings, since: Sequence[int] | None = None) -> None:
        self._settings = settings
        self._since = since
        database = mongo.database(settings)
        self._evaluator = Evaluator(mongo.unrepeated(settings), settings.filter_timeout_ms, settings.history_days)
        self._store = FilterStore(database)
        self._archive = Archive(database, settings.surveys)
        self._filters: dict[str, list[Filter]] = {}
        self._topics: set[tuple[str, str, frozenset[int]]] = set()
        self._unready: set[str] = set()
        """Ids of filters whose topics Kafka could not make ready."""
        self._topic_retry = float("-inf")
        self._loaded = float("-inf")
        self.suspended: dict[str, str] = {}
        """Why filters were suspended here, by id."""

    def close(self) -> None:
        """Leave nothing in MongoDB."""
        self._evaluator.close()

    def process(self, work: Work) -> list[Result]:
        """Run the active filters on a batch."""
        self._reload()
        return self.run(work, self._filters)

    def run(self, work: Work, active: Mapping[str, Sequence[Filter]]) -> list[Result]:
        """Run filters, by survey, on a batch; those that fail are suspended."""
        fields = [bson_records.fields(record.value) for record in work.records]
        results = [Result() for _ in work.records]
        for survey, filters in active.items():
            chosen = [index for index, alert in enumerate(fields) if alert["survey"] == survey]
            if not chosen or not filters:
                continue
            matches, failures = self._evaluator.evaluate([fields[index] for index in chosen], filters)
            passed: dict[int, list[Match]] = {}
            for match in matches:
                passed.setdefault(chosen[match.index], []).append(match)
            self._publish(work, fields, passed, results)
            for failure in failures:
                self._suspend(failure)
        return results

    def _suspend(self, failure: Failure) -> None:
        """Switch a filter off, and remember where: no alert before has been missed, whichever worker had it."""
        one = failure.filter
        log.warning("filter %s is suspended: %s", one.name, failure.reason)
        self._store.suspend(one, failure.reason, failure.candid, self._seen(one))
        self.suspended[one.id] = failure.reason
        self._loaded = float("-inf")

    def _seen(self, one: Filter) -> Sequence[int]:
        """Offsets before which a filter has seen all alerts."""
        return self._committed(one.survey) if self._since is None else self._since

    def _committed(self, survey: str) -> list[int]:
        role = "all" if self._settings.role == "all" else "filter"
        topic = names.topic(survey, "classified", self._settings.topic_prefix)
        group = names.group_id(role, self._settings.topic_prefix)
        found = offsets.committed(self._settings, group, {topic: self._settings.partitions})
        return [found.get((topic, partition), 0) for partition in range(self._settings.partitions)]

    def _reload(self) -> None:
        """Load the active filters again when they are older than a few seconds."""
        if time.monotonic() - self._loaded < self._settings.filter_refresh:
            return
        for survey in self._settings.surveys:
            self._filters[survey] = [one for one in self._store.load_active(survey) if self._has_topic(one)]
        self._loaded = time.monotonic()

    def _has_topic(self, one: Filter) -> bool:
        """Make sure that the topic of a filter is there and its own; one that cannot have it is suspended.

        What Kafka cannot do now is tried again later: until then a filter whose topic is there runs, another waits.
        """
        key = one.id, one.name, one.programmes()
        if key in self._topics:
            return True
        try:
            if time.monotonic() < self._topic_retry:
                own_topic(self._settings, one)
                return self._runs_meanwhile(one, "Kafka could not make another filter's topic ready")
            open_topic(self._settings, one)
            if one.id in self._unready and not topic_is_ready(self._settings, one):
                raise ServiceError(f"the topic of {one.name} has no leader")
        except (FilterError, RefusedError) as error:
            self._suspend(Failure(one, str(error)))
            return False
        except ServiceError as error:
            self._topic_retry = time.monotonic() + _TOPIC_RETRY
            return self._runs_meanwhile(one, str(error))
        self._topics.add(key)
        if one.id in self._unready:
            self._unready.remove(one.id)
            log.warning("the topic of filter %s is ready", one.name)
        return True

    def _runs_meanwhile(self, one: Filter, why: str) -> bool:
        """Whether a filter runs while Kafka cannot make its topic ready; the alerts that it misses are remembered.

        If Kafka does not answer at all, `ServiceError`: the whole stage waits, and nothing is missed.
        """
        runs = topic_is_ready(self._settings, one)
        if not runs:
            self._store.misses(one, self._seen(one))
        if one.id not in self._unready:
            self._unready.add(one.id)
            log.warning(
                "filter %s %s, its topic is made ready later: %s",
                one.name,
                "goes on" if runs else f"waits (`boom-streams filters activate {one.name} --catch-up` makes up for it)",
                why,
            )
        return runs

    def _publish(
        self, work: Work, fields: Sequence[Fields], passed: Mapping[int, list[Match]], results: list[Result]
    ) -> None:
        if not passed:
            return
        name = fields[next(iter(passed))]["survey"]
        survey = get_survey(name)
        cutouts = self._cutouts(name, {fields[i]["candid"]: work.records[i] for i in passed})
        for index, matches in passed.items():
            record, alert = work.records[index], fields[index]
            results[index].sends = list(
                _sends(self._settings, survey, record, alert, matches, cutouts.get(alert["candid"]))
            )

    def _cutouts(self, survey: str, records: Mapping[int, Record]) -> dict[int, dict[str, bytes]]:
        """Cutouts of alerts, read from the archive once the sink has got that far."""
        found = self._archive.read_cutouts(survey, list(records))
        missing = {candid: record for candid, record in records.items() if candid not in found}
        deadline = time.monotonic() + _CUTOUT_PATIENCE
        while missing and time.monotonic() < deadline:
            stored = self._stored(survey)
            found |= self._archive.read_cutouts(survey, list(missing))
            missing = {
                candid: record
                for candid, record in missing.items()
                if candid not in found and not _is_stored(record, stored)
            }
            if missing:
                time.sleep(0.2)
        return found

    def _stored(self, survey: str) -> dict[int, int]:
        """Offsets of the enriched topic, by partition, before which the sink has stored everything."""
        role = "all" if self._settings.role == "all" else "sink"
        group = names.group_id(role, self._settings.topic_prefix)
        topic = names.topic(survey, "enriched", self._settings.topic_prefix)
        committed = offsets.committed(self._settings, group, {topic: self._settings.partitions})
        return {partition: offset for (_, partition), offset in committed.items()}


def _is_stored(record: Record, stored: Mapping[int, int]) -> bool:
    """Whether the sink is beyond the enriched record that this one was made from."""
    partition, _, offset = record.headers.get("enriched", b"0:-1").decode().partition(":")
    return stored.get(int(partition), 0) > int(offset)


def _sends(
    settings: Settings,
    survey: Survey,
    record: Record,
    alert: Fields,
    matches: Sequence[Match],
    cutouts: Mapping[str, bytes] | None,
) -> Iterator[Send]:
    """Records for an alert: one a filter, whose topic has one partition, and for operators those with all of them."""
    seen = [match.filter.programmes() for match in matches]
    everyone = everything_that((match.filter.permissions for match in matches), survey.name)
    bodies = {programmes: encode_body(survey, alert, programmes, cutouts) for programmes in {*seen, everyone}}
    passed = [_passed(match) for match in matches]
    for entry, programmes in zip(passed, seen, strict=True):
        topic = names.filter_topic(entry.name, settings.topic_prefix)
        yield Send(topic, record.key, bodies[programmes].container([entry]), 0)
    topic = names.topic(survey.name, "filtered", settings.topic_prefix)
    for container in bodies[everyone].containers(passed):
        yield Send(topic, record.key, container, record.partition)


def _passed(match: Match) -> Passed:
    return Passed(match.filter.id, match.filter.name, match.filter.fid, match.text)

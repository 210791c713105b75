"""Runs filters on alerts in flight: mongod itself evaluates them, on the batch put into a scratch collection.

The answer is that of the same pipelines on the archive (`on_archive`) as it stands when the alerts are stored. Filters
with the same rights share a collection, which holds the alerts and the points that they may see and nothing else; of
the light curves it holds the fields that some filter reads (`boom_streams.filters.language.paths`).
Alerts that a filter's plain conditions reject are not put before it (`boom_streams.filters.running.prefilter`).
"""

from __future__ import annotations

import json
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database
from pymongo.errors import ConnectionFailure

from boom_streams.errors import BadRecord, BoomError, FilterError
from boom_streams.filters.document import Filter
from boom_streams.filters.language.cost import CURVE
from boom_streams.filters.language.paths import Needs, needs, union
from boom_streams.filters.language.sizes import MAX_TEXT, too_large
from boom_streams.filters.running.columns import Columns
from boom_streams.filters.running.pipeline import LostConnection, StuckError, TooSlow, run_pipeline, run_together
from boom_streams.filters.running.prefilter import Condition, condition
from boom_streams.filters.running.scratch import Held, Scratch
from boom_streams.surveys import get_survey

__all__ = ["Evaluator", "Failure", "Match", "TooMuch"]

Record: TypeAlias = Mapping[str, Any]

#: Most bytes that an alert may have beside its light curve; with `CURVE` this is what bounds on filters assume.
MAX_ALERT = 1 << 20
#: Most bytes of annotations that the matches of several alerts may have; of one alert they are held in any case.
MAX_HELD = 64 << 20
#: Pipelines that are run to find the alerts at which a filter fails; those not reached then have no answer.
MAX_RUNS = 40
#: Connections (or MongoDBs) that may be lost in a row while a filter runs, before that is its fault.
MAX_LOSSES = 3

#: Filters whose pipelines go in one request, and the most bytes that they may have.
TOGETHER, MAX_PIPELINES = 50, 4 << 20

#: Seconds for which each filter is run by itself after one of them has failed.
ALONE = 60.0

_CACHED = 10_000

#: What every result is cut down to, whatever the pipeline's last stage keeps.
_RESULT = {"$project": {"annotations": 1}}


class TooMuch(BoomError):
    """A batch has more results than can be held at once; its parts may have less."""


@dataclass(frozen=True, slots=True)
class Match:
    """An alert passed a filter.

    Attributes
    ----------
    index
        Place of the alert's record in the batch.
    text
        What the filter says about the alert, a JSON object.
    """

    index: int
    filter: Filter
    text: str

    @property
    def annotations(self) -> dict[str, Any]:
        """What the filter says about the alert."""
        found: dict[str, Any] = json.loads(self.text)
        return found


@dataclass(frozen=True, slots=True)
class Failure:
    """A filter failed at some alerts, or took too long; the others were evaluated.

    Attributes
    ----------
    candid
        The alert at which it failed, where that is known.
    """

    filter: Filter
    reason: str
    candid: int | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known of a pipeline before any alert."""

    needs: Needs
    condition: Condition
    stages: list[RawBSONDocument]

    @property
    def size(self) -> int:
        """Bytes of the pipeline."""
        return sum(len(stage.raw) for stage in self.stages)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Annotations by candid, and why there are none of other alerts."""

    found: dict[int, str]
    reason: str = ""
    candid: int | None = None


class Evaluator:
    """Evaluates filters on batches of classified records. Not for several threads.

    Parameters
    ----------
    db
        Where the scratch collections are made. Its client must not repeat reads by itself (``retryReads=False``):
        a mongod that was killed and is back has lost the alerts, and so finds nothing.
    timeout_ms
        Longest time of one filter on one batch; it is tried twice.
    history_days
        Days of light curve before the alert that a filter sees.
    """

    def __init__(self, db: Database[dict[str, Any]], timeout_ms: int = 5000, history_days: float = 365.0) -> None:
        self._scratch = Scratch(db)
        self._timeout = timeout_ms
        self._days = history_days
        self._plans: dict[tuple[str, str], _Plan] = {}
        self._losses: Counter[tuple[str, str]] = Counter()
        self._alone_until: dict[frozenset[int], float] = {}

    def close(self) -> None:
        """Leave nothing in the database."""
        self._scratch.close()

    def evaluate(self, records: Sequence[Record], filters: Sequence[Filter]) -> tuple[list[Match], list[Failure]]:
        """Evaluate filters on a batch.

        Parameters
        ----------
        records
            Classified records; their sub-documents can be `RawBSONDocument`, which is faster. Of records with the
            same candid the first is evaluated, and its answer is that of all.
        filters
            Each is evaluated on the records of its survey that it may see.

        Returns
        -------
        matches : list of Match
            By filter in the order given, then by index. Of a filter that failed at some alerts, those of the others.
        failures : list of Failure
            Filters that raised an error or took too long.

        Raises
        ------
        BadRecord
            If a record lacks what an alert must have, or is too large.
        TooMuch
            If the annotations of several alerts are more than can be held at once.
        pymongo.errors.ConnectionFailure, ServiceError
            If MongoDB is away, or refuses for a reason that is not the filter's.
        """
        groups: dict[tuple[str, frozenset[int]], list[int]] = {}
        for number, one in enumerate(filters):
            groups.setdefault((one.survey, one.programmes()), []).append(number)
        matches: list[list[Match]] = [[] for _ in filters]
        failures: list[Failure] = []
        held = 0
        for (survey, programmes), members in groups.items():
            places = _places(records, survey, programmes)
            chosen = {candid: records[indexes[0]] for candid, indexes in places.items()}
            with closing(self._group(chosen, [filters[number] for number in members])) as answers:
                for number, answer in answers:
                    one = filters[members[number]]
                    if answer.reason:
                        failures.append(Failure(one, answer.reason, answer.candid))
                    found = [Match(i, one, notes) for candid, notes in answer.found.items() for i in places[candid]]
                    matches[members[number]] = sorted(found, key=lambda match: match.index)
                    held += sum(map(len, answer.found.values()))
                    if held > MAX_HELD and len(records) > 1:
                        raise TooMuch(f"annotations of {len(records)} alerts have more than {MAX_HELD} bytes")
        for failure in failures:  # who switches it on again may have put it right
            self._losses.pop((failure.filter.id, failure.filter.fid), None)
        return [match for several in matches for match in several], failures

    def _group(self, records: Mapping[int, Record], filters: Sequence[Filter]) -> Generator[tuple[int, _Answer]]:
        """Answers of filters with the same rights, each with the filter's number."""
        if not records:
            return
        plans = [self._plan(one) for one in filters]
        candids = list(records)
        columns = Columns([_sub(record, "alert") for record in records.values()], list(records.values()))
        masks = [plan.condition(columns) for plan in plans]
        anywhere = np.logical_or.reduce(masks) if masks else np.zeros(len(candids), bool)
        if not anywhere.any():
            return
        wanted = union(plan.needs for plan, mask in zip(plans, masks, strict=True) if mask.any())
        documents = [
            self._document(record, wanted, filters[0])
            for record, chosen in zip(records.values(), anywhere, strict=True)
            if chosen
        ]
        asked = {
            number: [candid for candid, passed in zip(candids, mask, strict=True) if passed]
            for number, mask in enumerate(masks)
            if mask.any()
        }
        waiting = deque(asked)
        while waiting:
            with self._scratch.holding(documents) as held:
                for several in self._parts(filters, waiting):
                    for number, found in self._ask_together(held, filters, several, asked, len(documents)):
                        waiting.remove(number)
                        yield number, found
                while waiting and not held.lost:
                    number = waiting[0]
                    answer = self._ask(held, filters[number], asked[number], len(documents))
                    if answer is not None:
                        yield waiting.popleft(), answer

    def _parts(self, filters: Sequence[Filter], waiting: Sequence[int]) -> Iterator[list[int]]:
        """Filters that are asked in one request each; none while they are asked one by one."""
        part: list[int] = []
        size = 0
        for number in list(waiting):
            plan = self._plan(filters[number])
            if self._losses[filters[number].id, filters[number].fid]:
                continue
            if part and (len(part) == TOGETHER or size + plan.size > MAX_PIPELINES):
                yield part
                part, size = [], 0
            part.append(number)
            size += plan.size
        if len(part) > 1:
            yield part

    def _ask_together(
        self, held: Held, filters: Sequence[Filter], numbers: Sequence[int], asked: Mapping[int, Any], stored: int
    ) -> list[tuple[int, _Answer]]:
        """Answers of several filters; none if one of them fails, which has to be found by asking each."""
        rights = filters[numbers[0]].programmes()
        if held.lost or time.monotonic() < self._alone_until.get(rights, 0.0):
            return []
        pipelines = {
            number: [*_among(asked[number], stored), *self._plan(filters[number]).stages] for number in numbers
        }
        self._alone_until[rights] = time.monotonic() + ALONE
        found = None
        try:
            found = run_together(held.collection, pipelines, self._timeout)
        except LostConnection:
            held.lost = True
        except StuckError:
            held.stuck = True
        if found is None:
            return []
        del self._alone_until[rights]
        return [(number, _Answer(answer)) for number, answer in found.items()]

    def _ask(self, held: Held, one: Filter, candids: Sequence[int], stored: int) -> _Answer | None:
        """Answer of a filter on some of the alerts that are stored; None if they may be lost with the connection."""
        key = one.id, one.fid
        stages = self._plan(one).stages

        def run(some: Sequence[int]) -> dict[int, str]:
            return run_pipeline(held.collection, [*_among(some, stored), *stages], len(some), self._timeout)

        if self._losses[key] >= MAX_LOSSES:
            return _Answer({}, f"MongoDB was lost {MAX_LOSSES} times in a row while it ran")
        try:
            answer = _narrow(run, candids)
        except LostConnection:
            held.lost = True
            self._losses[key] += 1
            return None
        except StuckError as error:
            held.stuck = True
            return _Answer({}, str(error))
        except ConnectionFailure:
            self._losses[key] += 1
            raise
        self._losses.pop(key, None)
        return answer

    def _plan(self, one: Filter) -> _Plan:
        plan = self._plans.get((one.id, one.fid))
        if plan is None:
            if len(self._plans) >= _CACHED:
                self._plans.clear()
            stages = [RawBSONDocument(bson.encode(stage)) for stage in (*one.pipeline, _RESULT)]
            plan = _Plan(needs(one.pipeline, get_survey(one.survey)), condition(one.pipeline), stages)
            self._plans[one.id, one.fid] = plan
        return plan

    def _document(self, record: Record, wanted: Needs, one: Filter) -> RawBSONDocument:
        """The alert as it will stand in the archive, joined with its light curve; spliced, not encoded again."""
        try:
            around: dict[str, Any] = {
                name: record[name]
                for name in ("properties", "classifications", "cross_matches", "aliases")
                if name in wanted.inputs
            }
            series = {name: self._series(record, name, fields, one) for name, fields in wanted.series.items()}
            alert = _sub(record, "alert")
            raw = alert.raw if isinstance(alert, RawBSONDocument) else bson.encode(alert)
        except KeyError as error:
            raise BadRecord(f"the classified record has no {error}") from None
        body = bytes(raw[4:-1]) + bson.encode(around)[4:-1]
        if len(body) > MAX_ALERT:
            raise BadRecord(f"{len(body)} bytes beside the light curve; filters take alerts of up to {MAX_ALERT}")
        if len(body) > MAX_TEXT and (reason := too_large({"alert": alert, **around})) is not None:
            raise BadRecord(f"filters do not take this alert: {reason}")
        body += bson.encode(series)[4:]
        return RawBSONDocument(struct.pack("<i", len(body) + 4) + body)

    def _series(self, record: Record, name: str, fields: frozenset[str] | None, one: Filter) -> list[dict[str, Any]]:
        """The newest `CURVE` points of the last `history_days` until the alert that the filter may see."""
        survey = get_survey(one.survey)
        series = survey.series.get(name)
        data = record["series"].get(name)
        if series is None or not data:
            return []
        curve = series.loads(data)
        jd = curve["jd"]
        visible = (jd >= record["jd"] - self._days) & (jd <= record["jd"])
        visible &= survey.rights.visible(curve, one.programmes())
        return series.to_documents(curve[visible][-CURVE:], fields)


def _places(records: Sequence[Record], survey: str, programmes: frozenset[int]) -> dict[int, list[int]]:
    """Indexes of the records of each candid, of a survey and of programmes."""
    places: dict[int, list[int]] = {}
    for index, record in enumerate(records):
        try:
            if record["survey"] == survey and get_survey(survey).rights.sees(programmes, record["programid"]):
                places.setdefault(record["candid"], []).append(index)
        except KeyError as error:
            raise BadRecord(f"the classified record has no {error}") from None
    return places


def _sub(record: Record, name: str) -> Mapping[str, Any]:
    found = record.get(name)
    if not isinstance(found, Mapping):
        raise BadRecord(f"the classified record has no {name}")
    return found


def _among(candids: Sequence[int], stored: int) -> list[Any]:
    """The stage that leaves some of the alerts that are stored."""
    return [] if len(candids) == stored else [{"$match": {"_id": {"$in": list(candids)}}}]


def _narrow(run: Callable[[Sequence[int]], dict[int, str]], candids: Sequence[int]) -> _Answer:
    """Answer on all alerts at once; if that fails, on ever smaller parts, so that only where it fails there is none."""
    found: dict[int, str] = {}
    reason, candid = "", None
    parts = deque([candids])
    for _ in range(MAX_RUNS):
        if not parts:
            break
        part = parts.popleft()
        try:
            found |= run(part)
        except StuckError:
            raise
        except TooSlow as error:
            return _Answer(found, reason or str(error), candid)
        except LostConnection:
            raise
        except FilterError as error:
            reason = reason or str(error)
            if len(part) > 1:
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
            elif candid is None:
                reason, candid = str(error), part[0]
    return _Answer(found, reason, candid)

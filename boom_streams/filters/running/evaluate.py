"""Runs filters on alerts in flight: mongod itself evaluates them, on the batch put into a scratch collection.

The answer is that of the same pipelines on the archive (`on_archive`) as it stands when the alerts are stored. Filters
with the same rights share a collection, which holds the alerts and the points that they may see and nothing else; of
the light curves it holds the fields that some filter reads (`boom_streams.filters.language.paths`).
Alerts that a filter's plain conditions reject are not put before it (`boom_streams.filters.running.prefilter`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import bson
import numpy as np
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConnectionFailure, OperationFailure

from boom_streams.errors import BadRecord, ServiceError
from boom_streams.filters.document import Filter
from boom_streams.filters.language.paths import Needs, needs, union
from boom_streams.filters.running.annotations import read_results
from boom_streams.filters.running.columns import Columns
from boom_streams.filters.running.prefilter import Condition, condition
from boom_streams.surveys import get_survey

__all__ = ["Evaluator", "Failure", "Match"]

Record: TypeAlias = Mapping[str, Any]

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_FAST = WriteConcern(w=1, j=False)
_TIMEOUT = 50  # MaxTimeMSExpired
_CACHED = 10_000

#: Codes of mongod that are no fault of a filter: rights, lost collections and cursors, shutdown, overload.
_NOT_THE_FILTER = frozenset({13, 18, 26, 43, 91, 112, 133, 175, 189, 237, 246, 262, 11600, 11601, 11602, 14031})

#: What every result is cut down to, whatever the pipeline's last stage keeps.
_RESULT = {"$project": {"annotations": 1}}


@dataclass(frozen=True, slots=True)
class Match:
    """An alert passed a filter."""

    index: int
    """Place of the alert's record in the batch."""
    filter: Filter
    annotations: dict[str, Any]
    """What the filter says about the alert; only values that JSON has."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A filter could not be evaluated; the others were."""

    filter: Filter
    reason: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known of a pipeline before any alert."""

    needs: Needs
    condition: Condition
    stages: list[RawBSONDocument]


class Evaluator:
    """Evaluates filters on batches of classified records. Not for several threads.

    Parameters
    ----------
    db : Database
        Where the scratch collections are made.
    scratch_name : str
        Beginning of their names; no other process may use it.
    timeout_ms : int
        Longest time of one filter on one batch; it is tried twice.
    history_days : float
        Days of light curve before the alert that a filter sees.
    """

    def __init__(
        self, db: Database[dict[str, Any]], scratch_name: str, timeout_ms: int = 5000, history_days: float = 365.0
    ) -> None:
        self._db = db
        self._name = scratch_name
        self._timeout = timeout_ms
        self._days = history_days
        self._plans: dict[tuple[str, str], _Plan] = {}

    def evaluate(self, records: Sequence[Record], filters: Sequence[Filter]) -> tuple[list[Match], list[Failure]]:
        """Evaluate filters on a batch.

        Parameters
        ----------
        records : sequence of mapping
            Classified records; their sub-documents can be `RawBSONDocument`, which is faster. Of records with the
            same candid the first is evaluated, and its answer is that of all.
        filters : sequence of Filter
            Each is evaluated on the records of its survey that it may see.

        Returns
        -------
        matches : list of Match
            By filter in the order given, then by index.
        failures : list of Failure
            Filters that raised an error or took too long.

        Raises
        ------
        BadRecord
            If a record lacks what an alert must have.
        pymongo.errors.ConnectionFailure, ServiceError
            If MongoDB is away, or refuses for a reason that is not the filter's.
        """
        groups: dict[tuple[str, frozenset[int]], list[int]] = {}
        for number, one in enumerate(filters):
            groups.setdefault((one.survey, one.programmes()), []).append(number)
        matches: list[list[Match]] = [[] for _ in filters]
        failures: list[Failure] = []
        for scratch, ((survey, programmes), members) in enumerate(groups.items()):
            places = _places(records, survey, programmes)
            chosen = {candid: records[indexes[0]] for candid, indexes in places.items()}
            answers = self._group(f"{self._name}_{scratch}", chosen, [filters[number] for number in members])
            for number, answer in zip(members, answers, strict=True):
                one = filters[number]
                if isinstance(answer, str):
                    failures.append(Failure(one, answer))
                else:
                    found = [Match(i, one, notes) for candid, notes in answer.items() for i in places[candid]]
                    matches[number] = sorted(found, key=lambda match: match.index)
        return [match for several in matches for match in several], failures

    def _group(
        self, name: str, records: Mapping[int, Record], filters: Sequence[Filter]
    ) -> list[dict[int, dict[str, Any]] | str]:
        """Answers of filters with the same rights: annotations by candid, or the reason of a failure."""
        if not records:
            return [{} for _ in filters]
        plans = [self._plan(one) for one in filters]
        candids = list(records)
        columns = Columns([_sub(record, "alert") for record in records.values()], list(records.values()))
        masks = [plan.condition(columns) for plan in plans]
        anywhere = np.logical_or.reduce(masks) if masks else np.zeros(len(candids), bool)
        if not anywhere.any():
            return [{} for _ in filters]
        wanted = union(plan.needs for plan, mask in zip(plans, masks, strict=True) if mask.any())
        documents = [
            self._document(record, wanted, filters[0])
            for record, chosen in zip(records.values(), anywhere, strict=True)
            if chosen
        ]
        scratch = self._db.get_collection(name, codec_options=_RAW, write_concern=_FAST)
        with _infrastructure():
            scratch.drop()
            scratch.insert_many(documents, ordered=False)
        answers: list[dict[int, dict[str, Any]] | str] = []
        try:
            for plan, mask in zip(plans, masks, strict=True):
                first = [] if (mask == anywhere).all() else [_among(candids, mask)]
                answers.append(self._run(scratch, first + plan.stages, len(candids)) if mask.any() else {})
        finally:
            scratch.drop()
        return answers

    def _run(self, scratch: Collection[Any], stages: list[Any], count: int) -> dict[int, dict[str, Any]] | str:
        for attempt in (1, 2):
            try:
                found: dict[int, dict[str, Any]] = {}
                with scratch.aggregate_raw_batches(stages, maxTimeMS=self._timeout, batchSize=count + 1) as cursor:
                    for batch in cursor:
                        found |= read_results(batch)
                return found
            except OperationFailure as error:
                if error.code in _NOT_THE_FILTER:
                    raise ServiceError(f"MongoDB did not run filters: {_text(error)}") from error
                if error.code != _TIMEOUT:
                    return _text(error)
                if attempt == 2:
                    return f"took longer than {self._timeout} ms on {count} alerts, twice"
            except BSONError as error:
                return f"its annotations cannot be read: {error}"
            except ValueError as error:
                return str(error)
        raise AssertionError("unreachable")

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
            rest: dict[str, Any] = {
                name: record[name]
                for name in ("properties", "classifications", "cross_matches", "aliases")
                if name in wanted.inputs
            }
            for name, fields in wanted.series.items():
                rest[name] = self._series(record, name, fields, one)
            alert = _sub(record, "alert")
            raw = alert.raw if isinstance(alert, RawBSONDocument) else bson.encode(alert)
        except KeyError as error:
            raise BadRecord(f"the classified record has no {error}") from None
        body = bytes(raw[4:-1]) + bson.encode(rest)[4:]
        return RawBSONDocument(struct.pack("<i", len(body) + 4) + body)

    def _series(self, record: Record, name: str, fields: frozenset[str] | None, one: Filter) -> list[dict[str, Any]]:
        """Points of the last `history_days` until the alert whose programme the filter may see."""
        survey = get_survey(one.survey)
        series = survey.series.get(name)
        data = record["series"].get(name)
        if series is None or not data:
            return []
        curve = series.loads(data)
        jd = curve["jd"]
        visible = (jd >= record["jd"] - self._days) & (jd <= record["jd"])
        visible &= survey.rights.visible(curve, one.programmes())
        return series.to_documents(curve[visible], fields)


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


def _among(candids: Sequence[int], mask: NDArray[np.bool_]) -> dict[str, Any]:
    return {"$match": {"_id": {"$in": [candid for candid, chosen in zip(candids, mask, strict=True) if chosen]}}}


def _text(error: OperationFailure) -> str:
    details = error.details or {}
    return str(details.get("errmsg") or error)[:500]


@contextmanager
def _infrastructure() -> Iterator[None]:
    """What fails here is MongoDB's fault, said in few words (a bulk error repeats every document)."""
    try:
        yield
    except ConnectionFailure:
        raise
    except BulkWriteError as error:
        errors = (error.details or {}).get("writeErrors") or [{}]
        raise ServiceError(f"MongoDB did not take alerts for filters: {errors[0].get('errmsg')}") from None
    except OperationFailure as error:
        raise ServiceError(f"MongoDB did not take alerts for filters: {_text(error)}") from None

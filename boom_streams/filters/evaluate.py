"""Runs filters on alerts in flight: mongod itself evaluates them, on the batch put into a scratch collection.

The answer is that of the same pipelines on the archive (`boom_streams.filters.archive`) as it stands when the alerts
are stored. Filters with the same rights share a collection, which holds the alerts and the points that they may see and
nothing else; of the light curves it holds the fields that some filter reads (`boom_streams.filters.paths`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import bson
import numpy as np
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure

from boom_streams import points
from boom_streams.errors import BadRecord, ServiceError
from boom_streams.filters.document import Filter
from boom_streams.filters.paths import SERIES, Needs, needs, union
from boom_streams.surveys import get_survey

__all__ = ["Evaluator", "Failure", "Match"]

Record: TypeAlias = Mapping[str, Any]

_RAW = CodecOptions(document_class=RawBSONDocument)
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_FAST = WriteConcern(w=1, j=False)
_MAX_ANNOTATIONS = 64 * 1024
_TIMEOUT = 50  # MaxTimeMSExpired

#: Codes of mongod that are no fault of a filter: rights, lost collections and cursors, shutdown, overload.
_NOT_THE_FILTER = frozenset({13, 18, 26, 43, 91, 112, 133, 175, 189, 237, 246, 262, 11600, 11601, 11602, 14031})


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


class Evaluator:
    """Evaluates filters on batches of classified records.

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
        self._needs: dict[str, Needs] = {}

    def evaluate(self, records: Sequence[Record], filters: Sequence[Filter]) -> tuple[list[Match], list[Failure]]:
        """Evaluate filters on a batch.

        Parameters
        ----------
        records : sequence of mapping
            Classified records; sub-documents can be `RawBSONDocument`, which is faster. Of records with the same
            candid the first is evaluated, and its answer is that of all.
        filters : sequence of Filter
            Validated; each is evaluated on the records of its survey that it may see.

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
        groups: dict[tuple[str, frozenset[int]], list[Filter]] = {}
        for one in filters:
            groups.setdefault((one.survey, one.programids()), []).append(one)
        matches: dict[Filter | int, list[Match]] = {}
        failures: list[Failure] = []
        for number, ((survey, programids), members) in enumerate(groups.items()):
            places = _places(records, survey, programids)
            if places:
                chosen = {candid: records[indexes[0]] for candid, indexes in places.items()}
                for one, answer in self._group(f"{self._name}_{number}", survey, chosen, members):
                    if isinstance(answer, str):
                        failures.append(Failure(one, answer))
                    else:
                        found = [Match(i, one, notes) for candid, notes in answer.items() for i in places[candid]]
                        matches[id(one)] = sorted(found, key=lambda match: match.index)
        return [match for one in filters for match in matches.get(id(one), ())], failures

    def _group(
        self, name: str, survey: str, records: Mapping[int, Record], filters: Sequence[Filter]
    ) -> Iterator[tuple[Filter, dict[int, dict[str, Any]] | str]]:
        """Answers of filters with the same rights: annotations by candid, or the reason of a failure."""
        wanted = union(self._needs_of(one) for one in filters)
        programids = filters[0].programids()
        documents = [self._document(survey, record, wanted, programids) for record in records.values()]
        scratch = self._db.get_collection(name, codec_options=_RAW, write_concern=_FAST)
        with _infrastructure():
            scratch.insert_many(documents, ordered=False)
        try:
            for one in filters:
                yield one, self._run(scratch, one, records)
        finally:
            scratch.drop()

    def _needs_of(self, one: Filter) -> Needs:
        if one.fid not in self._needs:
            self._needs[one.fid] = needs(one.pipeline)
        return self._needs[one.fid]

"""Writing and reading the archive in batches. Every write can be repeated, and comes in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from boom_streams.archive import formats
from boom_streams.archive.filter_matches import match_document
from boom_streams.archive.mongo import duplicates
from boom_streams.archive.objects import from_archive, write_objects
from boom_streams.errors import BadRecord
from boom_streams.names import collection
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import decode_matches
from boom_streams.surveys import get_survey
from boom_streams.surveys.packed_points import Points

__all__ = ["Archive"]

#: MongoDB takes documents of up to 16 MB.
MAX_DOCUMENT = 15 << 20

Document = dict[str, Any]
Problems = list[BadRecord | None]


class Archive:
    """The collections of some surveys in one database."""

    def __init__(self, database: Database[Document], surveys: Iterable[str]) -> None:
        self._database = database
        self._surveys = {name: get_survey(name) for name in surveys}
        self._stated = False

    def write_enriched(self, values: Sequence[bytes]) -> Problems:
        """Store alerts and cutouts of enriched records.

        Returns
        -------
        list
            For each record None, or why it can never be stored.
        """
        problems = _too_large(values)
        for survey, records in self._by_survey(values, problems).items():
            alerts = [_alert(record) for record in records]
            self._insert_alerts(self._collection(survey, "alerts"), alerts)
            cutouts = [{"_id": record["candid"], **_shallow(record["cutouts"])} for record in records]
            _insert_new(self._collection(survey, "alerts_cutouts"), cutouts)
        return problems

    def write_classified(self, values: Sequence[bytes]) -> Problems:
        """Store properties and scores of classified records, and what their objects are: light curves, matches."""
        problems = _too_large(values)
        for survey, records in self._by_survey(values, problems).items():
            updates = [
                UpdateOne(
                    {"_id": record["candid"], "properties": {"$exists": False}},
                    {"$set": _added_by_classify(record)},
                    upsert=True,
                )
                for record in records
            ]
            _first_wins(self._collection(survey, "alerts"), updates)
            write_objects(self._collection(survey, "alerts_aux"), self._surveys[survey], records)
        return problems

    def write_matches(self, values: Sequence[bytes]) -> Problems:
        """Store which alert passed which filter, from records of ``<survey>.filtered``."""
        matches: dict[str, list[Document]] = {}
        for value in values:
            message = decode_matches(value)
            for passed in message["filters"]:
                matches.setdefault(message["survey"], []).append(match_document(message, passed))
        for survey, documents in matches.items():
            _insert_new(self._collection(survey, "filter_matches"), documents)
        return [None] * len(values)

    def read_objects(
        self, survey: str, object_ids: Sequence[str]
    ) -> dict[str, tuple[dict[str, Points], frozenset[int], int]]:
        """Objects as the archive has them: packed points, candids of their alerts, newest revision."""
        adapter = self._surveys[survey]
        fields = {name: 1 for name in (*adapter.series, "revision")}
        found = self._collection(survey, "alerts_aux").find({"_id": {"$in": list(object_ids)}}, fields)
        return {document["_id"]: from_archive(adapter, document) for document in found if "revision" in document}

    def read_cutouts(self, survey: str, candids: Sequence[int]) -> dict[int, dict[str, bytes]]:
        """Cutouts as received, by candid."""
        found = self._collection(survey, "alerts_cutouts").find({"_id": {"$in": list(candids)}})
        return {document.pop("_id"): document for document in found}

    def _collection(self, survey: str, kind: str) -> Collection[Document]:
        if not self._stated:
            formats.state(self._database, self._surveys)
            self._stated = True
        return self._database[collection(survey, kind)]

    def _by_survey(self, values: Sequence[bytes], problems: Problems) -> dict[str, list[RawBSONDocument]]:
        records: dict[str, list[RawBSONDocument]] = {}
        for value, problem in zip(values, problems, strict=True):
            if problem is None:
                record = bson_records.fields(value)
                records.setdefault(record["survey"], []).append(record)
        return records

    def _insert_alerts(self, alerts: Collection[Document], documents: Sequence[Document]) -> None:
        """Insert alerts; of those that the sink of ``classified`` made first, set what is missing."""
        present = _insert_new(alerts, documents)
        updates = [
            UpdateOne(
                {"_id": document["_id"], "candidate": {"$exists": False}},
                {"$set": {name: value for name, value in document.items() if name != "_id"}},
            )
            for document in (documents[index] for index in present)
        ]
        if updates:
            alerts.bulk_write(updates, ordered=False)


def _alert(record: RawBSONDocument) -> Document:
    received = record["received"]
    return {**_shallow(record["alert"]), "created_at": received, "updated_at": received}


def _shallow(document: RawBSONDocument) -> Document:
    """Top-level fields; sub-documents stay encoded."""
    return dict(document.items())


def _added_by_classify(record: RawBSONDocument) -> Document:
    added = {name: record[name] for name in ("properties", "classifications", "models")}
    if len(record["unscored"]):
        added["unscored"] = record["unscored"]
    if record["history"] != "complete":
        added["history"] = record["history"]
    return added


def _too_large(values: Sequence[bytes]) -> Problems:
    return [
        BadRecord(f"{len(value)} bytes as BSON; MongoDB stores up to {MAX_DOCUMENT}")
        if len(value) > MAX_DOCUMENT
        else None
        for value in values
    ]


def _insert_new(target: Collection[Document], documents: Sequence[Document]) -> list[int]:
    """Insert documents; return the places of those whose ``_id`` is there already."""
    if not documents:
        return []
    try:
        target.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return duplicates(error)
    return []


def _first_wins(target: Collection[Document], updates: Sequence[UpdateOne]) -> None:
    """Run upserts whose filter asks for a field to be absent: a duplicate key says that it is there.

    Or that another sink made the document a moment ago, without the field: so duplicates are tried once more.
    """
    remaining = list(updates)
    for _ in range(2):
        if not remaining:
            return
        try:
            target.bulk_write(remaining, ordered=False)
            return
        except BulkWriteError as error:
            remaining = [remaining[place] for place in duplicates(error)]

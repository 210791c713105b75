"""Step 1, from release 0.1.0: objects say which programme's alert their catalogue matches come from.

Objects had the matches of their newest alert, whoever may see it. What that alert says is put under its programme;
what earlier alerts of other programmes said was not kept, and comes with their next alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from boom_streams.archive.formats import Kept
from boom_streams.astro import sky
from boom_streams.surveys import Survey

__all__ = ["TITLE", "count", "run"]

TITLE = "put what is around objects under the programme of the alert that says so"

Document = dict[str, Any]

_LEFT: Document = {"matched": {"$exists": True}, "by_programme": {"$exists": False}}
_MATCHES = ("cross_matches", "catalogs", "unmatched", "aliases")
_BATCH = 500


def count(database: Database[Document], kept: Kept) -> int:
    """Objects that are left."""
    if kept.survey is None or not _has_several(kept.survey):
        return 0
    return database[kept.name].count_documents(_LEFT)


def run(database: Database[Document], kept: Kept, done: Callable[[int], None]) -> None:
    """Change what is left."""
    survey = kept.survey
    if survey is None or not _has_several(survey):
        return
    objects = database[kept.name]
    own = {"$eq": ["$$point.candid", "$matched.candid"]}
    detection = {"$filter": {"input": f"${survey.detections.name}", "as": "point", "cond": own}}
    shown = {"matched": 1, **dict.fromkeys(_MATCHES, 1), "detection": {"$first": detection}}
    found = objects.aggregate([{"$match": _LEFT}, {"$project": shown}], batchSize=_BATCH)
    while batch := list(islice(found, _BATCH)):
        objects.bulk_write([_update(survey, document) for document in batch], ordered=False)
        done(len(batch))


def _has_several(survey: Survey) -> bool:
    """Whether what some may see others may not."""
    return survey.rights.field is not None and len(survey.rights.levels) > 1


def _update(survey: Survey, document: Document) -> UpdateOne:
    """The update of an object; of one whose newest alert is not among its points nobody is shown anything."""
    by_programme: Document = {}
    detection = document.get("detection")
    if detection is not None:
        (place,) = sky.coordinates([detection["ra"]], [detection["dec"]])
        matches = {name: document[name] for name in _MATCHES if name in document}
        programme = str(survey.rights.programme(detection.get(survey.rights.field)))
        by_programme[programme] = {**document["matched"], "coordinates": place, **matches}
    return UpdateOne(
        {"_id": document["_id"], "by_programme": {"$exists": False}}, {"$set": {"by_programme": by_programme}}
    )

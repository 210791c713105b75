"""A filter on the archive: the same pipeline, with the join that gives it what it sees in flight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boom_streams import names
from boom_streams.archive.matches import shown_matches
from boom_streams.archive.objects import BOOKS
from boom_streams.filters.document import Filter
from boom_streams.filters.language.cost import CURVE
from boom_streams.filters.language.paths import inputs
from boom_streams.surveys import get_survey

__all__ = ["archive_pipeline"]


def archive_pipeline(
    one: Filter, start: Mapping[str, Any] | None = None, history_days: float = 365.0
) -> list[dict[str, Any]]:
    """Aggregation on ``<SURVEY>_alerts`` that gives what the filter gives in flight.

    Parameters
    ----------
    one
        The filter.
    start
        A condition that comes first, such as ``{"candidate.jd": {"$gte": 2460449.5}}``.
    history_days
        Days of light curve before the alert that the filter sees.
    """
    survey = get_survey(one.survey)
    rights, programmes = survey.rights, one.programmes()
    conditions = [condition for condition in (dict(start or {}), rights.query(programmes)) if condition]
    fields: dict[str, Any] = dict.fromkeys(inputs(survey), 1)
    for name in survey.series:
        fields[name] = _curve(name, history_days, rights.expression("point", programmes))
    for name in ("cross_matches", "aliases"):
        fields[name] = {"$ifNull": [f"$shown.{name}", {}]}
    join = {
        "from": names.collection(one.survey, "alerts_aux"),
        "localField": "objectId",
        "foreignField": "_id",
        "as": "aux",
    }
    return [
        *({"$match": condition} for condition in conditions),
        {"$lookup": join},
        {"$set": {"shown": shown_matches(survey, programmes, "$aux")}},
        {"$project": fields},
        {"$unset": [f"{name}.{book}" for name in survey.series for book in BOOKS]},
        *one.pipeline,
    ]


def _curve(name: str, days: float, seen: Any) -> dict[str, Any]:
    conditions = [
        {"$gte": ["$$point.jd", {"$subtract": ["$candidate.jd", days]}]},
        {"$lte": ["$$point.jd", "$candidate.jd"]},
        seen,
    ]
    curve = {"$ifNull": [{"$first": f"$aux.{name}"}, []]}
    return {"$slice": [{"$filter": {"input": curve, "as": "point", "cond": {"$and": conditions}}}, -CURVE]}

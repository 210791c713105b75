"""The pre-filter never rejects what mongod lets through."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from boom_streams.errors import FilterError
from boom_streams.filters.language.validate import validate
from boom_streams.filters.running.columns import Columns
from boom_streams.filters.running.prefilter import condition
from boom_streams.testing import scratch_database
from tests.support.pipelines import DOCUMENTS, PIPELINES

LAST = {"$project": {"objectId": 1}}
OUTSIDE = ("properties", "classifications")


@pytest.fixture(scope="module")
def scratch(services: dict[str, str]) -> Iterator[Collection[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database.alerts


def columns(documents: list[dict[str, Any]], *, raw: bool) -> Columns:
    """As the evaluator makes them: properties and scores lie beside the alert."""

    def part(value: dict[str, Any]) -> Any:
        return RawBSONDocument(bson.encode(value)) if raw else value

    alerts = [part({k: v for k, v in one.items() if k not in OUTSIDE}) for one in documents]
    return Columns(alerts, [part({k: v for k, v in one.items() if k in OUTSIDE}) for one in documents])


def passing(scratch: Collection[Any], pipeline: list[Any], documents: list[dict[str, Any]]) -> set[int]:
    """Places of documents that mongod lets through; those at which it fails are not among them."""
    scratch.delete_many({})
    scratch.insert_many([{"_id": n, "objectId": "ZTF"} | one for n, one in enumerate(documents)])
    try:
        return {one["_id"] for one in scratch.aggregate(pipeline)}
    except OperationFailure:
        found = set()
        for number in range(len(documents)):
            try:
                found |= {one["_id"] for one in scratch.aggregate([{"$match": {"_id": number}}, *pipeline])}
            except OperationFailure:
                continue
        return found


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(pipeline=PIPELINES, documents=st.lists(DOCUMENTS, min_size=1, max_size=12), raw=st.booleans())
def test_what_mongod_lets_through_is_never_rejected(
    scratch: Collection[Any], pipeline: list[Any], documents: list[dict[str, Any]], raw: bool
) -> None:
    try:
        validate(pipeline)
    except FilterError:
        return
    mask = condition(pipeline)(columns(documents, raw=raw))
    assert mask.shape == (len(documents),)
    assert mask.dtype == bool
    if not mask.all():
        rejected = set(range(len(documents))) - set(mask.nonzero()[0].tolist())
        assert not rejected & passing(scratch, pipeline, documents)


def accepts(condition_on_alert: Any, *documents: dict[str, Any]) -> list[bool]:
    mask: list[bool] = condition([{"$match": condition_on_alert}, LAST])(columns(list(documents), raw=True)).tolist()
    return mask


def alert(**candidate: Any) -> dict[str, Any]:
    return {"candidate": candidate, "properties": {"rock": False}}


DISTANCE = {"$abs": {"$subtract": ["$candidate.a", "$candidate.b"]}}
PLAIN = [
    ({"candidate.magpsf": {"$lt": 19}}, alert(magpsf=18.5), alert(magpsf=19)),
    ({"candidate.magpsf": {"$gt": 0.5, "$lt": 8}}, alert(magpsf=1), alert(magpsf=8.0)),
    ({"candidate.isdiffpos": True}, alert(isdiffpos=True), alert(isdiffpos=False)),
    ({"candidate.isdiffpos": {"$in": [1, "1", "t", True]}}, alert(isdiffpos=True), alert(isdiffpos=False)),
    ({"candidate.nbad": {"$in": [0, 1]}}, alert(nbad=1), alert(nbad=2)),
    ({"candidate.ssmagnr": None}, alert(), alert(ssmagnr=1.0)),
    ({"candidate.ssnamenr": {"$exists": False}}, alert(), alert(ssnamenr=1)),
    ({"candidate.rb": {"$exists": True}}, alert(rb=0.5), alert()),
    *[({"candidate.rb": {"$exists": there}}, alert(rb=0.5), alert()) for there in ("", "0", [], [0], {}, -1, 0.5)],
    *[({"candidate.rb": {"$exists": there}}, alert(), alert(rb=0.5)) for there in (None, 0, -0.0)],
    ({"properties.rock": False}, alert(), {"candidate": {}, "properties": {"rock": True}}),
    ({"$or": [{"candidate.a": 1}, {"candidate.b": {"$gte": 2}}]}, alert(a=0, b=2), alert(a=0, b=1)),
    ({"$and": [{"candidate.a": 1}, {"candidate.b": 2}]}, alert(a=1, b=2), alert(a=1, b=1)),
    ({"$expr": {"$lt": [DISTANCE, 2]}}, alert(a=1, b=2), alert(a=1, b=3)),
    ({"$expr": {"$not": [{"$lt": ["$candidate.a", 1]}]}}, alert(a=1), alert(a=0.5)),
    ({"$expr": {"$gt": [{"$ifNull": ["$candidate.a", 9]}, 5]}}, alert(), alert(a=1)),
    ({"$expr": {"$in": ["$candidate.a", [1, 2]]}}, alert(a=2), alert(a=3)),
]  # fmt: skip


@pytest.mark.parametrize(("query", "good", "bad"), PLAIN, ids=str)
def test_plain_conditions_reject(
    scratch: Collection[Any], query: Any, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert passing(scratch, [{"$match": query}, LAST], [good, bad]) == {0}
    assert accepts(query, good, bad, good) == [True, False, True]
    assert accepts(query, bad) == [False]


EDGES = [
    # integers that a double does not have: MongoDB's are exact
    ({"$expr": {"$gt": [{"$subtract": ["$candidate.a", -1]}, 2**53]}}, alert(a=2**53)),
    ({"$expr": {"$ne": [{"$subtract": [{"$subtract": ["$candidate.a", -1]}, "$candidate.a"]}, 0]}}, alert(a=2**53)),
    ({"$expr": {"$not": [{"$in": ["$candidate.a", [2**60]]}]}}, alert(a=1)),
    ({"$expr": {"$not": [{"$in": ["$candidate.a", [1e300]]}]}}, alert(a=1)),
    # NaN comes before all numbers
    ({"$expr": {"$lt": [{"$subtract": ["$candidate.a", "$candidate.a"]}, 1]}}, alert(a=math.inf)),
    ({"$expr": {"$gt": [{"$subtract": ["$candidate.a", "$candidate.b"]}, 1]}}, alert(a=1e308, b=-1e308)),
    ({"candidate.a": {"$gte": 5}}, alert(a=[1, 7])),
    ({"$expr": {"$lt": ["$candidate.a", 5]}}, alert()),
    ({"$expr": {"$gt": ["$candidate.a", 5]}}, alert(a=True)),
]


@pytest.mark.parametrize(("query", "good"), EDGES, ids=str)
def test_edges_at_which_mongod_is_asked(scratch: Collection[Any], query: Any, good: dict[str, Any]) -> None:
    pipeline = [{"$match": query}, LAST]
    assert passing(scratch, pipeline, [good, alert(a=1.0)]) >= {0}
    assert accepts(query, good, alert(a=1.0))[0]
    assert accepts(query, good) == [True]


NO_ERROR = [
    {"$subtract": [{"$and": []}, {"$not": [None]}]},
    {"$abs": {"$or": ["$candidate.a"]}},
    {"$subtract": [{"$in": ["$candidate.a", [1]]}, True]},
    {"$abs": {"$subtract": [None, "$candidate.a"]}},
    {"$subtract": ["$candidate.a"]},
    {"$ifNull": ["$candidate.a"]},
    {"$in": ["$candidate.a", "$candidate.b"]},
]


@pytest.mark.parametrize("expression", NO_ERROR, ids=str)
def test_odd_expressions_are_left_to_mongod(expression: Any) -> None:
    assert accepts({"$expr": expression}, alert(a=1), alert(a=True), alert()) == [True] * 3

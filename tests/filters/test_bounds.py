"""Random pipelines on an alert that is as large as can be: what mongod makes is within the bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from boom_streams.errors import FilterError
from boom_streams.filters.language import cost, sizes
from boom_streams.filters.language.validate import validate
from boom_streams.testing import scratch_database
from tests.support import expressions

MATCH = {"$match": {}}
PROJECT = {"$project": {"objectId": 1, "annotations": 1}}


@pytest.fixture(scope="module")
def largest(services: dict[str, str]) -> Iterator[Collection[dict[str, Any]]]:
    """An alert that is as large as can be."""
    points = [{"jd": float(number), "magpsf": 18.0, "name": "x"} for number in range(sizes.CURVE)]
    alert = {
        "_id": 1,
        "objectId": "o" * 30,
        "candidate": {"jd": 5.0, "flag": True, "text": "t" * 30} | {f"f{n}": n for n in range(200)},
        "properties": {f"p{number}": number for number in range(90)},
        "cross_matches": {"NED": [{"name": "n" * 30, "z": 0.1}] * 5_000},
        "aliases": {},
        "coordinates": {"l": 1.0},
        **dict.fromkeys(["prv_candidates", "fp_hists", "prv_nondetections"], points),
    }
    with scratch_database(services["mongo_uri"]) as database:
        database.alerts.insert_one(alert)
        yield database.alerts


#: Codes of mongod for what is too large for BSON.
TOO_LARGE = (10334, 17419)
#: A point of the alert, which counts as one value, has most bytes.
BYTES = 80


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=expressions.values(3), second=expressions.values(2), path=st.sampled_from(["x", "y", "x.k", "fp_hists.k"]))
def test_what_mongod_makes_of_the_largest_alert_is_within_the_bound(
    largest: Collection[Any], first: Any, second: Any, path: str
) -> None:
    stages = [{"$addFields": {"x": first}}, {"$addFields": {path: second}}]
    scope = cost._Scope()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "MAX_STEPS", 5_000_000)
        patch.setattr(cost, "MAX_SIZE", 200_000)
        try:
            validate([MATCH, *stages, PROJECT])
            for each in stages:
                scope.assign(each["$addFields"])
        except FilterError:
            return
    bound = sum(size.total for size in scope._made.values())
    measured = {"$bsonSize": {"x": "$x", "y": "$y", "z": {"$cond": [path == "fp_hists.k", "$fp_hists", 0]}}}
    try:
        (found,) = largest.aggregate([*stages, {"$project": {"bytes": measured}}])
    except OperationFailure as error:
        if error.code not in TOO_LARGE:
            return  # types that do not fit
        raise
    assert found["bytes"] <= BYTES * (bound + 10)

"""Pipelines that could get too large or too slow for MongoDB are refused; what mongod makes is within the bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.collection import Collection

from boom_streams.errors import FilterError
from boom_streams.filters.language import cost
from boom_streams.filters.language.validate import validate
from tests.support.classified import ZTF, scratch_database

MATCH = {"$match": {}}
PROJECT = {"$project": {"objectId": 1, "annotations": 1}}


def doubling(name: str) -> dict[str, Any]:
    return {name: ["$$value", "$$value"]}


def reduce(steps: Any, start: Any, body: Any) -> dict[str, Any]:
    return {"$reduce": {"input": steps, "initialValue": start, "in": body}}


LONG = {"$range": [0, 10000]}
CURVE = "$prv_candidates"
TIMES_TEN = {"$concatArrays": ["$x"] * 10}
FACTOR = "larger by a factor at each step"
MANY = "values can be"
SLOW = "steps an alert"

BOMBS = {
    "an array that doubles in a loop": (
        [{"$addFields": {"x": reduce(LONG, CURVE, doubling("$concatArrays"))}}],
        FACTOR,
    ),
    "a text that doubles in a loop": ([{"$addFields": {"x": reduce(LONG, "a", doubling("$concat"))}}], FACTOR),
    "a variable in between": (
        [
            {
                "$addFields": {
                    "x": reduce(
                        LONG, [1], {"$let": {"vars": {"v": "$$value"}, "in": {"$concatArrays": ["$$v", "$$v"]}}}
                    )
                }
            }
        ],
        FACTOR,
    ),
    "hidden in a choice": (
        [
            {
                "$addFields": {
                    "x": reduce(LONG, [1], {"$cond": [{"$lt": ["$$this", 5]}, "$$value", doubling("$setUnion")]})
                }
            }
        ],
        FACTOR,
    ),
    "objects of both": ([{"$addFields": {"x": reduce(LONG, 1, {"a": "$$value", "b": "$$value"})}}], FACTOR),
    "field by field": (
        [
            {
                "$addFields": {
                    "x": reduce(
                        LONG,
                        {"a": [1], "b": [1]},
                        {
                            "a": {"$concatArrays": ["$$value.a", "$$value.b"]},
                            "b": {"$concatArrays": ["$$value.b", "$$value.a"]},
                        },
                    )
                }
            }
        ],
        FACTOR,
    ),
    "object in object": ([{"$addFields": {"x": reduce(LONG, {"a": 1}, {"a": "$$value", "b": "$$value.a"})}}], FACTOR),
    "arrays of both": ([{"$addFields": {"x": reduce(LONG, 1, ["$$value", "$$value"])}}], FACTOR),
    "one stage after another": (
        [{"$addFields": {"x": CURVE}}, *[{"$addFields": {"x": {"$concatArrays": ["$x", "$x"]}}}] * 40],
        MANY,
    ),
    "one stage after another, with $project": (
        [{"$addFields": {"x": CURVE}}, *[{"$project": {"objectId": 1, "x": TIMES_TEN}}] * 8],
        MANY,
    ),
    "below an object": (
        [{"$addFields": {"a.x": CURVE}}, *[{"$addFields": {"a": {"x": {"$concatArrays": ["$a.x", "$a.x"]}}}}] * 40],
        MANY,
    ),
    "several fields": (
        [{"$addFields": {f"x{n}": {"$map": {"input": LONG, "in": ["$$this"] * 60}}}} for n in range(20)],
        MANY,
    ),
    "the document in itself": ([{"$addFields": {"x": ["$$ROOT", "$$ROOT"]}}] * 20, MANY),
    "the document in itself, by another stage": (
        [{"$replaceWith": {"$mergeObjects": [{"x": ["$$ROOT", "$$ROOT", "$x"]}, "$$ROOT"]}}] * 30,
        MANY,
    ),
    "long loops in one another": (
        [
            {
                "$addFields": {
                    "x": {
                        "$sum": {
                            "$map": {
                                "input": LONG,
                                "in": {
                                    "$sum": {"$map": {"input": LONG, "in": {"$add": ["$$this", 1, "$candidate.jd"]}}}
                                },
                            }
                        }
                    }
                }
            }
        ],
        SLOW,
    ),
    "a long range in loops": (
        [
            {
                "$addFields": {
                    "x": {
                        "$map": {
                            "input": CURVE,
                            "in": {"$size": {"$filter": {"input": CURVE, "cond": {"$in": ["$$this.jd", LONG]}}}},
                        }
                    }
                }
            }
        ],
        SLOW,
    ),
    "loops in a condition": (
        [
            {
                "$match": {
                    "$or": [
                        {
                            "$expr": {
                                "$gt": [
                                    {
                                        "$sum": {
                                            "$map": {
                                                "input": LONG,
                                                "in": {"$sum": {"$map": {"input": LONG, "in": {"$sum": LONG}}}},
                                            }
                                        }
                                    },
                                    1,
                                ]
                            }
                        }
                    ]
                }
            }
        ],
        SLOW,
    ),
    "a range as long as something large": (
        [
            {"$addFields": {"x": {"$map": {"input": LONG, "in": 1}}}},
            {"$addFields": {"x": {"$concatArrays": ["$x"] * 90}}},
            {"$addFields": {"y": {"$map": {"input": {"$range": [0, {"$size": "$x"}]}, "in": {"$sum": "$x"}}}}},
        ],
        SLOW,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    stages, message = BOMBS[name]
    with pytest.raises(FilterError) as error:
        validate([MATCH, *stages, PROJECT])
    assert message in str(error.value)
    assert str(error.value).startswith("stage ")


POINT = {"jd": "$$this.jd", "mag": "$$this.magpsf"}
USEFUL = {
    "a sum": reduce(CURVE, 0, {"$add": ["$$value", "$$this.magpsf"]}),
    "the brightest": reduce(
        CURVE, None, {"$cond": [{"$lt": ["$$this.magpsf", "$$value.magpsf"]}, "$$this", "$$value"]}
    ),
    "a list": reduce(CURVE, [], {"$concatArrays": ["$$value", [{"$multiply": ["$$this.psfFlux", 2]}]]}),
    "running pairs": reduce(
        CURVE,
        {"last": 0, "gaps": []},
        {
            "last": "$$this.jd",
            "gaps": {"$concatArrays": ["$$value.gaps", [{"$subtract": ["$$this.jd", "$$value.last"]}]]},
        },
    ),
    "least and greatest": reduce(
        CURVE,
        {"low": 99, "high": 0},
        {"low": {"$min": ["$$value.low", "$$this.magpsf"]}, "high": {"$max": ["$$value.high", "$$this.magpsf"]}},
    ),
    "states": reduce(
        CURVE,
        {"peak": None, "rise": [], "n": 0},
        {
            "peak": {"$cond": [{"$lt": ["$$this.magpsf", "$$value.peak.magpsf"]}, "$$this", "$$value.peak"]},
            "rise": {"$concatArrays": ["$$value.rise", ["$$this.jd"]]},
            "n": {"$add": ["$$value.n", 1]},
        },
    ),
    "each with each": {
        "$map": {
            "input": CURVE,
            "as": "a",
            "in": {
                "$size": {
                    "$filter": {
                        "input": CURVE,
                        "as": "b",
                        "cond": {"$lt": [{"$abs": {"$subtract": ["$$a.jd", "$$b.jd"]}}, 1]},
                    }
                }
            },
        }
    },
    "both curves": {"$sortArray": {"input": {"$concatArrays": [CURVE, "$fp_hists"]}, "sortBy": {"jd": 1}}},
    "new points": {"$map": {"input": {"$concatArrays": [CURVE, "$fp_hists"]}, "in": POINT}},
    "a text": {"$concat": ["https://fritz.science/source/", "$objectId"]},
    "by number": {
        "$map": {"input": {"$range": [0, {"$size": CURVE}]}, "in": {"$arrayElemAt": [f"{CURVE}.jd", "$$this"]}}
    },
}


@pytest.mark.parametrize("name", USEFUL)
def test_what_astronomers_write_is_allowed(name: str) -> None:
    validate([MATCH, {"$addFields": {"annotations.x": USEFUL[name]}}, PROJECT])


@pytest.fixture(scope="module")
def alerts(services: dict[str, str]) -> Iterator[Collection[dict[str, Any]]]:
    points = [{"jd": 2459540.0 + number, "magpsf": 18.0, "psfFlux": 5.0} for number in range(50)]
    alert = {"_id": 1, "objectId": "ZTF21aaaaaaa", "candidate": {"jd": 2459590.0}}
    with scratch_database(services["mongo_uri"]) as database:
        database.alerts.insert_one(alert | {"prv_candidates": points, "fp_hists": points, "prv_nondetections": points})
        yield database.alerts


def values(found: Any) -> int:
    """Numbers and texts in a value; points of the light curve, which are references, count as one."""
    if isinstance(found, dict):
        return 1 if set(found) == {"jd", "magpsf", "psfFlux"} else sum(map(values, found.values()))
    return sum(map(values, found)) if isinstance(found, list) else 1


GROWING = USEFUL | {
    "ten times": {"$concatArrays": [CURVE] * 10},
    "in a loop": {"$map": {"input": CURVE, "in": {"$concatArrays": [CURVE, "$fp_hists.jd"]}}},
    "zipped": {"$zip": {"inputs": [CURVE, "$fp_hists", f"{CURVE}.jd"]}},
    "added twice": reduce(CURVE, [], {"$concatArrays": ["$$value", CURVE]}),
    "split": {"$split": [{"$concat": ["a b c d e f g h i j k l m n o p q r s t u v w x y z"] * 9}, " "]},
    "nested": {
        "$map": {"input": CURVE, "as": "a", "in": {"$map": {"input": CURVE, "as": "b", "in": ["$$a", "$$b.jd"]}}}
    },
    "keys": {"$objectToArray": "$$ROOT"},
    "whole": ["$$ROOT", {"a": "$$CURRENT"}],
    "counted": {"$range": [0, {"$add": [{"$size": CURVE}, 7]}]},
}


@pytest.mark.parametrize("name", GROWING)
def test_mongod_stays_within_the_bound(alerts: Collection[Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(cost, "_INPUTS", {key: cost.Size(50, 1, 50) for key in ZTF.series})
    bound, steps = cost._Scope().run(GROWING[name])
    (found,) = alerts.aggregate([{"$project": {"x": GROWING[name]}}])
    assert values(found["x"]) <= bound.total
    if isinstance(found["x"], list):
        assert len(found["x"]) <= bound.length
    assert bound.total < cost.MAX_SIZE
    assert steps < cost.MAX_STEPS

"""Pipelines that could get too large or too slow for MongoDB are refused; what mongod makes is within the bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.collection import Collection

from boom_streams.errors import FilterError
from boom_streams.filters.language import cost, operators, sizes
from boom_streams.filters.language.validate import validate
from boom_streams.testing import scratch_database
from boom_streams.testing.stages import ZTF

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


def stage(expression: Any) -> list[dict[str, Any]]:
    return [{"$addFields": {"x": expression}}]


def steps_of(expression: Any) -> list[dict[str, Any]]:
    """A loop of many steps that makes each value from the one before."""
    return stage(reduce({"$range": [0, 400]}, [1], expression))


TWICE = doubling("$concatArrays")
DELAYED = {"a": "$$value.b", "b": "$$value.c", "c": "$$value.d", "d": "$$value.e"}
NESTED = [{"$map": {"input": LONG, "in": "$$this"}}]
BOMBS |= {
    f"where a value is missing: {name} {argument}": (steps_of({name: {key: None, argument: TWICE, **more}}), FACTOR)
    for name, key, argument, more in [
        ("$dateToString", "date", "onNull", {}),
        ("$dateToString", "date", "format", {}),
        ("$dateToString", "date", "timezone", {}),
        ("$dateFromString", "dateString", "onNull", {}),
        ("$dateFromString", "dateString", "onError", {}),
        ("$convert", "input", "onNull", {"to": "int"}),
        ("$convert", "input", "onError", {"to": "int"}),
    ]
}
BOMBS |= {
    "the least of one object": (steps_of({"$max": {"a": "$$value", "b": "$$value"}}), FACTOR),
    "what doubles after some steps": (
        stage(
            reduce({"$range": [0, 400]}, {key: [1] for key in "abcde"},
                   DELAYED | {"e": {"$concatArrays": ["$$value.a", "$$value.a"]}})
        ),
        FACTOR,
    ),
    "what doubles in a loop in a loop": (
        stage(
            reduce({"$range": [0, 400]}, [1], reduce([1], "$$value", {"$concatArrays": ["$$value", "$$value"]}))
        ),
        FACTOR,
    ),
    "what is thrown away": (
        stage({"$size": {"$map": {"input": LONG, "in": {"$concatArrays": [CURVE] * 10}}}}), MANY),
    "rows as long as there are inputs": (
        stage({"$zip": {"inputs": [LONG, *[[]] * 2000], "useLongestLength": True}}), MANY),
    "a long default in each row": (
        stage({"$zip": {"inputs": [LONG, [1]], "useLongestLength": True, "defaults": [0, "x" * 16000]}}), MANY),
    "a long name in each element": (stage({"$map": {"input": LONG, "in": {"n" * 16000: 1}}}), MANY),
    "a long literal in each element": (stage({"$map": {"input": LONG, "in": {"$literal": ["x" * 90] * 900}}}), MANY),
    "letters of more than a byte": (stage({"$map": {"input": LONG, "in": "\U0001f52d" * 2500}}), MANY),
    "copies of each point": (
        stage({"$map": {"input": LONG, "in": {"$map": {"input": {"$range": [0, 90]}, "as": "b",
               "in": {"$mergeObjects": ["$candidate", {"a": 1}]}}}}}), MANY),
    "fields of each point": (
        stage({"$map": {"input": CURVE, "in": {"$map": {"input": {"$range": [0, 90]}, "as": "b",
               "in": {"$objectToArray": "$candidate"}}}}}), MANY),
    "what many groups of an expression find": (
        stage({"$map": {"input": LONG, "in": {"$regexFind": {
            "input": "$objectId", "regex": "(" * 90 + "a" + ")" * 90}}}}),
        MANY,
    ),
    "set in each element": (
        [*stage(LONG), {"$addFields": {"x.y": {"$concatArrays": [CURVE] * 10}}}], SLOW),
    "set in each source": (
        [{"$addFields": {"cross_matches.NED.y": {"$concatArrays": [CURVE] * 10}}}], MANY),
    "set in each element of what another stage merges": (
        [*stage(LONG), {"$replaceWith": {"$mergeObjects": [{"aliases": "$x"}, "$$ROOT"]}},
         {"$addFields": {"aliases.y": {"$concatArrays": [CURVE] * 10}}}], SLOW),
    "large values compared in loops": (
        [*stage(NESTED), {"$addFields": {"y": {"$map": {"input": LONG, "in": {
            "$sum": {"$map": {"input": LONG, "as": "b", "in": {"$eq": ["$x", "$x"]}}}}}}}}], SLOW),
    "conditions on a large value": (
        [*stage({"$concatArrays": [LONG] * 400}), {"$match": {"$or": [{"x": n} for n in range(900)]}}], SLOW),
    "conditions on the elements of a large value": (
        [*stage({"$concatArrays": [LONG] * 400}), {"$match": {"x": {"$all": list(range(900))}}}], SLOW),
    "a regular expression that tries many ways": (
        stage({"$map": {"input": CURVE, "in": {"$map": {"input": CURVE, "as": "b", "in": {
            "$regexMatch": {"input": {"$concat": ["a" * 90, "$$b.name"]}, "regex": "(a+)+$"}}}}}}), SLOW),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    stages, message = BOMBS[name]
    with pytest.raises(FilterError) as error:
        validate([MATCH, *stages, PROJECT])
    assert message in str(error.value)
    assert str(error.value).startswith("stage ")


POINT = {"jd": "$$this.jd", "mag": "$$this.magpsf"}
USEFUL = {
    "the last two": reduce(
        CURVE,
        {"before": None, "last": None, "gap": 0},
        {"before": "$$value.last", "last": "$$this", "gap": {"$max": ["$$value.gap", {"$subtract": ["$$this.jd", 1]}]}},
    ),
    "points with more": {"$map": {"input": CURVE, "in": {"$mergeObjects": ["$$this", {"age": "$candidate.jd"}]}}},
    "sums of the light curve so far": reduce(
        CURVE, [], {"$concatArrays": ["$$value", [{"$add": [{"$ifNull": [{"$last": "$$value"}, 0]}, "$$this.jd"]}]]}
    ),
    "a list as a text": reduce(CURVE, "", {"$concat": ["$$value", ",", {"$toString": "$$this.jd"}]}),
    "scores in loops": {
        "$map": {
            "input": CURVE,
            "in": {
                "$filter": {
                    "input": CURVE,
                    "as": "b",
                    "cond": {"$gt": ["$candidate.drb", {"$subtract": ["$$b.jd", "$candidate.jd"]}]},
                }
            },
        }
    },
    "a day as a text": {"$dateToString": {"date": {"$toDate": "$candidate.jd"}, "format": "%Y-%m-%d"}},
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
    "by pairs": {"$map": {"input": CURVE, "as": "a", "in": {"$zip": {"inputs": [["$$a.jd"], CURVE]}}}},
    "nested": {
        "$map": {"input": CURVE, "as": "a", "in": {"$map": {"input": CURVE, "as": "b", "in": ["$$a", "$$b.jd"]}}}
    },
    "keys": {"$objectToArray": "$$ROOT"},
    "whole": ["$$ROOT", {"a": "$$CURRENT"}],
    "counted": {"$range": [0, {"$add": [{"$size": CURVE}, 7]}]},
}


@pytest.mark.parametrize("name", GROWING)
def test_mongod_stays_within_the_bound(alerts: Collection[Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sizes, "of_alerts", lambda _: {key: cost.Size(50, 1, 50) for key in ZTF.series})
    bound, steps = cost._Scope().run(GROWING[name])
    (found,) = alerts.aggregate([{"$project": {"x": GROWING[name]}}])
    assert values(found["x"]) <= bound.total
    if isinstance(found["x"], list):
        assert len(found["x"]) <= bound.length
    assert bound.total < cost.MAX_SIZE
    assert steps < cost.MAX_STEPS


def test_every_operator_that_is_allowed_has_a_size() -> None:
    assert sizes.RULES.keys() | cost._SPECIAL.keys() == operators.EXPRESSIONS

"""What may run: pure pipelines that look at one alert; everything else is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boom_streams.errors import FilterError
from boom_streams.filters import check_pipeline
from boom_streams.filters.language.validate import validate

MATCH = {"$match": {"candidate.magpsf": {"$lt": 19}}}
PROJECT = {"$project": {"objectId": 1}}


def computing(expression: Any) -> list[dict[str, Any]]:
    return [MATCH, {"$addFields": {"x": expression}}, PROJECT]


def matching(query: Any) -> list[dict[str, Any]]:
    return [{"$match": query}, PROJECT]


def nested(depth: int, leaf: Any = 1) -> Any:
    for _ in range(depth):
        leaf = {"$abs": leaf}
    return leaf


ACCEPTED = [
    [MATCH, PROJECT],
    [{"$match": {}}, PROJECT],
    [MATCH, {"$set": {"a.b": 1, "c": {"d": "$candidate.jd", "e": {"$literal": "$x"}}}}, PROJECT],
    [MATCH, {"$unset": "publisher"}, {"$unset": ["a", "c.d"]}, PROJECT],
    [MATCH, {"$project": {"candidate.rb": 0, "coordinates": {"l": 0}}}, PROJECT],
    [MATCH, {"$project": {"_id": 1, "objectId": True, "x": "$candidate.jd", "y": {"z": 1}}}, PROJECT],
    [MATCH, {"$replaceRoot": {"newRoot": {"$mergeObjects": ["$candidate", "$$ROOT"]}}}, PROJECT],
    [MATCH, {"$replaceWith": {"$mergeObjects": [{"a": 1}, "$$ROOT"]}}, PROJECT],
    matching({"$or": [{"a": {"$in": [1, "x", None]}}, {"$nor": [{"b": {"$exists": True}}]}]}),
    matching({"c": {"$not": {"$gt": 1}}}),
    matching({"prv_candidates": {"$elemMatch": {"rb": {"$gt": 0.5}, "$or": [{"fid": 1}, {"fid": 2}]}}}),
    matching({"objectId": {"$regex": "^ZTF2[0-9]", "$options": "i"}}),
    matching({"coordinates.radec_geojson": {"$geoWithin": {"$centerSphere": [[-160.1, 41.2], 0.01]}}}),
    matching({"$expr": {"$gt": ["$candidate.jd", {"$add": ["$candidate.jdstarthist", 1]}]}}),
    computing({"$map": {"input": "$prv_candidates", "as": "p", "in": {"$avg": ["$$p.rb", "$$p.drb"]}}}),
    computing({"$reduce": {"input": "$a", "initialValue": 0, "in": {"$add": ["$$value", {"$sum": "$$this"}]}}}),
    computing({"$let": {"vars": {"a": "$candidate.jd"}, "in": {"$add": ["$$a", 1]}}}),
    computing({"$switch": {"branches": [{"case": True, "then": "$$REMOVE"}], "default": None}}),
    computing({"$range": [0, {"$min": [{"$size": "$fp_hists"}, 100]}]}),
    computing({"$sortArray": {"input": "$fp_hists", "sortBy": {"jd": -1}}}),
    computing({"$dateToString": {"date": {"$toDate": 0}, "format": "%Y"}}),
    computing(nested(60)),
]  # fmt: skip


@pytest.mark.parametrize("pipeline", ACCEPTED, ids=lambda pipeline: json.dumps(pipeline)[:60])
def test_pure_pipelines_are_accepted_as_they_are(pipeline: list[dict[str, Any]]) -> None:
    assert list(validate(pipeline)) == pipeline


REAL = {
    "boom/fast.json": 0,
    "boom/fast~eb1bf27a.json": 0,
    "boom/lsst.json": 0,
    "boom/lsst~b674c491.json": 0,
    "cats150/boom_throughput.pipeline.json": 0,
    "cats150/cats150.kowalski.json": 0,
    "fritz/fritz_filter_01.json": 7,
    "fritz/fritz_filter_02.json": 7,
    "fritz/fritz_filter_clu.json": 6,
    "fritz/fritz_filter_m31.json": 9,
}
"""Changes that each needs."""


@pytest.mark.parametrize("name", REAL)
def test_real_filters_are_accepted(shared: Path, name: str) -> None:
    stages, changes = check_pipeline((shared / "data/filters" / name).read_text())
    assert len(changes) == REAL[name]
    assert stages[-1]["$project"]["objectId"] == 1


def test_real_files_that_are_no_filters_say_why(shared: Path) -> None:
    folder = shared / "data/filters"
    with pytest.raises(FilterError, match="a pipeline is a list of stages"):
        check_pipeline((folder / "boom/basic.json").read_text())
    bodies = [*folder.glob("boom_api*/*.json")]
    assert len(bodies) == 4
    for body in bodies:
        with pytest.raises(FilterError, match='last stage must be a \\$project with "objectId": 1'):
            check_pipeline(json.loads(body.read_text())["pipeline"])


STAGES = [
    ({"$out": "ZTF_alerts"}, "stage 1: $out is not allowed; matches are stored and published by the broker"),
    ({"$merge": {"into": "filters"}}, "$merge is not allowed"),
    ({"$lookup": {"from": "users", "as": "u", "pipeline": []}}, "$lookup is not allowed"),
    ({"$graphLookup": {"from": "users"}}, "$graphLookup is not allowed"),
    ({"$unionWith": "users"}, "$unionWith is not allowed"),
    ({"$facet": {"a": [{"$out": "x"}]}}, "$facet is not allowed"),
    ({"$group": {"_id": None}}, "$group is not allowed"),
    ({"$unwind": "$prv_candidates"}, "use $map, $filter or $reduce"),
    ({"$limit": 1}, "$limit is not allowed"),
    ({"$sort": {"candidate.jd": 1}}, "$sort is not allowed"),
    ({"$sample": {"size": 1}}, "$sample is not allowed"),
    ({"$redact": "$$PRUNE"}, "$redact is not allowed; allowed stages are $match"),
    ({"$documents": [{}]}, "$documents is not allowed"),
    ({"$collStats": {}}, "$collStats is not allowed"),
    ({"$currentOp": {}}, "$currentOp is not allowed"),
    ({"$changeStream": {}}, "$changeStream is not allowed"),
    ({"$MATCH": {}}, "$MATCH is not allowed"),
    ({"$match": {}, "$out": "x"}, "a stage is an object with one key"),
    ({}, "a stage is an object with one key"),
    ("$match", "a stage is an object with one key"),
    ({"$project": {}}, "it needs an object"),
    ({"$project": {"a": 1}}, 'add "objectId": 1'),
    ({"$project": {"objectId": "$candidate.field"}}, 'add "objectId": 1'),
    ({"$project": {"objectId": 1, "_id": 0}}, "_id must stay as it is"),
    ({"$project": {"objectId": 1, "_id": "$candidate.jd"}}, "_id must stay as it is"),
    ({"$project": {"objectId": 0}}, "objectId names the alert"),
    ({"$project": {"_id.x": 1, "objectId": 1}}, "_id.x names the alert"),
    ({"$project": {"candidate": 0, "x": "$candidate.jd"}}, "cannot be in one $project"),
    ({"$addFields": {"objectId": "ZTF"}}, "objectId names the alert"),
    ({"$set": {"_id.a": 1}}, "_id.a names the alert"),
    ({"$unset": "_id"}, "_id names the alert"),
    ({"$unset": ["a", "objectId"]}, "objectId names the alert"),
    ({"$unset": {"a": 1}}, "it needs the name of a field"),
    ({"$replaceRoot": {"newRoot": "$candidate"}}, "so that the alert keeps its name"),
    ({"$replaceRoot": {"newRoot": {"$mergeObjects": ["$$ROOT", {"_id": 1}]}}}, "so that the alert keeps its name"),
    ({"$replaceWith": {"$mergeObjects": "$$ROOT"}}, "so that the alert keeps its name"),
    ({"$replaceWith": {"$mergeObjects": [{"a": {"$function": {}}}, "$$ROOT"]}}, "$function is not allowed"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "message"), STAGES, ids=lambda value: str(value)[:50])
def test_stages_that_are_refused(stage: Any, message: str) -> None:
    with pytest.raises(FilterError) as error:
        validate([stage, MATCH, PROJECT])
    assert "stage 1" in str(error.value)
    assert message in str(error.value)


QUERIES = [
    ({"$where": "while (true) {}"}, "JavaScript cannot be used"),
    ({"$or": [{"$and": [{"$where": "1"}]}]}, "JavaScript cannot be used"),
    ({"a": {"$not": {"$where": "1"}}}, "JavaScript cannot be used"),
    ({"a": {"$elemMatch": {"$or": [{"$where": "1"}]}}}, "JavaScript cannot be used"),
    ({"a": {"$in": [{"$where": "1"}]}}, "$where is not allowed"),
    ({"a": {"b": {"$function": 1}}}, "$function is not allowed"),
    ({"$jsonSchema": {}}, "$jsonSchema is not allowed"),
    ({"$text": {"$search": "a"}}, "$text is not allowed"),
    ({"$sampleRate": 0.5}, "$sampleRate is not allowed"),
    ({"$comment": "hello"}, "$comment is not allowed"),
    ({"$alwaysTrue": 1}, "$alwaysTrue is not allowed"),
    ({"$expr": {"$gt": [{"$rand": {}}, 0.5]}}, "$rand is not allowed"),
    ({"a": {"$near": [0, 0]}}, "use $geoWithin"),
    ({"a": {"$geoWithin": {"$box": [[0, 0], [1, 1]]}}}, "$centerSphere"),
    ({"a": {"$gt": 1, "b": 2}}, "b is not allowed"),
    ({"a": {"$regex": "x" * 501}}, "at most 500 letters"),
    ({"a": {"$regex": {"$gt": 1}}}, "needs a text"),
    ({"a": {"$in": 5}}, "needs a list"),
    ({"$or": []}, "needs a list"),
    ({"$or": {"a": 1}}, "needs a list"),
    ([], "a condition is an object"),
]


@pytest.mark.parametrize(("query", "message"), QUERIES, ids=lambda value: str(value)[:50])
def test_conditions_that_are_refused(query: Any, message: str) -> None:
    with pytest.raises(FilterError) as error:
        validate(matching(query))
    assert str(error.value).startswith("stage 1 ($match)")
    assert message in str(error.value)


LOOP = {"$map": {"input": "$a", "in": {"$map": {"input": "$b", "in": {"$map": {"input": "$c", "in": "$$this"}}}}}}
EXPRESSIONS = [
    ({"$function": {"body": "function(){}", "args": [], "lang": "js"}}, "JavaScript cannot be used"),
    ({"$accumulator": {}}, "JavaScript cannot be used"),
    ({"$cond": [True, {"$abs": {"$rand": {}}}, 1]}, "the same alert must always give the same answer"),
    ({"$switch": {"branches": [{"case": {"$rand": {}}, "then": 1}]}}, "$rand is not allowed"),
    ({"$getField": "a"}, "write the path"),
    ({"$meta": "textScore"}, "$meta is not allowed"),
    ({"$tsSecond": "$a"}, "$tsSecond is not allowed"),
    ("$$NOW", "use candidate.jd"),
    ("$$CLUSTER_TIME", "use candidate.jd"),
    ("$$USER_ROLES", "variable $$USER_ROLES is not allowed"),
    ("$$SEARCH_META.x", "variable $$SEARCH_META is not allowed"),
    ({"$let": {"vars": {"ROOT": 1}, "in": 1}}, "begin it with a small letter"),
    ({"$let": {"vars": [], "in": 1}}, "needs an object"),
    ({"$let": {"vars": "a", "in": 1}}, "needs an object"),
    ({"$let": {"vars": {"a": {"$rand": {}}}, "in": 1}}, "$rand is not allowed"),
    ({"$let": [1, 2]}, "needs an object"),
    ({"$map": {"input": "$a", "as": "CURRENT", "in": 1}}, "begin it with a small letter"),
    ({"$map": {"input": "$a", "as": ["x"], "in": 1}}, "begin it with a small letter"),
    ({"$map": "$a"}, "needs an object"),
    (LOOP, "loops are nested deeper than 2"),
    ({"$range": [0, 1_000_000]}, "numbers up to 10000"),
    ({"$range": [0, "$candidate.field"]}, "numbers up to 10000"),
    ({"$range": [0, {"$multiply": [{"$size": "$a"}, 1000]}]}, "numbers up to 10000"),
    ({"$range": "$a"}, "numbers up to 10000"),
    ({"$range": [0, True]}, "numbers up to 10000"),
    ({"$regexMatch": {"input": "$a", "regex": "(a+)+" * 200}}, "at most 500 letters"),
    ({"$abs": 1, "$add": [1]}, "must be alone in its object"),
    ({"$abs": 1, "a": 2}, "must be alone in its object"),
]


@pytest.mark.parametrize(("expression", "message"), EXPRESSIONS, ids=lambda value: str(value)[:50])
def test_expressions_that_are_refused(expression: Any, message: str) -> None:
    for pipeline in (computing(expression), [MATCH, {"$project": {"objectId": 1, "a": {"b": expression}}}]):
        with pytest.raises(FilterError) as error:
            validate(pipeline)
        assert str(error.value).startswith("stage 2 ($")
        assert message in str(error.value)


WHOLE = [
    (None, "a list of stages"),
    ({}, "a list of stages"),
    ([], "a list of stages"),
    ([PROJECT], "has no $match"),
    ([MATCH], "last stage must be a $project"),
    ([MATCH, {"$project": {"candidate": 0}}], "last stage must be a $project"),
    ([MATCH] * 101 + [PROJECT], "102 stages; 100 are the most"),
    (computing(nested(81)), "nested deeper than 80"),
    (matching({"a": {"$in": list(range(100_000))}}), "200000 are the most"),
    (matching({"a": 2**63}), "no 64-bit integer"),
    (matching({"a": float("nan")}), "nan, which is no JSON"),
    (matching({"a": b"bytes"}), "bytes is no JSON"),
    (matching({"a\0b": 1}), "cannot be the name of a field"),
    (matching({"": 1}), "cannot be the name of a field"),
    (matching({1: 1}), "cannot be the name of a field"),
    (matching({"a": "\ud800"}), "cannot be sent to MongoDB"),
]


@pytest.mark.parametrize(("pipeline", "message"), WHOLE, ids=lambda value: str(value)[:40])
def test_pipelines_that_are_refused_as_a_whole(pipeline: Any, message: str) -> None:
    with pytest.raises(FilterError) as error:
        validate(pipeline)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not JSON"),
        ('[{"$match": {"a": NaN}}]', "NaN"),
        ('[{"$match": {"a": -Infinity}}]', "Infinity"),
        ('[{"$match": {"a": 1, "a": 2}}]', "'a'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"$abs":' * 50_000, "nested too deeply"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_texts_that_are_no_pipeline(text: str, message: str) -> None:
    with pytest.raises(FilterError) as error:
        check_pipeline(text)
    assert message in str(error.value)


KEYS = st.sampled_from(
    [
        "$match",
        "$project",
        "$addFields",
        "$unset",
        "$replaceRoot",
        "$expr",
        "$let",
        "vars",
        "in",
        "$map",
        "input",
        "as",
        "$filter",
        "cond",
        "$reduce",
        "initialValue",
        "$range",
        "$elemMatch",
        "$geoWithin",
        "$regexMatch",
        "$not",
        "$or",
        "objectId",
        "_id",
        "a",
        "a.b",
        "$literal",
        "newRoot",
        "$mergeObjects",
        "$switch",
        "branches",
        "$lookup",
        "from",
    ]
)
TEXTS = st.sampled_from(["$a", "$$a", "$$ROOT", "a", ""])
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | TEXTS
JUNK = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=12
)


@given(st.lists(JUNK, max_size=3))
def test_whatever_comes_is_accepted_or_refused_and_nothing_else(some: list[Any]) -> None:
    for pipeline in (some, [*some, MATCH, PROJECT]):
        try:
            stages, _ = check_pipeline(pipeline)
        except FilterError:
            continue
        assert "$project" in stages[-1]

"""What a pipeline reads: evaluating on documents cut down to that gives what the whole ones give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from boom_streams.errors import FilterError
from boom_streams.filters.language.paths import Needs, inputs, needs, union
from boom_streams.filters.language.validate import validate
from boom_streams.testing import scratch_database
from boom_streams.testing.stages import ZTF

LAST = {"$project": {"objectId": 1, "annotations": 1}}
ALWAYS = ("_id", "objectId", "candidate", "coordinates")


def cut(document: dict[str, Any], wanted: Needs) -> dict[str, Any]:
    """The document as the evaluator makes it: the alert whole, of the rest what is needed."""
    made = {name: value for name, value in document.items() if name in ALWAYS or name in wanted.inputs}
    for name, fields in wanted.series.items():
        if fields is not None and name in made:
            made[name] = [{key: value for key, value in point.items() if key in fields} for point in made[name]]
    return made


@pytest.fixture(scope="module")
def scratch(services: dict[str, str]) -> Iterator[Collection[dict[str, Any]]]:
    with scratch_database(services["mongo_uri"]) as database:
        yield database.alerts


def results(scratch: Collection[Any], pipeline: list[Any], documents: list[dict[str, Any]]) -> dict[int, Any]:
    """Annotations by candid, as bytes; where mongod fails, for each document that or the code of its error."""
    scratch.delete_many({})
    scratch.insert_many(documents)
    stages = [*pipeline, {"$project": {"annotations": 1}}]
    try:
        return {one["_id"]: bson.encode(one) for one in scratch.aggregate(stages)}
    except OperationFailure as error:
        if len(documents) == 1:
            return {documents[0]["_id"]: error.code}
    return {key: value for one in documents for key, value in results(scratch, pipeline, [one]).items()}


NUMBERS = st.integers(-2, 3) | st.sampled_from([0.5, float("nan")])
POINTS = st.lists(
    st.fixed_dictionaries({}, optional={"jd": NUMBERS, "mag": NUMBERS, "fid": st.integers(1, 3)}), max_size=3
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "candidate": st.fixed_dictionaries({"jd": NUMBERS}),
        **{name: POINTS for name in ZTF.series},
        "properties": st.just({"p": 1, "stats": {"g": {"rate": 0.5}}}),
        "classifications": st.just({"s": 0.5}),
        "cross_matches": st.just({"CLU": [{"z": 0.01}, {"z": 0.02}]}),
        "aliases": st.just({}),
    }
)  # fmt: skip

ROOTS = ["prv_candidates", "fp_hists", "prv_nondetections", "x", "y", "cross_matches.CLU", "properties"]
ARRAYS = st.sampled_from([f"${root}" for root in ROOTS[:5]] + ["$$ROOT.fp_hists", "$x.deep", "$cross_matches.CLU"])
FIELDS = st.sampled_from(["jd", "mag", "fid", "z"])
LEAVES = st.one_of(
    st.builds(lambda root, name: f"${root}.{name}", st.sampled_from(ROOTS), FIELDS),
    st.sampled_from(["$candidate.jd", "$$ROOT", "$$CURRENT.x", "$x", "$y", 1, None, "$prv_candidates.0.jd"]),
    ARRAYS,
)
ELEMENTS = st.one_of(
    st.just("$$p"),
    FIELDS.map(lambda name: f"$$p.{name}"),
    st.builds(lambda a, b: {a: f"$$p.{b}"}, FIELDS, FIELDS),
    LEAVES,
)  # fmt: skip
CONDITIONS = st.builds(
    lambda name, a, b: {name: [a, b]}, st.sampled_from(["$lt", "$gte", "$eq", "$ne"]), ELEMENTS, ELEMENTS
)


def _loops(inner: Any) -> Any:
    return st.one_of(
        st.builds(lambda a, e: {"$map": {"input": a, "as": "p", "in": e}}, inner, ELEMENTS),
        st.builds(lambda a, c: {"$filter": {"input": a, "as": "p", "cond": c}}, inner, CONDITIONS),
        st.builds(lambda a: {"$reduce": {"input": a, "initialValue": [], "in": {
            "$concatArrays": ["$$value", ["$$this.jd"]]}}}, inner),
        st.builds(lambda a, i: {"$reduce": {"input": a, "initialValue": i, "in": {
            "$cond": [{"$lt": ["$$this.mag", "$$value.mag"]}, "$$this", "$$value"]}}}, inner, LEAVES),
        st.builds(lambda a, k: {"$sortArray": {"input": a, "sortBy": {k: -1}}}, inner, FIELDS),
        st.builds(lambda name, a: {name: a}, st.sampled_from(
            ["$size", "$isArray", "$first", "$last", "$reverseArray", "$max", "$avg", "$type"]), inner),
        st.builds(lambda a, n: {"$arrayElemAt": [a, n]}, inner, st.integers(-2, 1)),
        st.builds(lambda a, n: {"$slice": [a, n]}, inner, st.integers(1, 2)),
        st.builds(lambda name, a, b: {name: [a, b]}, st.sampled_from(
            ["$concatArrays", "$ifNull", "$mergeObjects", "$setUnion", "$eq", "$in"]), inner, inner),
        st.builds(lambda c, a, b: {"$cond": [{"$gt": [c, 0]}, a, b]}, inner, inner, inner),
        st.builds(lambda c, a, b: {"$cond": {"if": c, "then": a, "else": b}}, inner, inner, inner),
        st.builds(lambda a, b: {"$switch": {"branches": [{"case": a, "then": b}], "default": a}}, inner, inner),
        st.builds(lambda a, e: {"$let": {"vars": {"p": a}, "in": e}}, inner, ELEMENTS),
        st.builds(lambda a, e: {"$let": {"vars": {"p": a}, "in": {"$map": {"input": "$$p", "as": "p", "in": e}}}},
                  inner, ELEMENTS),
        st.builds(lambda a, name: {name: a, "n": 1}, inner, FIELDS),
        st.builds(lambda a, b: [a, b], inner, inner),
        st.builds(lambda a: {"$objectToArray": a}, inner),
        st.builds(lambda a: {"$zip": {"inputs": [a, a]}}, inner),
    )  # fmt: skip


EXPRESSIONS = st.recursive(LEAVES | ARRAYS, _loops, max_leaves=5)
NAMES = st.sampled_from(
    ["x", "y", "x.deep", "annotations.a", "prv_candidates", "prv_candidates.mag", "fp_hists", "properties"]
)
MADE = st.dictionaries(NAMES, EXPRESSIONS, min_size=1, max_size=2)
KEPT = st.dictionaries(
    st.sampled_from(["x", "annotations", "prv_candidates.jd", "fp_hists", "candidate", "properties.p"]), st.just(1)
)
PATHS = st.builds(lambda root, name: f"{root}.{name}", st.sampled_from(ROOTS), FIELDS) | st.sampled_from(ROOTS)
QUERIES = st.one_of(
    st.builds(lambda path, value: {path: {"$lte": value}}, PATHS, st.integers(0, 3)),
    st.builds(lambda path, there: {path: {"$exists": there}}, PATHS, st.booleans()),
    PATHS.map(lambda path: {path: None}),
    st.builds(lambda path, size: {path: {"$size": size}}, PATHS, st.integers(0, 3)),
    st.builds(lambda root, name: {root: {"$elemMatch": {name: {"$gt": 0}}}}, st.sampled_from(ROOTS), FIELDS),
    st.builds(lambda root, name: {root: {"$not": {"$elemMatch": {name: 1, "jd": 1}}}}, st.sampled_from(ROOTS), FIELDS),
    st.builds(lambda root: {f"{root}.0": {"$exists": True}}, st.sampled_from(ROOTS)),
    EXPRESSIONS.map(lambda one: {"$expr": {"$ne": [one, 7]}}),
)
STAGES = st.one_of(
    MADE.map(lambda made: {"$addFields": made}),
    MADE.map(lambda made: {"$addFields": made}),
    st.builds(lambda kept, made: {"$project": {"objectId": 1} | kept | made}, KEPT, MADE),
    PATHS.map(lambda path: {"$project": {path: 0}}),
    PATHS.map(lambda path: {"$unset": path}),
    QUERIES.map(lambda query: {"$match": query}),
    QUERIES.map(lambda query: {"$match": {"$or": [query, {"candidate.jd": 1}]}}),
    EXPRESSIONS.map(lambda one: {"$replaceWith": {"$mergeObjects": [{"x": one}, "$$ROOT"]}}),
)
PIPELINES = st.builds(
    lambda stages, shown: [{"$match": {}}, *stages, {"$addFields": {"annotations.shown": shown}}, LAST],
    st.lists(STAGES, max_size=4),
    EXPRESSIONS,
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(pipeline=PIPELINES, documents=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_cut_documents_give_what_whole_ones_give(
    scratch: Collection[Any], pipeline: list[Any], documents: list[dict[str, Any]]
) -> None:
    try:
        validate(pipeline)
    except FilterError:
        return
    wanted = needs(pipeline, ZTF)
    whole = [{"_id": number, "objectId": "ZTF"} | one for number, one in enumerate(documents)]
    expected = results(scratch, pipeline, whole)
    assert results(scratch, pipeline, [cut(one, wanted) for one in whole]) == expected


def read(*stages: Any) -> Needs:
    return needs([*stages, {"$project": {"objectId": 1, "annotations": 1}}], ZTF)


def test_only_what_is_read_is_needed() -> None:
    mean = {"$avg": "$prv_candidates.magpsf"}
    bright = {"$filter": {"input": "$fp_hists", "as": "f", "cond": {"$gt": ["$$f.snr_psf", 3]}}}
    found = read({"$match": {"candidate.drb": {"$gt": 0.5}}}, {"$addFields": {"annotations.m": mean, "unused": 1}})
    assert found.series == {"prv_candidates": {"magpsf"}}
    assert "properties" not in found.inputs
    assert read({"$addFields": {"annotations.n": {"$size": bright}}}).series == {"fp_hists": {"snr_psf"}}
    assert read({"$addFields": {"annotations.n": {"$size": "$prv_candidates"}}}).series == {"prv_candidates": set()}
    assert read({"$addFields": {"annotations.f": bright}}).series == {"fp_hists": None}
    assert read({"$match": {"candidate.drb": {"$gt": 0.5}}}).series == {}
    assert read({"$addFields": {"annotations.all": "$$ROOT"}}).inputs == set(inputs(ZTF))


def test_needs_are_joined() -> None:
    some = Needs(frozenset({"fp_hists"}), {"fp_hists": frozenset({"jd"})})
    more = Needs(frozenset({"fp_hists", "properties"}), {"fp_hists": frozenset({"fid"})})
    every = Needs(frozenset({"fp_hists"}), {"fp_hists": None})
    assert union([some, more]) == Needs(frozenset({"fp_hists", "properties"}), {"fp_hists": frozenset({"jd", "fid"})})
    assert union([some, every, more]).series == union([every, some]).series == {"fp_hists": None}
    assert union([]) == Needs(frozenset(), {})

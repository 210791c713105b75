"""Random expressions of every operator that a filter may use, typed enough that MongoDB can mostly evaluate them."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

CURVES = ["$prv_candidates", "$fp_hists", "$prv_nondetections"]
LISTS = [*CURVES, "$prv_candidates.jd", "$cross_matches.NED", "$x", "$x.k", {"$range": [0, 300]}, [1, 2], []]
OBJECTS = ["$$ROOT", "$candidate", "$properties", {"$first": "$prv_candidates"}, {"$last": "$cross_matches.NED"}, {}]
TEXTS = ["$objectId", "$candidate.text", "$cross_matches.NED.name", "", "a b c " * 40, {"$toString": "$candidate.jd"}]
NUMBERS = [0, 1, 40, "$candidate.jd", "$_id", {"$size": "$fp_hists"}, {"$sum": "$prv_candidates.jd"}]
DATE = {"$toDate": 1_600_000_000_000}
FORMATS = ["%Y%Y%Z", "%z", "x" * 90]
SETS = ["$setUnion", "$setIntersection", "$setDifference"]
FEW = ["$firstN", "$lastN", "$minN", "$maxN"]
PARTS = ["$dayOfMonth", "$hour", "$year", "$week"]
MEASURES = ["$abs", "$sqrt", "$floor", "$toDouble", "$isNumber", "$toBool", "$type", "$not"]


@cache
@st.composite
def values(draw: Any, depth: int, names: tuple[str, ...] = ()) -> Any:
    """An expression of any kind, with these variables."""
    return draw(draw(st.sampled_from([lists, lists, objects, texts, numbers, anything]))(depth, names))


@cache
def anything(depth: int, names: tuple[str, ...]) -> Any:
    """A variable, a choice between two values, or a value that comes where another is missing."""
    leaves = st.sampled_from([*(f"$${name}" for name in names), *(f"$${name}.a" for name in names), None, 1])
    if not depth:
        return leaves
    inner = values(depth - 1, names)
    missing = st.sampled_from([None, "$absent"])
    return st.one_of(
        leaves,
        st.builds(lambda a, b: {"$cond": ["$candidate.flag", a, b]}, inner, inner),
        st.builds(lambda a, b: {"$cond": {"if": True, "then": a, "else": b}}, inner, inner),
        st.builds(lambda a, b: {"$switch": {"branches": [{"case": False, "then": a}], "default": b}}, inner, inner),
        st.builds(lambda a, b: {"$ifNull": [a, b]}, inner, inner),
        st.builds(lambda name, a, b: {name: [a, b]}, st.sampled_from(["$min", "$max"]), inner, inner),
        st.builds(lambda name, a: {name: a}, st.sampled_from(["$min", "$max", "$first", "$last"]), inner),
        st.builds(lambda m, a: {"$dateToString": {"date": m, "onNull": a}}, missing, inner),
        st.builds(lambda m, a: {"$dateFromString": {"dateString": m, "onNull": a}}, missing, inner),
        st.builds(lambda a: {"$dateFromString": {"dateString": "no date", "onError": a}}, inner),
        st.builds(lambda m, a: {"$convert": {"input": m, "to": "int", "onNull": a}}, missing, inner),
        st.builds(lambda a: {"$convert": {"input": "no number", "to": "int", "onError": a}}, inner),
        st.builds(lambda a: {"$literal": a}, st.sampled_from([[1] * 50, {"a": "b" * 90}, "x" * 300])),
        st.builds(lambda a: {"$arrayElemAt": [a, 0]}, lists(depth - 1, names)),
        values(depth - 1, (*names, "v")).flatmap(lambda a: inner.map(lambda v: {"$let": {"vars": {"v": v}, "in": a}})),
    )


@cache
def lists(depth: int, names: tuple[str, ...]) -> Any:
    """An array."""
    leaves = st.sampled_from([*LISTS, *(f"$${name}" for name in names)])
    if not depth:
        return leaves
    inner, one = lists(depth - 1, names), values(depth - 1, names)
    loops = [] if len([name for name in names if name != "v"]) > 2 else [_map(depth, names), _reduce(depth, names)]
    return st.one_of(
        leaves,
        *loops,
        st.lists(one, max_size=3),
        st.builds(lambda a, b: {"$concatArrays": [a, b]}, inner, inner),
        st.builds(lambda name, a, b: {name: [a, b]}, st.sampled_from(SETS), inner, inner),
        st.builds(lambda a, n: {"$slice": [a, n]}, inner, st.integers(1, 3000)),
        st.builds(lambda a: {"$reverseArray": a}, inner),
        st.builds(lambda a: {"$sortArray": {"input": a, "sortBy": {"jd": -1}}}, inner),
        st.builds(lambda name, a: {name: {"input": a, "n": 30}}, st.sampled_from(FEW), inner),
        st.builds(lambda a, b: {"$filter": {"input": a, "cond": {"$ne": ["$$this", b]}}}, inner, one),
        st.builds(
            lambda a, b, d: {"$zip": {"inputs": [a, b, [1]], "useLongestLength": True, "defaults": [d, 0, d]}},
            inner, inner, one,
        ),
        st.builds(lambda a: {"$objectToArray": a}, objects(depth - 1, names)),
        st.builds(lambda a, b: {"$split": [a, b]}, texts(depth - 1, names), st.sampled_from([" ", "a", "T"])),
    )  # fmt: skip


@cache
def _map(depth: int, names: tuple[str, ...]) -> Any:
    inside = values(depth - 1, (*names, "p"))
    return st.builds(lambda a, b: {"$map": {"input": a, "as": "p", "in": b}}, lists(depth - 1, names), inside)


@cache
def _reduce(depth: int, names: tuple[str, ...]) -> Any:
    one = values(depth - 1, (*names, "value", "this"))
    several = st.lists(one, max_size=2)
    field = st.one_of(
        one,
        st.builds(
            lambda f, a: {"$concatArrays": [f"$$value.{f}", a]}, st.sampled_from("abc"), st.lists(one, max_size=2)
        ),
        st.sampled_from("abc").map(lambda f: f"$$value.{f}"),
    )
    step = st.one_of(
        one,
        st.builds(lambda a: {"$concatArrays": ["$$value", a]}, several),
        st.builds(lambda a: {"$concat": ["$$value", a]}, texts(depth - 1, (*names, "value", "this"))),
        st.fixed_dictionaries({"a": field, "b": field, "c": field}),
        st.builds(lambda a: {"$mergeObjects": ["$$value", {"n": a}]}, one),
    )
    start = st.sampled_from([[], [1], None, "", "a", {}, {"a": [1], "b": [1], "c": [1]}])
    return st.builds(
        lambda a, s, b: {"$reduce": {"input": a, "initialValue": s, "in": b}}, lists(depth - 1, names), start, step
    )


@cache
def objects(depth: int, names: tuple[str, ...]) -> Any:
    """An object."""
    leaves = st.sampled_from([*OBJECTS, *(f"$${name}" for name in names)])
    if not depth:
        return leaves
    inner, one = objects(depth - 1, names), values(depth - 1, names)
    return st.one_of(
        leaves,
        st.builds(lambda a, b: {"a": a, "b": b}, one, one),
        st.builds(lambda a: {"a rather long name of a field " * 9: a}, one),
        st.builds(lambda a, b: {"$mergeObjects": [a, b]}, inner, inner),
        st.builds(lambda a: {"$mergeObjects": a}, lists(depth - 1, names)),
        st.builds(lambda a: {"$arrayToObject": {"$objectToArray": a}}, inner),
        st.builds(lambda a: {"$regexFind": {"input": a, "regex": "((((a.*))))"}}, texts(depth - 1, names)),
        st.just({"$dateToParts": {"date": DATE}}),
    )


@cache
def texts(depth: int, names: tuple[str, ...]) -> Any:
    """A text."""
    leaves = st.sampled_from([*TEXTS, *(f"$${name}.name" for name in names), *(f"$${name}" for name in names)])
    if not depth:
        return leaves
    inner = texts(depth - 1, names)
    return st.one_of(
        leaves,
        st.builds(lambda a, b: {"$concat": [a, b]}, inner, inner),
        st.builds(lambda name, a: {name: a}, st.sampled_from(["$toUpper", "$toLower", "$toString"]), inner),
        st.builds(lambda a: {"$toString": a}, numbers(depth - 1, names)),
        st.builds(lambda name, a: {name: {"input": a}}, st.sampled_from(["$trim", "$ltrim", "$rtrim"]), inner),
        st.builds(lambda name, a: {name: [a, 1, 900]}, st.sampled_from(["$substrCP", "$substrBytes"]), inner),
        st.builds(lambda a: {"$dateToString": {"date": DATE, "format": a}}, st.sampled_from(FORMATS)),
    )


@cache
def numbers(depth: int, names: tuple[str, ...]) -> Any:
    """A number, or another small value."""
    leaves = st.sampled_from([*NUMBERS, *(f"$${name}.jd" for name in names)])
    if not depth:
        return leaves
    inner, array = numbers(depth - 1, names), lists(depth - 1, names)
    return st.one_of(
        leaves,
        st.builds(lambda name, a: {name: a}, st.sampled_from(["$size", "$sum", "$avg", "$isArray"]), array),
        st.builds(lambda name, a, b: {name: [a, b]}, st.sampled_from(["$add", "$subtract", "$multiply"]), inner, inner),
        st.builds(lambda name, a: {name: a}, st.sampled_from(MEASURES), inner),
        st.builds(lambda name: {name: {"date": DATE}}, st.sampled_from(PARTS)),
        st.builds(lambda a, b: {"$in": [a, b]}, inner, array),
        st.builds(lambda a: {"$bsonSize": a}, objects(depth - 1, names)),
        st.builds(lambda a: {"$strLenBytes": a}, texts(depth - 1, names)),
    )

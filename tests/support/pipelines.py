"""Random documents and random pipelines of what the pre-filter knows, and of what it must not mistake for that.

And what becomes of a real one.
"""

from __future__ import annotations

import datetime
from typing import Any

import bson
from hypothesis import strategies as st

EDGES = [0, 1, -1, 2, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.5, 2.0, 1e16, 2.0**53, 2.0**53 + 2, -(2.0**53), 1e308, -1e308, 5e-324]
STRANGE = [float("nan"), float("inf"), float("-inf"), "", "t", "1", [], [1], [0, None], [[2]], [{"e": 1}], {}, {"e": 1}]
RARE = [
    bson.Decimal128("1.5"),
    bson.Decimal128("NaN"),
    bson.ObjectId(b"123456789012"),
    b"1",
    bson.MinKey(),
    bson.MaxKey(),
]
TIME = datetime.datetime(2021, 11, 21, tzinfo=datetime.UTC)

#: What the translation of Fritz's first filter changes.
FRITZ_01_CHANGES = [
    "stage 1: removed the $project that drops cutoutScience, cutoutTemplate, cutoutDifference: "
    "alerts come without cutouts",
    "stage 2: removed the $lookup in ZTF_alerts_aux: the light curve comes with the alert",
    "stage 3: removed the $replaceRoot that merges the light curve: it is merged already",
    "stage 4: prv_candidates: removed the condition that programid is in [1]: the filter's permissions see to it",
    "stage 4: removed the $project, which then only keeps fields of the alert",
    "stage 7: _id is kept: matches are known by it",
    "added as stage 2: candid, which is _id here",
]

NUMBERS = st.sampled_from(EDGES) | st.sampled_from(FLOATS) | st.integers(-3, 3)
CONSTANTS = st.none() | st.booleans() | NUMBERS | st.sampled_from(["", "t", "1"])
VALUES = CONSTANTS | st.sampled_from([*STRANGE, *RARE, TIME])


def _partly(names: str, values: Any) -> Any:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names.split(), values))


INNER = _partly("e f", VALUES)
CANDIDATES = _partly("a b c", VALUES).flatmap(lambda fields: _partly("d", INNER | st.lists(INNER, max_size=2)).map(
    lambda more: fields | more
))  # fmt: skip
DOCUMENTS = st.fixed_dictionaries(
    {"candidate": CANDIDATES},
    optional={"properties": _partly("p", VALUES), "classifications": _partly("s", st.floats()), "coordinates": INNER},
)
"""What an alert has besides its names."""

PATHS = st.sampled_from(
    [
        *["candidate.a", "candidate.b"] * 2,
        "candidate.c",
        "candidate.d.e",
        "candidate.d",
        "properties.p",
        "classifications.s",
        "coordinates.e",
        "x",
        "y",
        "x.e",
        "candidate.a.0",
        "properties",
    ]
)
FIELDS = PATHS.map(lambda path: f"${path}")
COMPARISONS = ["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]


def _operators(inner: Any) -> Any:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.builds(lambda name, a, b: {name: [a, b]}, st.sampled_from(COMPARISONS), inner, inner),
        st.builds(lambda name, items: {name: items}, st.sampled_from(["$and", "$or"]), several),
        st.builds(lambda name, a: {name: a}, st.sampled_from(["$and", "$or", "$not", "$abs"]), inner),
        st.builds(lambda name, a: {name: [a]}, st.sampled_from(["$not", "$abs"]), inner),
        st.builds(lambda a, b: {"$subtract": [a, b]}, inner, inner),
        st.builds(lambda items: {"$ifNull": items}, st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda a, items: {"$in": [a, items]}, inner, st.lists(CONSTANTS | FIELDS, max_size=3)),
        st.builds(lambda a, b: {"$cond": [a, b, 1]}, inner, inner),
        st.builds(lambda a: {"$type": a}, inner),
        st.builds(lambda a: {"$let": {"vars": {"v": a}, "in": {"$lt": ["$$v", 1]}}}, inner),
    )


LEAVES = FIELDS | FIELDS | CONSTANTS | FIELDS.map(lambda path: f"$$ROOT.{path[1:]}") | st.just({"$literal": "$a"})
EXPRESSIONS = st.recursive(LEAVES, _operators, max_leaves=8)
#: What JSON can have where a plain number or a boolean is usual.
ODD = [True, False, None, 0, -0.0, 1, 0.5, 5e-324, -1, 2**53 + 1, 1e300, "", "0", "x", [], [0], [[]], {}, {"e": 0}]
PREDICATES = st.one_of(
    st.builds(lambda name, operand: {name: operand}, st.sampled_from(COMPARISONS), CONSTANTS),
    st.builds(lambda a, b: {"$gte": a, "$lt": b}, NUMBERS, NUMBERS),
    st.builds(lambda name, items: {name: items}, st.sampled_from(["$in", "$nin"]), st.lists(CONSTANTS, max_size=3)),
    st.sampled_from(ODD).map(lambda there: {"$exists": there}),
    st.builds(lambda name, operand: {name: operand}, st.sampled_from(COMPARISONS), st.sampled_from(ODD)),
    st.builds(
        lambda name, items: {name: items},
        st.sampled_from(["$in", "$nin", "$all"]),
        st.lists(st.sampled_from(ODD), max_size=3),
    ),
    st.builds(lambda a, b: {"$exists": a, "$lt": b}, st.sampled_from(ODD), NUMBERS),
    st.builds(lambda n: {"$size": n}, st.integers(0, 2)),
    st.builds(lambda a, b: {"$mod": [a, b]}, st.integers(1, 3), st.integers(-1, 2)),
    st.builds(lambda one: {"$elemMatch": {"$gte": one}}, NUMBERS),
    st.just({"$regex": "t"}),
    st.sampled_from(["number", "null", "bool"]).map(lambda kind: {"$type": kind}),
)
CONDITIONS = st.one_of(
    st.builds(lambda path, predicate: {path: predicate}, PATHS, PREDICATES),
    st.builds(lambda path, predicate: {path: {"$not": predicate}}, PATHS, PREDICATES),
    st.builds(lambda path, value: {path: value}, PATHS, CONSTANTS | st.sampled_from(ODD)),
    st.builds(lambda one: {"$expr": one}, EXPRESSIONS),
)
QUERIES = st.recursive(
    CONDITIONS,
    lambda inner: st.builds(
        lambda name, items: {name: items},
        st.sampled_from(["$and", "$or", "$nor"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)
MATCHES = QUERIES.map(lambda query: {"$match": query})
KEPT = st.dictionaries(st.sampled_from(["candidate.a", "candidate.b", "candidate.d.e", "x", "properties"]), st.just(1))
MADE = st.sampled_from(["x", "y", "candidate", "candidate.a", "x.e"])
STAGES = st.one_of(
    MATCHES,
    MATCHES,
    st.builds(
        lambda name, fields: {name: fields},
        st.sampled_from(["$addFields", "$set"]),
        st.dictionaries(MADE, EXPRESSIONS, min_size=1, max_size=2),
    ),
    st.builds(lambda kept, made: {"$project": {"objectId": 1} | kept | {"y": made}}, KEPT, EXPRESSIONS),
    st.builds(lambda kept, inner: {"$project": {"objectId": 1, "candidate": inner} | kept}, st.just({"x": 1}),
              st.dictionaries(st.sampled_from(["a", "b", "d"]), st.just(1) | FIELDS, min_size=1)),
    st.just({"$project": {"objectId": 1, "candidate": 1, "x": 1, "properties": 1}}),
    st.sampled_from(["x", "candidate.a", "candidate", "properties.p"]).map(lambda path: {"$project": {path: 0}}),
    st.sampled_from(["x", "candidate.b", "candidate", "coordinates"]).map(lambda path: {"$unset": path}),
    st.just({"$replaceWith": {"$mergeObjects": ["$candidate", "$$ROOT"]}}),
)  # fmt: skip
PIPELINES = st.builds(
    lambda stages, last: [*stages, last, {"$project": {"objectId": 1}}], st.lists(STAGES, max_size=4), MATCHES
)

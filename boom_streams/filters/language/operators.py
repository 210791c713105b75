"""Operators that a filter may use: the pure ones of MongoDB's expressions and queries, and how they are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from boom_streams.errors import FilterError

__all__ = ["ADVICE", "EXPRESSIONS", "check_expression", "check_query"]

_ARITHMETIC = "abs add ceil divide exp floor ln log log10 mod multiply pow round sqrt subtract trunc"
_TRIGONOMETRY = "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh degreesToRadians radiansToDegrees"
_LOGIC = "and or not cmp eq ne gt gte lt lte cond ifNull switch literal let"
_ARRAYS = (
    "arrayElemAt arrayToObject concatArrays filter first firstN in indexOfArray isArray last lastN map max maxN min "
    "minN objectToArray range reduce reverseArray size slice sortArray zip avg sum stdDevPop stdDevSamp mergeObjects "
    "allElementsTrue anyElementTrue setDifference setEquals setIntersection setIsSubset setUnion"
)
_TEXTS = (
    "concat indexOfBytes indexOfCP ltrim regexFind regexMatch rtrim split strLenBytes strLenCP strcasecmp substr "
    "substrBytes substrCP toLower toUpper trim"
)
_TYPES = "convert isNumber toBool toDate toDecimal toDouble toInt toLong toString type binarySize bsonSize"
_DATES = (
    "dateAdd dateDiff dateFromParts dateFromString dateSubtract dateToParts dateToString dateTrunc dayOfMonth "
    "dayOfWeek dayOfYear hour millisecond minute month second week year"
)

EXPRESSIONS = frozenset(
    f"${name}"
    for names in (_ARITHMETIC, _TRIGONOMETRY, _LOGIC, _ARRAYS, _TEXTS, _TYPES, _DATES)
    for name in names.split()
)
_COMPARISONS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$exists", "$type", "$size", "$mod"})
_LISTS = frozenset({"$in", "$nin"})
_LOGICAL = frozenset({"$and", "$or", "$nor"})
_CONDITIONS = _COMPARISONS | _LISTS | {"$all", "$not", "$elemMatch", "$regex", "$options", "$geoWithin"}
_SYSTEM_VARIABLES = frozenset({"ROOT", "CURRENT", "REMOVE"})
_VARIABLE = re.compile(r"[a-z][A-Za-z0-9_]*", re.ASCII)
_MAX_LOOPS = 2
_MAX_RANGE = 10_000
_MAX_REGEX = 500
_LOOPS = frozenset({"$map", "$filter", "$reduce"})
_SIZES = frozenset({"$add", "$subtract", "$max"})

_ONE = "a filter sees one alert at a time"
_CODE = "JavaScript cannot be used; write it with expressions ($map, $filter, $reduce, …)"
_JOINED = "light curve, cross_matches and aliases are fields of the alert already; leave it out"
_CHANCE = "the same alert must always give the same answer"

#: What to do instead of an operator that people write but that is not allowed.
ADVICE: Mapping[str, str] = {
    **dict.fromkeys(["$function", "$accumulator", "$where"], _CODE),
    **dict.fromkeys(["$lookup", "$graphLookup", "$unionWith"], _JOINED),
    **dict.fromkeys(["$out", "$merge"], "matches are stored and published by the broker"),
    **dict.fromkeys(["$rand", "$sampleRate", "$sample"], _CHANCE),
    **dict.fromkeys(["$group", "$bucket", "$bucketAuto", "$sortByCount", "$count", "$facet"], _ONE),
    **dict.fromkeys(["$setWindowFields", "$densify", "$fill", "$limit", "$skip", "$sort"], _ONE),
    "$unwind": f"{_ONE}; use $map, $filter or $reduce on the array",
    "$geoNear": "use $match with $geoWithin and $centerSphere (ra - 180, dec; radius in radians)",
    "$near": "use $geoWithin with $centerSphere",
    "$nearSphere": "use $geoWithin with $centerSphere",
    "$jsonSchema": "use comparisons",
    "$getField": 'write the path, as "$candidate.magpsf"',
    "$setField": "use $addFields",
    "$text": "use $regexMatch",
}


def check_query(query: Any, place: str) -> None:
    """Check the body of a ``$match``; raise `FilterError` for what is not allowed.

    Parameters
    ----------
    query
        Any JSON value.
    place
        Where it is in the pipeline, for the error's text.
    """
    if not isinstance(query, dict):
        raise FilterError(f"{place}: a condition is an object")
    for key, value in query.items():
        here = f"{place}: {key}"
        if key in _LOGICAL:
            if not isinstance(value, list) or not value:
                raise FilterError(f"{here} needs a list of conditions")
            for item in value:
                check_query(item, here)
        elif key == "$expr":
            check_expression(value, here)
        elif key.startswith("$"):
            _refuse(key, place, "allowed are fields, $and, $or, $nor and $expr")
        elif isinstance(value, dict) and any(name.startswith("$") for name in value):
            _check_predicate(value, here)
        else:
            _check_literal(value, here)


def _check_predicate(predicate: Any, place: str) -> None:
    if not isinstance(predicate, dict) or not predicate:
        raise FilterError(f'{place} needs operators, as {{"$lt": 19}}')
    for name, value in predicate.items():
        here = f"{place}.{name}"
        if name in _COMPARISONS:
            _check_literal(value, here)
        elif name in _LISTS or name == "$all":
            _check_list(value, here)
        elif name == "$not":
            _check_predicate(value, here)
        elif name == "$elemMatch":
            _check_element(value, here)
        elif name in ("$regex", "$options"):
            _check_regex(value, here)
        elif name == "$geoWithin":
            if not isinstance(value, dict) or set(value) != {"$centerSphere"}:
                raise FilterError(f'{here} needs {{"$centerSphere": [[ra - 180, dec], radius in radians]}}')
            _check_literal(value["$centerSphere"], here)
        else:
            _refuse(name, place, f"conditions are {', '.join(sorted(_CONDITIONS))}; other expressions go under $expr")


def _check_list(value: Any, place: str) -> None:
    if not isinstance(value, list):
        raise FilterError(f"{place} needs a list")
    _check_literal(value, place)


def _check_element(value: Any, place: str) -> None:
    """What ``$elemMatch`` asks of an element: operators on it, or a query on its fields."""
    operators = isinstance(value, dict) and any(k.startswith("$") and k not in _LOGICAL for k in value)
    (_check_predicate if operators else check_query)(value, place)


def _check_literal(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if key.startswith("$"):
                _refuse(key, place, "only a plain value can be here")
            _check_literal(item, place)
    elif isinstance(value, list):
        for item in value:
            _check_literal(item, place)


def _check_regex(value: Any, place: str) -> None:
    if not isinstance(value, str) or len(value) > _MAX_REGEX:
        raise FilterError(f"{place} needs a text of at most {_MAX_REGEX} letters")


def check_expression(value: Any, place: str, loops: int = 0) -> None:
    """Check an expression; raise `FilterError` for what is not allowed.

    Parameters
    ----------
    value
        Any JSON value.
    place
        Where it is in the pipeline, for the error's text.
    loops
        How many ``$map``, ``$filter`` and ``$reduce`` it is inside of.
    """
    if isinstance(value, str):
        _check_path(value, place)
    elif isinstance(value, list):
        for item in value:
            check_expression(item, place, loops)
    elif isinstance(value, dict):
        operators = [key for key in value if key.startswith("$")]
        if not operators:
            for key, item in value.items():
                check_expression(item, f"{place}.{key}", loops)
        elif len(value) > 1:
            raise FilterError(f"{place}: {operators[0]} must be alone in its object")
        else:
            _check_operator(operators[0], value[operators[0]], place, loops)


def _check_path(text: str, place: str) -> None:
    if text.startswith("$$"):
        name = text[2:].split(".")[0]
        if name not in _SYSTEM_VARIABLES and not _VARIABLE.fullmatch(name):
            advice = "use candidate.jd" if name in ("NOW", "CLUSTER_TIME") else "variables begin with a small letter"
            raise FilterError(f"{place}: variable $${name} is not allowed; {advice}")


def _check_operator(name: str, body: Any, place: str, loops: int) -> None:
    if name not in EXPRESSIONS:
        _refuse(name, place, "see the list of expressions in the documentation of filters")
    here = f"{place}.{name}"
    if name == "$literal":
        return
    if name == "$range":
        _check_range(body, here)
    if name in ("$regexMatch", "$regexFind") and isinstance(body, dict):
        _check_regex(body.get("regex"), here)
    if name in _LOOPS or name == "$let":
        _check_binder(name, body, here, loops)
    elif isinstance(body, dict):  # named arguments, or the one argument is an object
        if any(key.startswith("$") for key in body):
            check_expression(body, here, loops)
        else:
            for key, item in body.items():
                check_expression(item, f"{here}.{key}", loops)
    else:
        check_expression(body, here, loops)


def _check_binder(name: str, body: Any, place: str, loops: int) -> None:
    if not isinstance(body, dict):
        raise FilterError(f"{place} needs an object")
    inside = loops + (name in _LOOPS)
    if inside > _MAX_LOOPS:
        raise FilterError(f"{place}: loops are nested deeper than {_MAX_LOOPS}; compute the inner one before")
    if not isinstance(body.get("vars", {}), dict):
        raise FilterError(f"{place}.vars needs an object")
    names = body.get("vars", ()) if name == "$let" else [body["as"]] if "as" in body else []
    for variable in names:
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise FilterError(f"{place}: variable {variable!r}: begin it with a small letter, then a-z A-Z 0-9 _")
    for key, item in body.items():
        if key == "vars":
            for variable, bound in item.items():
                check_expression(bound, f"{place}.vars.{variable}", loops)
        elif key != "as":
            check_expression(item, f"{place}.{key}", inside if key in ("in", "cond") else loops)


def _check_range(body: Any, place: str) -> None:
    if not isinstance(body, list) or not all(_bounded(item) for item in body):
        raise FilterError(
            f'{place}: its ends must be numbers up to {_MAX_RANGE}, {{"$size": …}}, sums of such, '
            f'or {{"$min": [{_MAX_RANGE}, …]}}'
        )


def _bounded(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float):
        return abs(value) <= _MAX_RANGE
    if isinstance(value, dict) and len(value) == 1:
        name, body = next(iter(value.items()))
        if name == "$size":
            return True
        if name == "$min":
            return isinstance(body, list) and any(_bounded(item) for item in body)
        return name in _SIZES and isinstance(body, list) and all(_bounded(item) for item in body)
    return False


def _refuse(name: str, place: str, otherwise: str) -> None:
    raise FilterError(f"{place}: {name} is not allowed; {ADVICE.get(name, otherwise)}")

"""Sizes of values: of an alert's fields, which are enforced, and of what each operator makes of its arguments.

A number, a text of 16 bytes and what is taken from the alert as it is (a point, a source, a text: shared, not copied)
count as 1. What makes a new object of one adds `OBJECT` for its fields, what makes a new text `TEXT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import bson

from boom_streams.filters.language.growth import Number, at_most_one, most
from boom_streams.surveys import Survey

__all__ = [ "ALWAYS",
    "ARRAYS",
    "CURVE",
    "INPUTS",
    "MAX_TEXT",
    "NAMED",
    "OBJECT",
    "ONE",
    "REFERENCES",
    "RULES",
    "TEXT",
    "Size",
    "anywhere",
    "below",
    "constant",
    "holding",
    "largest",
    "made_object",
    "merged",
    "of_alerts",
    "too_large",
]  # fmt: skip

#: Most points of a light curve that a filter sees (the deep fields of LSST).
CURVE = 2_000
#: Longest text of an alert that a filter sees, bytes.
MAX_TEXT = 4_096
#: Most fields of an object that comes with the alert: a point, a source, the candidate.
OBJECT = 250
#: Values that a new text can have more than what it was made from.
TEXT = MAX_TEXT // 16


class Size(NamedTuple):
    """Upper bounds of a value.

    Attributes
    ----------
    length
        Elements, if it is an array.
    each
        Values in one element.
    total
        Values in all.
    fields
        Sizes of an object's fields, by name, where they are known.
    """

    length: Number
    each: Number
    total: Number
    fields: Mapping[str, Any] = {}


ONE = Size(1, 1, 1)
_CURVE = Size(CURVE, 1, CURVE)
_MAX_SOURCES = 5_000
_SOURCES = Size(_MAX_SOURCES, 1, _MAX_SOURCES)
_SOME = Size(100, 100, 100)

#: Fields of an alert beside those that its survey names; what is not here was made by the filter, or is absent.
INPUTS: Mapping[str, Size] = {
    "cross_matches": _SOURCES,
    "aliases": _SOME,
    "properties": _SOME,
    "classifications": _SOME,
    "candidate": Size(OBJECT, 1, OBJECT),
    "coordinates": Size(10, 10, 10),
    "_id": ONE,
    "objectId": ONE,
}
#: Fields that every alert has.
ALWAYS = frozenset({"_id", "objectId", "candidate", "coordinates"})
#: Fields, besides light curves, in whose elements others can be set.
ARRAYS = frozenset({"cross_matches", "aliases"})


def of_alerts(surveys: Iterable[Survey]) -> dict[str, Size]:
    """Sizes of the fields of alerts of any of these surveys."""
    found = dict(INPUTS)
    for survey in surveys:
        found |= dict.fromkeys(survey.document, ONE) | dict.fromkeys(survey.series, _CURVE)
    return found


def anywhere(total: Number) -> Size:
    """Size of what can be any value."""
    return Size(total, total, total)


def constant(value: Any) -> Size:
    """Size of a value that stands in the pipeline."""
    if isinstance(value, str):
        return anywhere(1 + len(value.encode("utf-8", "surrogatepass")) // 16)
    if not isinstance(value, dict | list):
        return ONE
    return anywhere(1 + len(bson.encode({"": value})) // 3)


def below(size: Size, path: Sequence[str]) -> Size:
    """Size of a field of a value: of each element, if that is an array; anything inside it, if not known."""
    for name in path:
        if size.fields:
            size = size.fields.get(name, ONE)
        elif at_most_one(size.length):
            size = anywhere(size.total)
    return size


def largest(sizes: Sequence[Size]) -> Size:
    """Size of any one of these values."""
    if not sizes:
        return ONE
    objects = [size.fields for size in sizes if not at_most_one(size.total)]
    names = {name for fields in objects for name in fields} if all(objects) else ()
    fields = {name: largest([one[name] for one in objects if name in one]) for name in names}
    length, each, total = (most(column) for column in zip(*(size[:3] for size in sizes), strict=True))
    return Size(length, each, total, fields)


def holding(sizes: Sequence[Size]) -> Size:
    """Size of an array that has these values as elements."""
    each = most([size.total for size in sizes]) if sizes else 1
    return Size(max(1, len(sizes)), each, 1 + _sum(sizes))


def made_object(fields: Mapping[str, Size]) -> Size:
    """Size of an object with these fields; their names are stored with it."""
    total: Number = 1
    for name, size in fields.items():
        total = total + 3 + len(name.encode("utf-8", "surrogatepass")) // 16 + size.total
    return Size(total, total, total, fields)


def merged(sizes: Sequence[Size]) -> Size:
    """Size of an object with the fields of these objects, or of those in the one array."""
    copies: Number = sizes[0].length if len(sizes) == 1 else len(sizes)
    return anywhere(1 + _sum(sizes) + OBJECT * copies)


def _sum(sizes: Sequence[Size]) -> Number:
    return sum((size.total for size in sizes), start=0.0)


def too_large(alert: Mapping[str, Any]) -> str | None:
    """What in an alert, beside its light curves, is larger than bounds assume; None if nothing is."""
    pending: list[tuple[str, Any]] = list(alert.items())
    sources = 0
    while pending:
        path, value = pending.pop()
        if isinstance(value, str) and len(value) * 4 > MAX_TEXT and len(value.encode()) > MAX_TEXT:
            return f"{path} is a text of {len(value.encode())} bytes; {MAX_TEXT} are the most"
        if isinstance(value, Mapping):
            if len(value) > OBJECT:
                return f"{path} has {len(value)} fields; {OBJECT} are the most"
            pending += [(f"{path}.{name}", item) for name, item in value.items()]
        elif isinstance(value, list):
            sources += len(value)
            if sources > _MAX_SOURCES:
                return f"{path} and others have {sources} elements; {_MAX_SOURCES} are the most"
            pending += [(path, item) for item in value]
    return None


# Operators: sizes of the arguments -> size of the value

Rule: TypeAlias = Callable[[Sequence[Size]], Size]


def _number(sizes: Sequence[Size]) -> Size:
    return ONE


def _few(sizes: Sequence[Size]) -> Size:
    """An object of eight numbers."""
    return anywhere(40)


def _all_of(sizes: Sequence[Size]) -> Size:
    """Anything made of all arguments together."""
    return anywhere(1 + _sum(sizes))


def _one_of(sizes: Sequence[Size]) -> Size:
    return largest(sizes)


def _extreme(sizes: Sequence[Size]) -> Size:
    """The least or greatest of several, or of the elements of one."""
    return largest([*sizes, anywhere(sizes[0].each)]) if len(sizes) == 1 else largest(sizes)


def _element(sizes: Sequence[Size]) -> Size:
    return anywhere(sizes[0].each) if sizes else ONE


def _joined(sizes: Sequence[Size]) -> Size:
    """An array of the elements of these arrays."""
    if not sizes:
        return ONE
    length = sum((size.length for size in sizes), start=0.0)
    return Size(length, most([size.each for size in sizes]), _sum(sizes))


def _text(sizes: Sequence[Size]) -> Size:
    return anywhere(1 + _sum(sizes) + TEXT * len(sizes))


def _formatted(sizes: Sequence[Size]) -> Size:
    """A time as a text: ``%Y`` is four letters, ``%Z`` six."""
    return anywhere(2 + 3 * _sum(sizes) + TEXT)


def _split(sizes: Sequence[Size]) -> Size:
    """Texts, one a letter at the most."""
    letters = 16 * _text(sizes).total
    return Size(letters, 1 + _sum(sizes) + TEXT, 2 * letters)


def _pairs(sizes: Sequence[Size]) -> Size:
    """An array of names and values of an object."""
    fields = _sum(sizes) + OBJECT
    return Size(fields, _sum(sizes) + TEXT + 7, _sum(sizes) + 10 * fields)


def _rules(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"${name}": rule for name in names.split()}


#: What each operator makes, but for those that bind variables or ask for more than sizes (`cost`).
RULES: Mapping[str, Rule] = {
    **_rules(_number, "abs add ceil divide exp floor ln log log10 mod multiply pow round sqrt subtract trunc"),
    **_rules(_number, "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh"),
    **_rules(_number, "degreesToRadians radiansToDegrees and or not cmp eq ne gt gte lt lte in isArray size"),
    **_rules(_number, "indexOfArray indexOfBytes indexOfCP regexMatch strLenBytes strLenCP strcasecmp"),
    **_rules(_number, "avg sum stdDevPop stdDevSamp allElementsTrue anyElementTrue setEquals setIsSubset"),
    **_rules(_number, "isNumber toBool toDate toDecimal toDouble toInt toLong type binarySize bsonSize"),
    **_rules(_number, "dateAdd dateDiff dateFromParts dateSubtract dateTrunc dayOfMonth dayOfWeek dayOfYear"),
    **_rules(_number, "hour millisecond minute month second week year"),
    **_rules(_few, "dateToParts"),
    **_rules(_one_of, "cond ifNull switch slice reverseArray sortArray firstN lastN minN maxN setDifference"),
    **_rules(_extreme, "min max"),
    **_rules(_element, "arrayElemAt first last"),
    **_rules(_joined, "concatArrays setUnion setIntersection"),
    **_rules(_all_of, "arrayToObject convert dateFromString"),
    **_rules(_text, "concat ltrim rtrim trim substr substrBytes substrCP toLower toUpper toString"),
    **_rules(_formatted, "dateToString"),
    **_rules(_split, "split"),
    **_rules(_pairs, "objectToArray"),
    **_rules(merged, "mergeObjects"),
}

#: Operators that look at references only, however large the values are.
REFERENCES = frozenset(
    {"$cond", "$ifNull", "$switch", "$arrayElemAt", "$first", "$last", "$size", "$isArray", "$type", "$isNumber"}
)

#: Operators with named arguments; for all others an object is the one argument.
NAMED: Mapping[str, tuple[str, ...]] = {
    "$cond": ("if", "then", "else"),
    "$switch": ("branches", "default"),
    "$sortArray": ("input", "sortBy"),
    **dict.fromkeys(["$firstN", "$lastN", "$minN", "$maxN"], ("input", "n")),
    **dict.fromkeys(["$regexFind", "$regexMatch"], ("input", "regex", "options")),
    **dict.fromkeys(["$ltrim", "$rtrim", "$trim"], ("input", "chars")),
    "$convert": ("input", "to", "onError", "onNull"),
    **dict.fromkeys(["$dateAdd", "$dateSubtract"], ("startDate", "unit", "amount", "timezone")),
    "$dateDiff": ("startDate", "endDate", "unit", "timezone", "startOfWeek"),
    "$dateFromParts": (
        "year", "isoWeekYear", "month", "isoWeek", "day", "isoDayOfWeek", "hour", "minute", "second", "millisecond",
        "timezone",
    ),
    "$dateFromString": ("dateString", "format", "timezone", "onError", "onNull"),
    "$dateToParts": ("date", "timezone", "iso8601"),
    "$dateToString": ("date", "format", "timezone", "onNull"),
    "$dateTrunc": ("date", "unit", "binSize", "timezone", "startOfWeek"),
    **dict.fromkeys(["$dayOfMonth", "$dayOfWeek", "$dayOfYear", "$month", "$week", "$year"], ("date", "timezone")),
    **dict.fromkeys(["$hour", "$millisecond", "$minute", "$second"], ("date", "timezone")),
}  # fmt: skip

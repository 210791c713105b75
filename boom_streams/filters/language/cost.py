"""How large the values of a pipeline can get, and how many steps it can take: bounds, before it ever runs.

MongoDB looks at its time limit between alerts, not inside an expression, and has no limit for values in memory. So a
few lines that double an array at each step, or loops over long ranges, could stop or kill it for everyone. Here each
expression gets a `Size`: an upper bound, for light curves of `CURVE` points. A point and a number count as 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from boom_streams.errors import FilterError

__all__ = ["CURVE", "MAX_SIZE", "MAX_STEPS", "check_cost"]

#: Points of a long light curve (the deep fields of LSST).
CURVE = 2_000
#: Most values that an alert may have in a filter.
MAX_SIZE = 5_000_000
#: Most steps for one alert: some seconds.
MAX_STEPS = 500_000_000


class Size(NamedTuple):
    """Upper bounds of a value."""

    length: float
    """Elements, if it is an array."""
    each: float
    """Values in one element."""
    total: float
    """Values in all."""
    fields: Mapping[str, Any] = {}
    """Sizes of an object's fields, by name, where they are known."""


Path: TypeAlias = tuple[str, ...]
Answer: TypeAlias = tuple[Size, float]
"""Size of an expression's value, and steps to get it."""
Names: TypeAlias = dict[str, Size]

_ONE = Size(1, 1, 1)
_CURVE = Size(CURVE, 1, CURVE)
_MATCHES = Size(1000, 1, 1000)
_SOME = Size(100, 100, 100)
_INPUTS: Mapping[str, Size] = {
    "prv_candidates": _CURVE,
    "prv_nondetections": _CURVE,
    "fp_hists": _CURVE,
    "cross_matches": _MATCHES,
    "properties": _SOME,
    "classifications": _SOME,
    "aliases": _SOME,
}

#: Operators whose value is one of their arguments, or a part of one.
_CHOICES = frozenset({"$cond", "$switch", "$ifNull", "$min", "$max"})
_SAME = frozenset({"$slice", "$reverseArray", "$sortArray", "$firstN", "$lastN", "$minN", "$maxN"})
_ELEMENT = frozenset({"$first", "$last", "$arrayElemAt"})
#: Operators whose value holds all of their arguments.
_TOGETHER = frozenset(
    {
        *[
            "$concatArrays",
            "$setUnion",
            "$setIntersection",
            "$setDifference",
            "$zip",
            "$mergeObjects",
            "$concat",
            "$split",
        ],
        *[
            "$objectToArray",
            "$arrayToObject",
            "$toLower",
            "$toUpper",
            "$trim",
            "$ltrim",
            "$rtrim",
            "$substr",
            "$substrCP",
        ],
        *["$substrBytes", "$regexFind", "$convert", "$toString"],
    }
)


def check_cost(pipeline: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a validated pipeline that can get too large or too slow; `FilterError` names the stage."""
    scope = _Scope()
    for number, stage in enumerate(pipeline, 1):
        ((name, body),) = stage.items()
        scope.place = f"stage {number} ({name})"
        if name == "$match":
            _match(body, scope)
        elif name in ("$addFields", "$set", "$project"):
            scope.assign(body)
        elif name in ("$replaceRoot", "$replaceWith"):
            whole, _ = scope.run(body["newRoot"] if name == "$replaceRoot" else body)
            scope.unknown = _largest([scope.unknown, _anywhere(whole.total)])


def _match(query: Any, scope: _Scope) -> None:
    if isinstance(query, list):
        for item in query:
            _match(item, scope)
    elif isinstance(query, dict):
        for key, value in query.items():
            if key == "$expr":
                scope.run(value)
            elif key.startswith("$"):
                _match(value, scope)


class _Scope:
    """Sizes of fields at a place in the pipeline, and the steps so far."""

    def __init__(self) -> None:
        self.place = ""
        self.unknown = _ONE
        self._made: dict[Path, Size] = {}
        self._steps = 0.0

    def run(self, expression: Any) -> Answer:
        """Size of an expression that is evaluated here once an alert."""
        size, steps = _visit(expression, {}, self)
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise FilterError(
                f"{self.place}: with light curves of {CURVE} points this can take {self._steps:.0e} steps an alert, "
                f"{MAX_STEPS:.0e} are the most; loop over fewer things in one another"
            )
        self.limit(size.total)
        return size, steps

    def limit(self, total: float) -> None:
        """Refuse values that get too large."""
        if total > MAX_SIZE:
            raise FilterError(
                f"{self.place}: with light curves of {CURVE} points its values can be {total:.0e} in number, "
                f"{MAX_SIZE:.0e} are the most; make fewer or shorter arrays"
            )

    def assign(self, body: Mapping[str, Any]) -> None:
        """Fields set to expressions, all evaluated before any is set."""
        made = {path: self.run(value)[0] for path, value in _leaves(body, ())}
        for path, size in made.items():
            if path[0] in _INPUTS and len(path) > 1:  # set in each element of an array
                size = _grown(self.field(path[:1]), size.total)
                path = path[:1]
            self._made = {old: known for old, known in self._made.items() if old[: len(path)] != path}
            self._made[path] = size
        self.limit(sum(size.total for size in self._made.values()))

    def field(self, path: Path) -> Size:
        """Size of a field."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._made:
                return _below(self._made[path[:length]], path[length:])
        inside = sum(size.total for made, size in self._made.items() if made[: len(path)] == path)
        own = _INPUTS.get(path[0], self.unknown if len(path) > 1 or path[0] not in ("candidate",) else _SOME)
        return own if not inside else _anywhere(own.total + inside)

    def whole(self) -> Size:
        """Size of the whole document."""
        own = sum(size.total for size in (*_INPUTS.values(), _SOME, self.unknown))
        return _anywhere(own + sum(size.total for size in self._made.values()))


def _leaves(body: Mapping[str, Any], prefix: Path) -> list[tuple[Path, Any]]:
    """Fields set to expressions; those that are only kept are left out."""
    found = []
    for key, value in body.items():
        path = prefix + tuple(key.split("."))
        if isinstance(value, dict) and value and not any(name.startswith("$") for name in value):
            found += _leaves(value, path)
        elif not isinstance(value, bool | int | float):
            found.append((path, value))
    return found


def _anywhere(total: float) -> Size:
    return Size(total, total, total)


def _below(size: Size, path: Sequence[str]) -> Size:
    """Size of a field of a value: of each element, if that is an array; anything inside it, if not known."""
    for name in path:
        if size.fields:
            size = size.fields.get(name, _ONE)
        elif size.length <= 1:
            size = _anywhere(size.total)
    return size


def _grown(size: Size, more: float) -> Size:
    """Size of an array with as much more in each element."""
    return Size(size.length, size.each + more, size.total + size.length * more)


def _largest(sizes: Sequence[Size]) -> Size:
    """Size of any one of these values."""
    if not sizes:
        return _ONE
    objects = [size.fields for size in sizes if size.total > 1]
    names = {name for fields in objects for name in fields} if all(objects) else ()
    fields = {name: _largest([one[name] for one in objects if name in one]) for name in names}
    length, each, total = (max(column) for column in zip(*(size[:3] for size in sizes), strict=True))
    return Size(length, each, total, fields)


def _after(one: Size, two: Size, three: Size, times: float) -> Size | None:
    """Size after as many further steps, as it grows from step to step; None if that gets more and more."""
    if any(c - b > b - a for a, b, c in zip(one[:3], two[:3], three[:3], strict=True)):
        return None
    names = one.fields.keys() & two.fields.keys() & three.fields.keys()
    fields = {name: _after(one.fields[name], two.fields[name], three.fields[name], times) for name in names}
    if None in fields.values():
        return None
    length, each, total = (a + times * (b - a) for a, b in zip(one[:3], two[:3], strict=True))
    return Size(length, each, total, fields)


def _together(sizes: Sequence[Size]) -> Size:
    """Size of an array of what is in these arrays."""
    return (
        Size(sum(s.length for s in sizes), max(s.each for s in sizes), sum(s.total for s in sizes)) if sizes else _ONE
    )


def _holding(sizes: Sequence[Size]) -> Size:
    """Size of an array or an object that has these values."""
    total = 1 + sum(size.total for size in sizes)
    return Size(max(1, len(sizes)), max((size.total for size in sizes), default=1), total)


# Expressions


def _visit(value: Any, names: Names, scope: _Scope) -> Answer:
    if isinstance(value, str):
        return _text(value, names, scope)
    if isinstance(value, list):
        answers = [_visit(item, names, scope) for item in value]
        return _holding([size for size, _ in answers]), 1 + sum(steps for _, steps in answers)
    if not isinstance(value, dict) or not value:
        return _ONE, 1
    name = next(iter(value))
    if not name.startswith("$"):
        found = {key: _visit(item, names, scope) for key, item in value.items()}
        total = 1 + sum(3 + size.total for size, _ in found.values())
        fields = {key: size for key, (size, _) in found.items()}
        return Size(total, total, total, fields), 1 + sum(steps for _, steps in found.values())
    body = value[name]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(body, names, scope)
    return _operator(name, body, names, scope)


def _text(text: str, names: Names, scope: _Scope) -> Answer:
    if text.startswith("$$"):
        name, *rest = text[2:].split(".")
        if name in ("ROOT", "CURRENT"):
            size = scope.field(tuple(rest)) if rest else scope.whole()
        else:
            size = _below(names.get(name, _ONE), rest)
        return size, size.length if rest else 1
    if text.startswith("$"):
        size = scope.field(tuple(text[1:].split(".")))
        return size, size.length
    return _anywhere(1 + len(text) // 16), 1


def _operator(name: str, body: Any, names: Names, scope: _Scope) -> Answer:
    """An operator without variables of its own: it walks through its arguments once."""
    answers = [_visit(item, names, scope) for item in _arguments(body)]
    sizes = [size for size, _ in answers]
    steps = 1 + sum(steps + size.length for size, steps in answers)
    if name in _CHOICES:
        elements = [_anywhere(size.each) for size in sizes] if len(sizes) == 1 else []  # $max of one array
        return _largest([*sizes, *elements]), steps
    if name in _SAME:
        return _largest(sizes), 10 * steps
    if name in _ELEMENT:
        return _anywhere(sizes[0].each if sizes else 1), steps
    if name in _TOGETHER:
        size = _together(sizes)
        if name in ("$split", "$objectToArray"):  # a text of 16 bytes counts as 1; a pair has its key besides
            size = Size(16 * size.total, size.total + 2, 16 * size.total)
        return size, steps + size.total
    return _ONE, steps


def _arguments(body: Any) -> list[Any]:
    """Arguments, whether in a list, alone or by name."""
    if isinstance(body, dict) and not any(key.startswith("$") for key in body):
        return [item for value in body.values() for item in (_arguments(value) if isinstance(value, list) else [value])]
    if isinstance(body, list):
        return [i for item in body for i in (_arguments(item) if isinstance(item, dict) and "case" in item else [item])]
    return [body]


def _map(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    array, steps = _visit(body.get("input"), names, scope)
    inside, each = _visit(body.get("in"), _with(names, body, array), scope)
    return Size(array.length, inside.total, array.length * inside.total), steps + array.length * (1 + each)


def _filter(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    array, steps = _visit(body.get("input"), names, scope)
    _, each = _visit(body.get("cond"), _with(names, body, array), scope)
    return array, steps + array.length * (1 + each)


def _with(names: Names, body: Mapping[str, Any], array: Size) -> Names:
    return {**names, str(body.get("as", "this")): _anywhere(array.each)}


def _reduce(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    """A value that grows by the same at each step, or not at all; one that grows faster is refused."""
    array, steps = _visit(body.get("input"), names, scope)
    start, first = _visit(body.get("initialValue"), names, scope)
    elements = _with(names, {}, array)

    def step(value: Size) -> Answer:
        size, each = _visit(body.get("in"), {**elements, "value": value}, scope)
        return _largest([value, size]), each

    one, _ = step(start)
    two, _ = step(one)
    three, _ = step(two)
    value = _after(one, two, three, array.length)
    if value is None:
        raise FilterError(f"{scope.place}: $reduce makes its value larger by a factor at each step; let it add to it")
    scope.limit(value.total)
    _, each = step(value)
    return value, steps + first + array.length * (1 + each)


def _let(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    bound = {name: _visit(value, names, scope) for name, value in (body.get("vars") or {}).items()}
    size, steps = _visit(body.get("in"), {**names, **{name: size for name, (size, _) in bound.items()}}, scope)
    return size, steps + sum(steps for _, steps in bound.values())


def _range(body: Any, names: Names, scope: _Scope) -> Answer:
    ends = [_bound(item, names, scope) for item in _arguments(body)[:2]]
    count = max(1.0, sum(ends))
    return Size(count, 1, count), count


def _bound(value: Any, names: Names, scope: _Scope) -> float:
    """Largest number that an end of a ``$range`` can be; the validator knows which can stand there."""
    if isinstance(value, int | float):
        return abs(value)
    if not isinstance(value, dict) or len(value) != 1:
        return float("inf")
    ((name, body),) = value.items()
    if name == "$size":
        return max(_visit(item, names, scope)[0].length for item in _arguments(body))
    bounds = [_bound(item, names, scope) for item in _arguments(body)]
    return min(bounds) if name == "$min" else sum(bounds)


def _literal(body: Any, names: Names, scope: _Scope) -> Answer:
    size = 1 + len(str(body)) // 8
    return _anywhere(size), 1


_SPECIAL: Mapping[str, Callable[[Any, Names, _Scope], Answer]] = {
    "$map": _map,
    "$filter": _filter,
    "$reduce": _reduce,
    "$let": _let,
    "$range": _range,
    "$literal": _literal,
}

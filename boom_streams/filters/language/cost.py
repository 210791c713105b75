"""How large the values of a pipeline can get, and how many steps it can take: bounds, before it ever runs.

MongoDB looks at its time limit between alerts, not inside an expression, and has no limit for values in memory. So a
few lines that double an array at each step, or loops over long ranges, could stop or kill it for everyone. Here each
expression gets a `Size`, an upper bound, for alerts of the largest size that is put before filters (`sizes`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from boom_streams.errors import FilterError
from boom_streams.filters.language import sizes
from boom_streams.filters.language.growth import Linear, Number, at_most_one, iterate, least, most
from boom_streams.filters.language.sizes import CURVE, NAMED, OBJECT, ONE, REFERENCES, RULES, Size
from boom_streams.surveys import usable_surveys

__all__ = ["CURVE", "MAX_SIZE", "MAX_STEPS", "check_cost"]

#: Most values that an alert may have in a filter.
MAX_SIZE = 5_000_000
#: Most steps for one alert: some seconds.
MAX_STEPS = 500_000_000

_GROUPS = 250
_UNBOUNDED = re.compile(r"[*+{]|\\[1-9gk]|\(\?")
#: Steps of a regular expression that looks for a text in one way, and of one that can try many.
_REGEX, _HARD_REGEX = 300, 200_000
#: Steps for each value that an operator touches, where it is not 1: comparisons to sort, texts copied as they are.
_EFFORT = {"$sortArray": 10.0, **dict.fromkeys(["$concat", "$substr", "$substrBytes", "$toString"], 1 / 32)}

Path: TypeAlias = tuple[str, ...]
#: Size of an expression's value, and steps to get it.
Answer: TypeAlias = tuple[Size, Number]
Names: TypeAlias = dict[str, Size]


def check_cost(pipeline: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a validated pipeline that can get too large or too slow; `FilterError` names the stage."""
    scope = _Scope()
    for number, stage in enumerate(pipeline, 1):
        ((name, body),) = stage.items()
        scope.place = f"stage {number} ({name})"
        if name == "$match":
            _match(body, scope)
        elif name in ("$addFields", "$set", "$project"):
            scope.assign(body, keeps=name == "$project")
        elif name in ("$replaceRoot", "$replaceWith"):
            whole, _ = scope.run(body["newRoot"] if name == "$replaceRoot" else body)
            scope.unknown = sizes.largest([scope.unknown, sizes.anywhere(whole.total)])


class _Scope:
    """Sizes of fields at a place in the pipeline, and the steps so far."""

    def __init__(self) -> None:
        self.place = ""
        self.unknown = ONE
        surveys = usable_surveys()
        self._inputs = sizes.of_alerts(surveys)
        self._arrays = sizes.ARRAYS.union(*(survey.series for survey in surveys))
        self.loops = itertools.count()
        self._made: dict[Path, Size] = {}
        self._steps: Number = 0.0

    def run(self, expression: Any, times: Number = 1) -> Answer:
        """Size of an expression that is evaluated here so many times an alert."""
        size, steps = _visit(expression, {}, self)
        self.spend(steps * times)
        return size, steps

    def spend(self, steps: Number) -> None:
        """Count steps that are taken once an alert."""
        self._steps = self._steps + steps
        assert not isinstance(self._steps, Linear)
        if self._steps > MAX_STEPS:
            raise FilterError(
                f"{self.place}: with light curves of {CURVE} points this can take {self._steps:.0e} steps an alert, "
                f"{MAX_STEPS:.0e} are the most; loop over fewer things in one another"
            )

    def limit(self, total: Number) -> None:
        """Refuse values that get too large; in a loop that is still being followed, later."""
        if not isinstance(total, Linear) and total > MAX_SIZE:
            raise FilterError(
                f"{self.place}: with light curves of {CURVE} points its values can be {total:.0e} in number, "
                f"{MAX_SIZE:.0e} are the most; make fewer or shorter arrays"
            )

    def assign(self, body: Mapping[str, Any], keeps: bool = False) -> None:
        """Fields set to expressions, all evaluated before any is set; numbers can say that a field is kept."""
        made = []
        for path, value in _leaves(body, ()):
            if keeps and isinstance(value, bool | int | float):
                continue
            array = self._around(path)
            times = 1 if array is None else self.field(array).total
            made.append((path, array, times, self.run(value, times)[0]))
        for path, array, times, size in made:
            if array is not None:  # set in each element
                size = sizes.anywhere(self.field(array).total + times * (size.total + OBJECT))
                path = array
            self._made = {old: known for old, known in self._made.items() if old[: len(path)] != path}
            self._made[path] = size
        self.limit(sum((size.total for size in self._made.values()), start=0.0))

    def _around(self, path: Path) -> Path | None:
        """What encloses a field and may be an array; None if all that does is an object."""
        for length in range(1, len(path)):
            known = self._made.get(path[:length])
            if known is not None and not known.fields and not at_most_one(known.length):
                return path[:length]
        return path[:1] if len(path) > 1 and path[0] in self._arrays and path[:1] not in self._made else None

    def field(self, path: Path) -> Size:
        """Size of a field."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._made:
                return sizes.below(self._made[path[:length]], path[length:])
        inside = [size.total for made, size in self._made.items() if made[: len(path)] == path]
        own = self._inputs.get(path[0], self.unknown)
        if path[0] == "candidate" and len(path) > 1:
            own = ONE
        elif path[0] not in sizes.ALWAYS and not at_most_one(self.unknown.total):  # merged, where it was absent
            own = sizes.largest([own, self.unknown])
        return sizes.anywhere(own.total + sum(inside, start=0.0)) if inside else own

    def whole(self) -> Size:
        """Size of the whole document."""
        own = sum((size.total for size in (*self._inputs.values(), self.unknown)), start=0.0)
        return sizes.anywhere(own + sum((size.total for size in self._made.values()), start=0.0))


def _leaves(body: Mapping[str, Any], prefix: Path) -> list[tuple[Path, Any]]:
    """Fields and what they are set to."""
    found = []
    for key, value in body.items():
        path = prefix + tuple(key.split("."))
        if isinstance(value, dict) and value and not any(name.startswith("$") for name in value):
            found += _leaves(value, path)
        else:
            found.append((path, value))
    return found


# Conditions


def _match(query: Any, scope: _Scope, inside: Path = ()) -> None:
    for key, value in query.items():
        if key in ("$and", "$or", "$nor"):
            for item in value:
                _match(item, scope, inside)
        elif key == "$expr":
            scope.run(value)
        else:
            _predicates(value, scope, inside + tuple(key.split(".")))


def _predicates(value: Any, scope: _Scope, path: Path) -> None:
    """Each predicate looks at all values that there may be."""
    operators = value if isinstance(value, dict) and any(name.startswith("$") for name in value) else {"$eq": value}
    values = scope.field(path).total
    for name, operand in operators.items():
        if name == "$not":
            _predicates(operand, scope, path)
        elif name == "$elemMatch":
            scope.spend(values)
            named = not any(key.startswith("$") and key not in ("$and", "$or", "$nor") for key in operand)
            (_match if named else _predicates)(operand, scope, path)
        elif name == "$all":
            scope.spend(values * max(1, len(operand)))
        else:
            scope.spend(values * (_regex_steps(operand) if name == "$regex" else 1))


def _regex_steps(pattern: Any) -> int:
    hard = not isinstance(pattern, str) or pattern.startswith("$") or len(_UNBOUNDED.findall(pattern)) > 1
    return _HARD_REGEX if hard else _REGEX


# Expressions


def _visit(value: Any, names: Names, scope: _Scope) -> Answer:
    size, steps = _answer(value, names, scope)
    scope.limit(size.total)
    return size, steps


def _answer(value: Any, names: Names, scope: _Scope) -> Answer:
    if isinstance(value, str):
        return _text(value, names, scope)
    if isinstance(value, list):
        found, steps = _several(value, names, scope)
        return sizes.holding(found), steps
    if not isinstance(value, dict) or not value:
        return ONE, 1
    name = next(iter(value))
    if not name.startswith("$"):
        found, steps = _several(list(value.values()), names, scope)
        return sizes.made_object(dict(zip(value, found, strict=True))), steps
    special = _SPECIAL.get(name)
    if special is not None:
        return special(value[name], names, scope)
    return _operator(name, value[name], names, scope)


def _several(values: Sequence[Any], names: Names, scope: _Scope) -> tuple[list[Size], Number]:
    """Sizes of several values, and steps to get them all."""
    answers = [_visit(value, names, scope) for value in values]
    return [size for size, _ in answers], 1 + sum((steps for _, steps in answers), start=0.0)


def _text(text: str, names: Names, scope: _Scope) -> Answer:
    if text.startswith("$$"):
        name, *rest = text[2:].split(".")
        if name in ("ROOT", "CURRENT"):
            size = scope.field(tuple(rest)) if rest else scope.whole()
        else:
            size = sizes.below(names.get(name, ONE), rest)
        return size, size.length if rest else 1
    if text.startswith("$"):
        size = scope.field(tuple(text[1:].split(".")))
        return size, size.length
    return sizes.constant(text), 1


def _operator(name: str, body: Any, names: Names, scope: _Scope) -> Answer:
    """An operator without variables of its own: it walks through its arguments once."""
    found, steps = _several(_arguments(name, body), names, scope)
    size = RULES[name](found)
    if name in REFERENCES:
        return size, steps + sum((argument.length for argument in found), start=0.0)
    touched = size.total + sum((argument.total for argument in found), start=0.0)
    return size, steps + _EFFORT.get(name, 1.0) * touched


def _arguments(name: str, body: Any) -> list[Any]:
    """Arguments of an operator, whether in a list, alone or by name."""
    if isinstance(body, list):
        return body
    if name not in NAMED or not isinstance(body, dict) or any(key.startswith("$") for key in body):
        return [body]
    found = []
    for key, value in body.items():
        cases = value if key == "branches" and isinstance(value, list) else None
        found += [value] if cases is None else [item for case in cases for item in _case(case)]
    return found


def _case(case: Any) -> list[Any]:
    return list(case.values()) if isinstance(case, dict) else [case]


def _map(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    array, steps = _visit(body.get("input"), names, scope)
    inside, each = _visit(body.get("in"), _with(names, body, array), scope)
    return Size(array.length, inside.total, array.length * inside.total), steps + array.length * (1 + each)


def _filter(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    array, steps = _visit(body.get("input"), names, scope)
    _, each = _visit(body.get("cond"), _with(names, body, array), scope)
    _, limit = _visit(body.get("limit"), names, scope)
    return array, steps + limit + array.length * (1 + each)


def _with(names: Names, body: Mapping[str, Any], array: Size) -> Names:
    return {**names, str(body.get("as", "this")): sizes.anywhere(array.each)}


def _reduce(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    """A value that grows by the same at each step, or not at all; one that grows faster is refused."""
    array, steps = _visit(body.get("input"), names, scope)
    start, first = _visit(body.get("initialValue"), names, scope)
    elements = _with(names, {}, array)

    def step(value: Size) -> Answer:
        return _visit(body.get("in"), {**elements, "value": value}, scope)

    value = _settled(start, lambda before: step(before)[0], array.length, f"value{next(scope.loops)}")
    if value.total == float("inf"):
        raise FilterError(f"{scope.place}: $reduce makes its value larger by a factor at each step; let it add to it")
    scope.limit(value.total)
    _, each = step(value)
    return value, steps + first + array.length * (1 + each)


def _settled(start: Size, step: Callable[[Size], Size], times: Number, name: str) -> Size:
    """Largest value of a loop: of each field of an object, where it is one from the beginning to the end."""
    fields = tuple(start.fields)
    for _ in range(4):
        before = _symbols(name, fields)
        after = step(before)
        wanted = _fields(start, after)
        if wanted == fields:
            break
        fields = wanted
    else:
        fields, before = (), _symbols(name, ())
        after = step(before)
    if not fields:
        length, each, total = iterate([f"{name}:{measure}" for measure in range(3)], start[:3], after[:3], times)
        return Size(length, each, total)
    first = [number for field in fields for number in start.fields.get(field, ONE)[:3]]
    then = [number for field in fields for number in after.fields.get(field, ONE)[:3]]
    measures = [f"{name}.{field}:{measure}" for field in fields for measure in range(3)]
    found = iter(iterate(measures, first, then, times))
    return sizes.made_object({field: Size(next(found), next(found), next(found)) for field in fields})


def _symbols(name: str, fields: Sequence[str]) -> Size:
    """A value of unknown size, of an object with these fields if there are any."""

    def unknown(what: str) -> Size:
        length, each, total = (Linear(0, {f"{what}:{measure}": 1.0}) for measure in range(3))
        return Size(length, each, total)

    return sizes.made_object({field: unknown(f"{name}.{field}") for field in fields}) if fields else unknown(name)


def _fields(start: Size, after: Size) -> tuple[str, ...]:
    """Fields that the value has, if it is an object or next to nothing both before and after a step."""
    both = [size for size in (start, after) if not at_most_one(size.total)]
    if not all(size.fields for size in both):
        return ()
    return tuple(dict.fromkeys(field for size in both for field in size.fields))


def _let(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    variables = body.get("vars") or {}
    found, first = _several(list(variables.values()), names, scope)
    size, steps = _visit(body.get("in"), {**names, **dict(zip(variables, found, strict=True))}, scope)
    return size, steps + first


def _range(body: Any, names: Names, scope: _Scope) -> Answer:
    ends = [_bound(item, names, scope) for item in _arguments("$range", body)[:2]]
    count = most([1.0, sum(ends, start=0.0)])
    return Size(count, 1, count), count


def _bound(value: Any, names: Names, scope: _Scope) -> Number:
    """Largest number that an end of a ``$range`` can be; the validator knows which can stand there."""
    if isinstance(value, int | float):
        return abs(value)
    if not isinstance(value, dict) or len(value) != 1:
        return float("inf")
    ((name, body),) = value.items()
    if name == "$size":
        return most([_visit(item, names, scope)[0].length for item in _arguments(name, body)])
    bounds = [_bound(item, names, scope) for item in _arguments(name, body)]
    return least(bounds) if name == "$min" else sum(bounds, start=0.0)


def _literal(body: Any, names: Names, scope: _Scope) -> Answer:
    return sizes.constant(body), 1


def _zip(body: Mapping[str, Any], names: Names, scope: _Scope) -> Answer:
    """Arrays of an element of each input, as many as the longest has."""
    inputs, steps = _several(_listed(body.get("inputs")), names, scope)
    defaults, more = _several(_listed(body.get("defaults")), names, scope)
    longest = most([1, *(size.length for size in inputs)])
    row = 1 + sum((size.total for size in defaults), start=0.0) + sum((size.each for size in inputs), start=0.0)
    return Size(longest, row, longest * row), steps + more + longest * (1 + len(inputs))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _regex(body: Any, names: Names, scope: _Scope) -> Answer:
    """Whether a text matches; what was found, and what each group of the expression found."""
    pattern = body.get("regex") if isinstance(body, dict) else None
    found, steps = _several(_arguments("$regexFind", body), names, scope)
    text = most([size.total for size in found]) + sizes.TEXT
    groups = pattern.count("(") if isinstance(pattern, str) and not pattern.startswith("$") else _GROUPS
    return sizes.anywhere(5 + (1 + groups) * text), steps + text * (1 + groups) + _regex_steps(pattern)


_SPECIAL: Mapping[str, Callable[[Any, Names, _Scope], Answer]] = {
    "$map": _map,
    "$filter": _filter,
    "$reduce": _reduce,
    "$let": _let,
    "$range": _range,
    "$literal": _literal,
    "$zip": _zip,
    "$regexFind": _regex,
    "$regexMatch": lambda body, names, scope: (ONE, _regex(body, names, scope)[1]),
}

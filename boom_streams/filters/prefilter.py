"""A condition that every alert which passes a pipeline fulfils, evaluated on a whole batch without MongoDB.

It comes from the pipeline's ``$match`` stages, as far as they compare numbers and booleans of the alert itself: fields of
candidate, coordinates, properties and classifications, and what ``$project`` and ``$addFields`` make of them by the
operators below. Whatever else is in the pipeline counts as fulfilled: mongod decides on what is left, so an answer that is
too generous costs time only. An alert that is rejected here cannot make the filter fail either.

Values are pairs of columns, numbers and kinds: nothing (missing or null), a number, a boolean, or not known.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray

from boom_streams.filters.validate import Stage, excludes, is_one

__all__ = ["Columns", "Condition", "condition"]

Mask: TypeAlias = NDArray[np.bool_]
Value: TypeAlias = tuple[NDArray[np.float64], NDArray[np.int8]]
Path: TypeAlias = tuple[str, ...]

_NOTHING, _NUMBER, _BOOLEAN, _UNKNOWN = range(4)
_EXACT = 2**53
_FROM_ALERT = ("candidate", "coordinates")
_FROM_RECORD = ("properties", "classifications")

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


class Columns:
    """Fields of a batch's alerts as columns, each made when it is first asked for.

    Parameters
    ----------
    alerts : sequence of mapping
        The part ``alert`` of each record.
    records : sequence of mapping
        The records, for properties and classifications.
    """

    def __init__(self, alerts: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        self.count = len(alerts)
        self._sources: dict[str, Sequence[Mapping[str, Any]]] = dict.fromkeys(_FROM_ALERT, alerts)
        self._sources |= dict.fromkeys(_FROM_RECORD, records)
        self._documents: dict[str, list[Any]] = {}
        self._columns: dict[Path, Value] = {}

    def get(self, path: Path) -> Value:
        """Numbers and kinds of a field, by its path."""
        if path not in self._columns:
            self._columns[path] = self._read(path)
        return self._columns[path]

    def constant(self, number: float, kind: int) -> Value:
        """The same value for every alert."""
        return np.full(self.count, number), np.full(self.count, kind, np.int8)

    def _read(self, path: Path) -> Value:
        if path[0] not in self._documents:
            self._documents[path[0]] = [_plain(source.get(path[0], {})) for source in self._sources[path[0]]]
        found: list[Any] = self._documents[path[0]]
        for name in path[1:]:
            found = [value.get(name, _Missing) if isinstance(value, dict) else _below(value) for value in found]
        kinds = [_kind(value) for value in found]
        numbers = [float(v) if k in (_NUMBER, _BOOLEAN) else math.nan for v, k in zip(found, kinds, strict=True)]
        return np.array(numbers), np.array(kinds, np.int8)


class _Missing:
    """Stands for a field that is not there."""


def _below(value: Any) -> Any:
    """What a path finds below a value that is no document: nothing, but several values in an array."""
    return value if isinstance(value, list) else _Missing


def _plain(document: Any) -> Any:
    return bson.decode(document.raw) if isinstance(document, RawBSONDocument) else document


def _kind(value: Any) -> int:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, float):
        return _NUMBER if math.isfinite(value) else _UNKNOWN
    if isinstance(value, int):
        return _NUMBER if -_EXACT <= value <= _EXACT else _UNKNOWN
    return _NOTHING if value is _Missing else _UNKNOWN


Condition: TypeAlias = Callable[[Columns], Mask]
_Node: TypeAlias = Callable[[Columns], Value]


def _unknown(columns: Columns) -> Value:
    return columns.constant(math.nan, _UNKNOWN)


@dataclass(frozen=True)
class _Scope:
    """What names mean at a place in the pipeline."""

    bound: Mapping[str, _Node] = field(default_factory=dict)
    """Top-level fields that were computed."""
    kept: frozenset[Path] | None = None
    """Paths of the alert that are still as they were, with all below; None means all that are not bound."""

    def resolve(self, path: Path) -> _Node:
        if path[0] in self.bound:
            return self.bound[path[0]] if len(path) == 1 else _unknown
        if len(path) < 2 or path[0] not in _FROM_ALERT + _FROM_RECORD:
            return _unknown
        if self.kept is None or any(path[: len(kept)] == kept for kept in self.kept):
            return lambda columns: columns.get(path)
        return _unknown

    def is_column(self, path: Path) -> bool:
        return path[0] not in self.bound and self.resolve(path) is not _unknown


def condition(pipeline: Sequence[Stage]) -> Condition:
    """Compile the condition of a validated pipeline: a mask over the batch, False where it cannot pass."""
    scope = _Scope()
    tests: list[Condition] = []
    for stage in pipeline:
        ((name, body),) = stage.items()
        if name == "$match":
            tests.append(_query(body, scope))
        elif name in ("$addFields", "$set"):
            scope = _add_fields(body, scope)
        elif name == "$project" and not excludes(body):
            scope = _project(body, scope)
        elif name in ("$project", "$unset"):
            keys = [body] if isinstance(body, str) else body
            scope = _Scope({**scope.bound, **{key.split(".")[0]: _unknown for key in keys}}, scope.kept)
        else:
            break
    return _all(tests)


def _add_fields(body: Mapping[str, Any], scope: _Scope) -> _Scope:
    made = {key.split(".")[0]: _assigned(key, value, scope) for key, value in body.items()}
    return _Scope({**scope.bound, **made}, scope.kept)


def _assigned(key: str, value: Any, scope: _Scope) -> _Node:
    """What a field is set to; parts of objects are not followed."""
    if "." in key or (isinstance(value, dict) and not any(name.startswith("$") for name in value)):
        return _unknown
    return _expression(value, scope)


def _project(body: Mapping[str, Any], scope: _Scope) -> _Scope:
    bound: dict[str, _Node] = {}
    kept: set[Path] = set()
    for key, value in body.items():
        for path, leaf in _leaves(key, value):
            if not is_one(leaf):
                bound[path[0]] = _assigned(key, value, scope)
            elif path[0] in scope.bound:
                bound[path[0]] = scope.bound[path[0]] if len(path) == 1 else _unknown
            elif scope.kept is None or any(path[: len(one)] == one for one in scope.kept):
                kept.add(path)
            else:
                kept |= {one for one in scope.kept if one[: len(path)] == path}
    return _Scope(bound, frozenset(kept))


def _leaves(key: str, value: Any) -> list[tuple[Path, Any]]:
    path = tuple(key.split("."))
    if isinstance(value, dict) and value and not any(name.startswith("$") for name in value):
        return [(path + below, leaf) for name, item in value.items() for below, leaf in _leaves(name, item)]
    return [(path, value)]


# Conditions: a mask, True where the condition is fulfilled or may be


def _all(tests: Sequence[Condition]) -> Condition:
    def test(columns: Columns) -> Mask:
        mask = np.ones(columns.count, bool)
        for one in tests:
            mask &= one(columns)
        return mask

    return test


def _any(tests: Sequence[Condition]) -> Condition:
    def test(columns: Columns) -> Mask:
        mask = np.zeros(columns.count, bool)
        for one in tests:
            mask |= one(columns)
        return mask

    return test


def _maybe(columns: Columns) -> Mask:
    return np.ones(columns.count, bool)


def _query(query: Mapping[str, Any], scope: _Scope) -> Condition:
    tests: list[Condition] = []
    for key, value in query.items():
        if key == "$and":
            tests.append(_all([_query(item, scope) for item in value]))
        elif key == "$or":
            tests.append(_any([_query(item, scope) for item in value]))
        elif key == "$expr":
            tests.append(_holds(_expression(value, scope)))
        elif not key.startswith("$"):
            predicates = value if isinstance(value, dict) and value else {"$eq": value}
            path = tuple(key.split("."))
            tests.extend(_predicate(path, name, operand, scope) for name, operand in predicates.items())
    return _all(tests)


def _holds(node: _Node) -> Condition:
    def test(columns: Columns) -> Mask:
        numbers, kinds = node(columns)
        known = (kinds == _NUMBER) | (kinds == _BOOLEAN)
        return (kinds == _UNKNOWN) | (known & (numbers != 0))

    return test


def _predicate(path: Path, name: str, operand: Any, scope: _Scope) -> Condition:
    node = scope.resolve(path)
    if node is _unknown:
        return _maybe
    if name == "$in" and isinstance(operand, list):
        return _any([_compared(node, "$eq", item) for item in operand])
    if name == "$exists" and scope.is_column(path):
        absent = not operand

        def exists(columns: Columns) -> Mask:
            kinds = node(columns)[1]
            return (kinds == _UNKNOWN) | ((kinds == _NOTHING) == absent)

        return exists
    return _compared(node, name, operand)


def _compared(node: _Node, name: str, operand: Any) -> Condition:
    """Comparison of a query: only values of the operand's own type can fulfil it."""
    compare = _COMPARE.get(name)
    if compare is None or name == "$ne" or isinstance(operand, dict | list):
        return _maybe
    boolean = isinstance(operand, bool)
    if boolean and name != "$eq":
        return _maybe
    kind = _BOOLEAN if boolean else _NUMBER if isinstance(operand, int | float) else _UNKNOWN
    if kind == _NUMBER and abs(operand) > _EXACT:
        return _maybe
    also_nothing = operand is None

    def test(columns: Columns) -> Mask:
        numbers, kinds = node(columns)
        mask = kinds == _UNKNOWN
        if also_nothing:
            mask |= kinds == _NOTHING
        if kind != _UNKNOWN:
            mask |= (kinds == kind) & compare(numbers, operand)
        return mask

    return test


# Expressions: columns of values


def _expression(value: Any, scope: _Scope) -> _Node:
    if isinstance(value, bool):
        return lambda columns: columns.constant(value, _BOOLEAN)
    if isinstance(value, int | float):
        return lambda columns: columns.constant(value, _NUMBER) if abs(value) <= _EXACT else _unknown(columns)
    if isinstance(value, str):
        parts = tuple(value[1:].split("."))
        return scope.resolve(parts) if value.startswith("$") and not value.startswith("$$") else _unknown
    if not isinstance(value, dict) or len(value) != 1:
        return _unknown
    ((name, body),) = value.items()
    if name == "$in":
        return _membership(body, scope)
    make = _OPERATORS.get(name)
    arguments = [_expression(item, scope) for item in (body if isinstance(body, list) else [body])]
    wanted = 2 if name in _COMPARE or name in ("$subtract", "$ifNull") else 1 if name in ("$abs", "$not") else None
    if make is None or (wanted is not None and len(arguments) != wanted):
        return _unknown
    return make(name, arguments)


def _membership(body: Any, scope: _Scope) -> _Node:
    if not (isinstance(body, list) and len(body) == 2 and isinstance(body[1], list)):
        return _unknown
    if not all(isinstance(item, bool | int | float) or _is_text(item) for item in body[1]):
        return _unknown
    node = _expression(body[0], scope)
    test = _any([_compared(node, "$eq", item) for item in body[1]])

    def member(columns: Columns) -> Value:
        kinds = np.where(node(columns)[1] == _UNKNOWN, _UNKNOWN, _BOOLEAN).astype(np.int8)
        return test(columns).astype(float), kinds

    return member


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith("$")


def _arithmetic(name: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        values = [argument(columns) for argument in arguments]
        kinds = [kind for _, kind in values]
        numbers = values[0][0] - values[1][0] if name == "$subtract" else np.abs(values[0][0])
        number = np.logical_and.reduce([kind == _NUMBER for kind in kinds])
        defined = np.logical_and.reduce([(kind == _NUMBER) | (kind == _NOTHING) for kind in kinds])
        kind = np.where(number, _NUMBER, np.where(defined, _NOTHING, _UNKNOWN)).astype(np.int8)
        return numbers, kind

    return compute


def _comparison(name: str, arguments: Sequence[_Node]) -> _Node:
    """Comparison of an expression: nothing comes before numbers, and these before booleans."""
    compare = _COMPARE[name]

    def compute(columns: Columns) -> Value:
        (left, left_kind), (right, right_kind) = (argument(columns) for argument in arguments)
        alike = left_kind == right_kind
        truth = np.where(alike, compare(left, right), compare(left_kind, right_kind))
        unknown = (left_kind == _UNKNOWN) | (right_kind == _UNKNOWN) | (alike & (left_kind == _NOTHING))
        return truth.astype(float), np.where(unknown, _UNKNOWN, _BOOLEAN).astype(np.int8)

    return compute


def _logic(name: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        may = np.full(columns.count, name == "$and")
        must = may.copy()
        for argument in arguments:
            numbers, kinds = argument(columns)
            unknown = kinds == _UNKNOWN
            true = ((kinds == _NUMBER) | (kinds == _BOOLEAN)) & (numbers != 0)
            if name == "$and":
                may, must = may & (true | unknown), must & true
            else:
                may, must = may | true | unknown, must | true
        if name == "$not":
            may, must = ~must, ~may
        return must.astype(float), np.where(may == must, _BOOLEAN, _UNKNOWN).astype(np.int8)

    return compute


def _if_null(_: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        (numbers, kinds), (others, other_kinds) = (argument(columns) for argument in arguments)
        nothing = kinds == _NOTHING
        return np.where(nothing, others, numbers), np.where(nothing, other_kinds, kinds)

    return compute


_OPERATORS: Mapping[str, Callable[[str, Sequence[_Node]], _Node]] = {
    **dict.fromkeys(_COMPARE, _comparison),
    **dict.fromkeys(["$and", "$or", "$not"], _logic),
    **dict.fromkeys(["$abs", "$subtract"], _arithmetic),
    "$ifNull": _if_null,
}

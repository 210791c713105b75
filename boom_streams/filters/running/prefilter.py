"""A condition that every alert which passes a pipeline fulfils, evaluated on a whole batch without MongoDB.

It comes from the pipeline's ``$match`` stages, as far as they compare numbers and booleans of the alert itself: fields
of candidate, coordinates, properties and classifications, and what ``$project`` and ``$addFields`` make of them by the
operators below. Whatever else is in the pipeline counts as fulfilled: mongod decides on what is left, so an answer that
is too generous costs time only. An alert that is rejected here cannot make the filter fail either.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from boom_streams.filters.language.validate import Stage, excludes, is_one
from boom_streams.filters.running.columns import (
    BOOLEAN,
    EXACT,
    FROM_ALERT,
    FROM_RECORD,
    NOTHING,
    NUMBER,
    UNKNOWN,
    Columns,
    Path,
    Value,
)

__all__ = ["Columns", "Condition", "condition"]

Mask: TypeAlias = NDArray[np.bool_]

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


Condition: TypeAlias = Callable[[Columns], Mask]
_Node: TypeAlias = Callable[[Columns], Value]


def _unknown(columns: Columns) -> Value:
    return math.nan, UNKNOWN


@dataclass(frozen=True)
class _Scope:
    """What names mean at a place in the pipeline.

    Attributes
    ----------
    bound
        Top-level fields that were computed.
    kept
        Paths of the alert that are still as they were, with all below; None means all that are not bound.
    """

    bound: Mapping[str, _Node] = field(default_factory=dict)
    kept: frozenset[Path] | None = None

    def resolve(self, path: Path) -> _Node:
        if path[0] in self.bound:
            return self.bound[path[0]] if len(path) == 1 else _unknown
        if len(path) < 2 or path[0] not in FROM_ALERT + FROM_RECORD:
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
        return _mask(_truth(node(columns))[0], columns)

    return test


def _mask(values: Any, columns: Columns) -> Mask:
    """One truth value an alert, also where all alerts have one in common."""
    return np.full(columns.count, values, bool)


def _truth(value: Value) -> tuple[Any, Any]:
    """Whether a value may be true, and whether it must be."""
    numbers, kinds = value
    if isinstance(kinds, int):
        if kinds == UNKNOWN:
            return True, False
        true = numbers != 0 if kinds != NOTHING else False
        return true, true
    must = ((kinds == NUMBER) | (kinds == BOOLEAN)) & (numbers != 0)
    return must | (kinds == UNKNOWN), must


def _predicate(path: Path, name: str, operand: Any, scope: _Scope) -> Condition:
    node = scope.resolve(path)
    if node is _unknown:
        return _maybe
    if name == "$in" and isinstance(operand, list):
        return _any([_compared(node, "$eq", item) for item in operand])
    if name == "$exists" and scope.is_column(path):
        absent = not _is_true(operand)

        def exists(columns: Columns) -> Mask:
            kinds = np.broadcast_to(node(columns)[1], columns.count)
            return _mask((kinds == UNKNOWN) | ((kinds == NOTHING) == absent), columns)

        return exists
    return _compared(node, name, operand)


def _is_true(operand: Any) -> bool:
    """Truth as MongoDB has it: of empty texts, arrays and objects, too."""
    return operand is not None and (not isinstance(operand, bool | int | float) or operand != 0)


def _compared(node: _Node, name: str, operand: Any) -> Condition:
    """Comparison of a query: only values of the operand's own type can fulfil it."""
    compare = _COMPARE.get(name)
    if compare is None or name == "$ne" or isinstance(operand, dict | list):
        return _maybe
    boolean = isinstance(operand, bool)
    if boolean and name != "$eq":
        return _maybe
    kind = BOOLEAN if boolean else NUMBER if isinstance(operand, int | float) else UNKNOWN
    if kind == NUMBER and abs(operand) > EXACT:
        return _maybe
    also_nothing = operand is None

    def test(columns: Columns) -> Mask:
        numbers, kinds = node(columns)
        if isinstance(kinds, int):
            if kinds == kind != UNKNOWN:
                return _mask(compare(numbers, operand), columns)
            return _mask(kinds == UNKNOWN or (also_nothing and kinds == NOTHING), columns)
        mask: Mask = kinds == UNKNOWN
        if also_nothing:
            mask |= kinds == NOTHING
        if kind != UNKNOWN:
            mask |= (kinds == kind) & compare(numbers, operand)
        return mask

    return test


# Expressions: columns of values


def _expression(value: Any, scope: _Scope) -> _Node:
    if isinstance(value, bool | int | float):
        constant = (value, BOOLEAN if isinstance(value, bool) else NUMBER if abs(value) <= EXACT else UNKNOWN)
        return lambda columns: constant
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
    if not all(_is_text(item) or (isinstance(item, int | float) and abs(item) <= EXACT) for item in body[1]):
        return _unknown
    node = _expression(body[0], scope)
    test = _any([_compared(node, "$eq", item) for item in body[1]])

    def member(columns: Columns) -> Value:
        kinds = node(columns)[1]
        return test(columns), np.where(np.equal(kinds, UNKNOWN), UNKNOWN, BOOLEAN).astype(np.int8)

    return member


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith("$")


def _arithmetic(name: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        values = [argument(columns) for argument in arguments]
        kinds = [kind for _, kind in values]
        if any(isinstance(kind, int) and kind in (BOOLEAN, UNKNOWN) for kind in kinds):
            return _unknown(columns)
        parts = [np.asarray(numbers, float) for numbers, _ in values]
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = parts[0] - parts[1] if name == "$subtract" else np.abs(parts[0])
        exact = np.abs(numbers) < EXACT  # else MongoDB's integers may differ; NaN is not either
        if all(isinstance(kind, int) for kind in kinds):
            if any(kind == NOTHING for kind in kinds):
                return math.nan, NOTHING
            return numbers, NUMBER if exact.all() else np.where(exact, NUMBER, UNKNOWN).astype(np.int8)
        kind = np.where(np.maximum(kinds[0], kinds[-1]) >= BOOLEAN, UNKNOWN, np.minimum(kinds[0], kinds[-1]))
        return numbers, np.where((kind == NUMBER) & ~exact, UNKNOWN, kind).astype(np.int8)

    return compute


def _comparison(name: str, arguments: Sequence[_Node]) -> _Node:
    """Comparison of an expression: nothing comes before numbers, and these before booleans."""
    compare = _COMPARE[name]

    def compute(columns: Columns) -> Value:
        (left, left_kind), (right, right_kind) = (argument(columns) for argument in arguments)
        if isinstance(left_kind, int) and isinstance(right_kind, int):
            if UNKNOWN in (left_kind, right_kind) or left_kind == right_kind == NOTHING:
                return _unknown(columns)
            return compare(left, right) if left_kind == right_kind else compare(left_kind, right_kind), BOOLEAN
        alike = left_kind == right_kind
        truth = np.where(alike, compare(left, right), compare(left_kind, right_kind))
        unknown = np.maximum(left_kind, right_kind) == UNKNOWN
        unknown |= np.maximum(left_kind, right_kind) == NOTHING
        return truth, np.where(unknown, UNKNOWN, BOOLEAN).astype(np.int8)

    return compute


def _logic(name: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        may: Any = name == "$and"
        must: Any = may
        for argument in arguments:
            one_may, one_must = _truth(argument(columns))
            if name == "$and":
                may, must = may & one_may, must & one_must
            else:
                may, must = may | one_may, must | one_must
        if name == "$not":
            may, must = np.logical_not(must), np.logical_not(may)
        return must, np.where(np.equal(may, must), BOOLEAN, UNKNOWN).astype(np.int8)

    return compute


def _if_null(_: str, arguments: Sequence[_Node]) -> _Node:
    def compute(columns: Columns) -> Value:
        (numbers, kinds), (others, other_kinds) = (argument(columns) for argument in arguments)
        if isinstance(kinds, int):
            return (others, other_kinds) if kinds == NOTHING else (numbers, kinds)
        nothing = kinds == NOTHING
        return np.where(nothing, others, numbers), np.where(nothing, other_kinds, kinds).astype(np.int8)

    return compute


_OPERATORS: Mapping[str, Callable[[str, Sequence[_Node]], _Node]] = {
    **dict.fromkeys(_COMPARE, _comparison),
    **dict.fromkeys(["$and", "$or", "$not"], _logic),
    **dict.fromkeys(["$abs", "$subtract"], _arithmetic),
    "$ifNull": _if_null,
}

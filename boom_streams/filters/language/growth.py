"""How a value grows in a loop whose steps each make it from the one before: a bound, without going through the steps.

What a step makes is a sum or a maximum of parts of what was there before, so each measure of the new value is at most
`Linear` in the measures of the old one. That is iterated until it stands still, or grows by the same from then on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Linear", "Number", "at_most_one", "iterate", "least", "most"]

#: Steps that are gone through before a value counts as growing without bounds.
_PATIENCE = 20_000
#: Beyond this nothing is allowed anyway.
_HUGE = 1e15


class Linear:
    """``constant`` + sum of a factor times each of some unknown numbers, all of them at least 1."""

    __slots__ = ("constant", "factors")

    def __init__(self, constant: float, factors: Mapping[str, float]) -> None:
        self.constant = constant
        self.factors = factors

    def __add__(self, other: Number) -> Linear:
        constant, factors = _parts(other)
        names = self.factors.keys() | factors.keys()
        return Linear(self.constant + constant, {n: self.factors.get(n, 0.0) + factors.get(n, 0.0) for n in names})

    __radd__ = __add__

    def __mul__(self, other: Number) -> Number:
        """A product of two unknown numbers is as large as can be."""
        if isinstance(other, Linear):
            return math.inf
        if other == 0:
            return 0.0
        return Linear(self.constant * other, {name: factor * other for name, factor in self.factors.items()})

    __rmul__ = __mul__


Number: TypeAlias = float | Linear
Table: TypeAlias = NDArray[np.float64]


def _parts(number: Number) -> tuple[float, Mapping[str, float]]:
    return (number.constant, number.factors) if isinstance(number, Linear) else (number, {})


def most(numbers: Sequence[Number]) -> Number:
    """A number that is at least each of these."""
    parts = [_parts(number) for number in numbers]
    constant = max(constant for constant, _ in parts)
    names = {name for _, factors in parts for name in factors}
    if not names:
        return constant
    return Linear(constant, {name: max(factors.get(name, 0.0) for _, factors in parts) for name in names})


def least(numbers: Sequence[Number]) -> Number:
    """A number that is at least the least of these."""
    known = [number for number in numbers if not isinstance(number, Linear)]
    return min(known) if known else numbers[0]


def at_most_one(number: Number) -> bool:
    """Whether it is known to be 1 or less."""
    return not isinstance(number, Linear) and number <= 1


def iterate(names: Sequence[str], start: Sequence[Number], step: Sequence[Number], times: Number) -> list[Number]:
    """Largest values of measures in so many steps; infinity where they grow by more and more.

    Parameters
    ----------
    names
        Names by which `step` speaks of the measures before the step.
    start, step
        The measures at first, and after a step; both may speak of other unknown numbers as well.
    times
        How many steps.
    """
    others = sorted({name for number in (*start, *step) for name in _parts(number)[1]} - set(names))
    matrix = np.array([[_parts(number)[1].get(name, 0.0) for name in names] for number in step])
    value, added = _table(start, others), _table(step, others)
    if not (np.isfinite(matrix).all() and np.isfinite(value).all() and np.isfinite(added).all()):
        return [math.inf] * len(names)
    limit = _PATIENCE if isinstance(times, Linear) else min(times, _PATIENCE)
    done = 0
    while done < limit:
        after = np.maximum(value, matrix @ value + added)
        grown = after - value
        value = after
        done += 1
        if not grown.any():
            return _numbers(value, others)
        if (matrix @ grown <= grown).all():  # no later step adds more than this one
            return _on(value, grown, times, done, others)
        if value.max() > _HUGE:
            break
    if not isinstance(times, Linear) and done >= times:
        return _numbers(value, others)
    return [math.inf] * len(names)


def _on(
    value: NDArray[np.float64], grown: NDArray[np.float64], times: Number, done: int, others: list[str]
) -> list[Number]:
    """The value after all steps, each of which adds the same."""
    if isinstance(times, Linear):
        left = [times * number if number else 0.0 for number in grown[:, 0].tolist()]
        more: list[Number] = [math.inf if row.any() else n for row, n in zip(grown[:, 1:], left, strict=True)]
        return [number + extra for number, extra in zip(_numbers(value, others), more, strict=True)]
    return _numbers(value + grown * max(0.0, times - done), others)


def _table(numbers: Sequence[Number], others: Sequence[str]) -> Table:
    rows = [(constant, *(factors.get(name, 0.0) for name in others)) for constant, factors in map(_parts, numbers)]
    return np.array(rows, float)


def _numbers(table: Table, others: Sequence[str]) -> list[Number]:
    found: list[Number] = []
    for constant, *factors in table.tolist():
        named = {name: factor for name, factor in zip(others, factors, strict=True) if factor}
        found.append(Linear(constant, named) if named else constant)
    return found

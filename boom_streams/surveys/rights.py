"""Who may see an alert, a point, or what is derived from them.

* Every alert and every point has the programme that took its exposure; what a survey does not name, or names in
  a way that is no integer, counts as the programme that the fewest may see
* Programmes have levels; who may see a level may see those below it, and what is derived for an alert uses only points
  of its own level and below
* A person is permitted programmes of a survey, and sees their alerts and their points, whichever packet brought them:
  a public exposure's detection is public, even if only the packet of a private alert lists it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from boom_streams.surveys.packed_points import Points

__all__ = ["PUBLIC", "Rights"]

#: Level of what everyone may see.
PUBLIC = 1

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Rights:
    """Programmes of a survey, and how few may see each.

    Parameters
    ----------
    levels
        Level of each programme: the greater, the fewer may see it; `PUBLIC` is the least.
    field
        Field of candidates and of points that names their programme (in points a column of one byte); None if the
        survey has none, so that all of it counts as one programme.
    """

    levels: Mapping[int, int]
    field: str | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.field, *sorted(self.levels.items())))

    @cached_property
    def programmes(self) -> frozenset[int]:
        """Programmes that a person can be permitted."""
        return frozenset(self.levels)

    @cached_property
    def rarest(self) -> int:
        """The programme that the fewest may see, as which an unknown one counts."""
        return max(self.levels, key=lambda programme: (self.levels[programme], programme))

    @property
    def is_public(self) -> bool:
        """Whether everyone may see everything."""
        return all(level == PUBLIC for level in self.levels.values())

    @property
    def has_several(self) -> bool:
        """Whether what some may see others may not."""
        return self.field is not None and len(self.levels) > 1

    def sees_all(self, permitted: Collection[int]) -> bool:
        """Whether who is permitted these programmes may see everything."""
        return self.programmes <= set(permitted)

    def programme(self, programid: Any) -> int:
        """The programme as which a value of ``programid`` counts; a boolean, a text or a fraction is none."""
        known = type(programid) is int and programid in self.levels
        return programid if known else self.rarest

    def level(self, programid: Any) -> int:
        """Level of what was made under a ``programid``."""
        return self.levels[self.programme(programid)]

    def sees(self, permitted: Collection[int], programid: Any) -> bool:
        """Whether who is permitted these programmes may see an alert or a point."""
        return self.programme(programid) in permitted

    def visible(self, points: Points, permitted: Collection[int]) -> Mask:
        """Which points may be seen by who is permitted these programmes."""
        if self.field is None:
            return np.full(len(points), self.rarest in permitted)
        return _table(self, frozenset(permitted))[points[self.field].view(np.uint8)]

    def derivable(self, points: Points, programid: Any) -> Mask:
        """Which points everyone may see who may see an alert of this ``programid``."""
        if self.field is None:
            return np.ones(len(points), np.bool_)
        return self._derivable[self.programme(programid)][points[self.field].view(np.uint8)]

    @cached_property
    def _derivable(self) -> Mapping[int, Mask]:
        """For each programme of an alert the table of what may be used for it, as `_table` has them."""
        tables = {}
        for programme, level in self.levels.items():
            below = frozenset(other for other, one in self.levels.items() if one <= level)
            tables[programme] = _table(self, below)
        return tables

    def query(self, permitted: Collection[int]) -> dict[str, Any]:
        """Condition of MongoDB's ``$match`` on alerts that may be seen; empty if all may."""
        if self.field is None:
            return {} if self.rarest in permitted else {"$expr": False}
        listed = self._listed(permitted)
        return {} if listed is None else {f"candidate.{self.field}": dict([listed])}

    def expression(self, point: str, permitted: Collection[int]) -> Any:
        """Expression of MongoDB that tells whether a point may be seen; `point` is the variable that has it."""
        if self.field is None:
            return self.rarest in permitted
        listed = self._listed(permitted)
        if listed is None:
            return True
        operator, programids = listed
        among = {"$in": [f"$${point}.{self.field}", programids]}
        return among if operator == "$in" else {"$not": [among]}

    def _listed(self, permitted: Collection[int]) -> tuple[str, list[int]] | None:
        """Programmes that are seen (``$in``), or that are not (``$nin``); None if nothing is hidden."""
        hidden = self.programmes - set(permitted)
        if not hidden:
            return None
        return ("$in", sorted(self.programmes - hidden)) if self.rarest in hidden else ("$nin", sorted(hidden))


@lru_cache(maxsize=256)
def _table(rights: Rights, permitted: frozenset[int]) -> Mask:
    """For each ``programid`` of one byte whether its points may be seen: 0 to 127, then -128 to -1."""
    return np.array([rights.sees(permitted, programid) for programid in (*range(128), *range(-128, 0))])

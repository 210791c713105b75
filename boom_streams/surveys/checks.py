"""What every survey's packets must be: fields of their types, named once, and a position on the sky at a time.

A schema is judged once, not each of its alerts; a field that the survey does not know may be of any type.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from boom_streams.avro.schemas import Schema
from boom_streams.errors import BadRecord
from boom_streams.surveys.base import LAST_JD, Position

__all__ = ["MAX_POINTS", "check_points", "check_position", "check_repeated", "check_types"]

#: Most points in one list of a packet's history; more would not fit the archive's document of the alert.
MAX_POINTS = 50_000

_NUMBERS = frozenset({"null", "int", "long", "float", "double"})
_TEXTS = frozenset({"null", "string", "enum"})


def check_repeated(schema: Schema, known: Collection[str] = ()) -> None:
    """Refuse a schema that names a field twice: which of the two values is meant, nobody knows.

    Parameters
    ----------
    schema
        The packet's.
    known
        Fields of which the survey says that they are named twice, and which one counts: ``candidate.sgmag1``.
    """
    repeated = sorted(schema.repeated.difference(known))
    if repeated:
        raise BadRecord(f"its schema names {', '.join(repeated)[:200]} twice")


def check_types(schema: Schema, path: str, numbers: Collection[str], texts: Collection[str] = ()) -> None:
    """Refuse a schema by which a number of the survey could be something else, or a text.

    Parameters
    ----------
    schema
        The packet's.
    path
        Field that is the record, or the list of records, whose fields are looked at: ``candidate``.
    numbers, texts
        Fields that are numbers or texts; those that the schema lacks are no matter.
    """
    kinds = schema.kinds((path,))
    for names, allowed, what in ((numbers, _NUMBERS, "number"), (texts, _TEXTS, "text")):
        for name in kinds.keys() & names:
            if not kinds[name] <= allowed:
                found = " or ".join(sorted(kinds[name] - {"null"}))
                raise BadRecord(f"{path}.{name} is {found} by its schema, not a {what}")


def check_points(history: Sequence[Any], name: str) -> None:
    """Refuse a history that is longer than any archive of it could be."""
    if len(history) > MAX_POINTS:
        raise BadRecord(f"{name} has {len(history)} points, more than {MAX_POINTS}")


def check_position(survey: str, object_id: Any, candid: Any, where: Mapping[str, Any]) -> Position:
    """Check ids, time and place of an alert.

    Parameters
    ----------
    survey
        Name of the survey.
    object_id, candid
        The packet's.
    where
        Time (Julian date), right ascension and declination (degrees), in this order, by the fields' names.

    Returns
    -------
    Position
        A right ascension of 360 is one of 0.

    Raises
    ------
    BadRecord
        The text names what is missing or impossible.
    """
    if isinstance(object_id, bool) or not isinstance(object_id, (str, int)) or object_id == "":
        raise BadRecord(f"no {survey} alert: objectId is missing")
    if isinstance(candid, bool) or not isinstance(candid, int):
        raise BadRecord(f"no {survey} alert: candid is missing")
    for name, value in where.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise BadRecord(f"{name} is {'missing' if value is None else str(value)[:40]}")
    (time, jd), (first, ra), (second, dec) = where.items()
    if not 0.0 <= jd <= LAST_JD:
        raise BadRecord(f"{time} is {jd}, not in [0, {LAST_JD:.0f}]")
    if ra == 360.0:
        ra = 0.0
    if not 0.0 <= ra < 360.0:
        raise BadRecord(f"{first} is {ra}, not in [0, 360)")
    if not -90.0 <= dec <= 90.0:
        raise BadRecord(f"{second} is {dec}, not in [-90, 90]")
    return Position(str(object_id), candid, float(jd), float(ra), float(dec))

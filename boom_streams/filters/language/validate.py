"""Which pipelines may run: an allow-list of stages and operators, all of them pure.

A filter looks at one alert at a time, so a stage that mixes alerts, reads other collections, writes, runs code or
draws random numbers is refused; so is what could forge an alert's identity. Each refusal says which operator, where
in the pipeline, and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import bson
from bson.errors import InvalidDocument

from boom_streams.errors import FilterError
from boom_streams.filters.language.cost import check_cost
from boom_streams.filters.language.operators import ADVICE, check_expression, check_query

__all__ = ["IDENTITY", "Stage", "excludes", "is_one", "validate"]

#: One stage of a pipeline: a document with one key.
Stage: TypeAlias = dict[str, Any]

#: Fields that name the alert; a filter can neither change nor drop them.
IDENTITY = ("_id", "objectId")

_MAX_BYTES = 200_000
_MAX_STAGES = 100
_MAX_DEPTH = 80
_INT64 = 2**63


def validate(pipeline: Any) -> tuple[Stage, ...]:
    """Check a pipeline and return it.

    Parameters
    ----------
    pipeline
        What `json.loads` made of the user's text: anything at all.

    Raises
    ------
    FilterError
        If it is not allowed; the text names the operator, its place as ``stage 2 ($project): a.b``, and the remedy.
    """
    if not isinstance(pipeline, list | tuple) or not pipeline:
        raise FilterError('a pipeline is a list of stages, as [{"$match": …}, {"$project": {"objectId": 1}}]')
    if len(pipeline) > _MAX_STAGES:
        raise FilterError(f"the pipeline has {len(pipeline)} stages; {_MAX_STAGES} are the most")
    _check_values(pipeline)
    names = [_check_stage(number, stage) for number, stage in enumerate(pipeline, 1)]
    if "$match" not in names:
        raise FilterError("the pipeline has no $match: it would pass every alert; add one that selects")
    if names[-1] != "$project" or excludes(pipeline[-1]["$project"]):
        raise FilterError('the last stage must be a $project with "objectId": 1; add it')
    check_cost(pipeline)
    return tuple(pipeline)


def is_one(value: Any) -> bool:
    """Whether a projection's value means that the field stays as it is: true, or a number other than 0."""
    return isinstance(value, bool | int | float) and value != 0


def excludes(projection: Mapping[str, Any]) -> bool:
    """Whether a ``$project`` names what to drop instead of what to keep."""
    for value in projection.values():
        if isinstance(value, bool | int | float) and value == 0:
            return True
        if isinstance(value, dict) and not any(key.startswith("$") for key in value) and excludes(value):
            return True
    return False


def _check_values(pipeline: Sequence[Any]) -> None:
    """Refuse what is too deep, too long, or cannot be BSON."""
    pending: list[tuple[Any, int]] = [(pipeline, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > _MAX_DEPTH:
            raise FilterError(f"the pipeline is nested deeper than {_MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or not key or "\0" in key:
                    raise FilterError(f"{key!r} cannot be the name of a field")
            pending.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list | tuple):
            pending.extend((item, depth + 1) for item in value)
        else:
            _check_scalar(value)
    try:
        size = len(bson.encode({"pipeline": list(pipeline)}))
    except (InvalidDocument, ValueError, OverflowError, RecursionError) as error:
        raise FilterError(f"the pipeline cannot be sent to MongoDB: {error}") from None
    if size > _MAX_BYTES:
        raise FilterError(f"the pipeline has {size} bytes; {_MAX_BYTES} are the most")


def _check_scalar(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"the pipeline holds {value}, which is no JSON")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise FilterError(f"{value} is no 64-bit integer")
    if value is not None and not isinstance(value, str | int | float):
        raise FilterError(f"a value of type {type(value).__name__} is no JSON")


def _check_stage(number: int, stage: Any) -> str:
    if not isinstance(stage, dict) or len(stage) != 1:
        raise FilterError(f"stage {number}: a stage is an object with one key, its operator")
    name, body = next(iter(stage.items()))
    check = _STAGES.get(name)
    if check is None:
        advice = ADVICE.get(name, f"allowed stages are {', '.join(_STAGES)}")
        raise FilterError(f"stage {number}: {name} is not allowed; {advice}")
    check(body, f"stage {number} ({name})")
    return str(name)


def _check_project(body: Any, place: str) -> None:
    _check_object(body, place)
    if not is_one(body.get("_id", 1)):
        raise FilterError(f"{place}: _id must stay as it is, since it names the alert; leave it out of here")
    if excludes(body):
        _check_identity(body, place)
        for key, value in body.items():
            if not isinstance(value, bool | int | float | dict):
                raise FilterError(f"{place}: {key}: fields to drop and fields to make cannot be in one $project")
            _check_assigned(value, f"{place}: {key}")
        return
    if not is_one(body.get("objectId")):
        raise FilterError(f'{place}: add "objectId": 1, since it names the alert')
    rest = {key: value for key, value in body.items() if key not in IDENTITY}
    _check_identity(rest, place)
    for key, value in rest.items():
        _check_assigned(value, f"{place}: {key}")


def _check_add_fields(body: Any, place: str) -> None:
    _check_object(body, place)
    _check_identity(body, place)
    for key, value in body.items():
        _check_assigned(value, f"{place}: {key}")


def _check_unset(body: Any, place: str) -> None:
    keys = [body] if isinstance(body, str) else body
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise FilterError(f"{place}: it needs the name of a field, or a list of names")
    _check_identity(keys, place)


def _check_replace_root(body: Any, place: str) -> None:
    if not isinstance(body, dict) or set(body) != {"newRoot"}:
        raise FilterError(f'{place}: it needs {{"newRoot": {{"$mergeObjects": [ …, "$$ROOT"]}}}}')
    _check_replace_with(body["newRoot"], place)


def _check_replace_with(body: Any, place: str) -> None:
    merged = body.get("$mergeObjects") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(merged, list) or not merged or merged[-1] != "$$ROOT":
        raise FilterError(
            f'{place}: allowed is {{"$mergeObjects": [ …, "$$ROOT"]}} only, so that the alert keeps its name'
        )
    check_expression(body, place)


def _check_object(body: Any, place: str) -> None:
    if not isinstance(body, dict) or not body:
        raise FilterError(f"{place}: it needs an object with at least one field")


def _check_identity(keys: Any, place: str) -> None:
    for key in keys:
        if key.split(".")[0] in IDENTITY:
            raise FilterError(f"{place}: {key} names the alert and must stay as it is; leave it out of here")


def _check_assigned(value: Any, place: str) -> None:
    """Check what a field is set to: an expression, or an object of further fields."""
    if isinstance(value, dict) and value and not any(key.startswith("$") for key in value):
        for key, item in value.items():
            _check_assigned(item, f"{place}.{key}")
    else:
        check_expression(value, place)


_STAGES: Mapping[str, Callable[[Any, str], None]] = {
    "$match": check_query,
    "$project": _check_project,
    "$addFields": _check_add_fields,
    "$set": _check_add_fields,
    "$unset": _check_unset,
    "$replaceRoot": _check_replace_root,
    "$replaceWith": _check_replace_with,
}

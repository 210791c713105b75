"""Kowalski's and Fritz's dialects: the same pipelines, behind a prefix that joins the light curve by hand.

The broker supplies the light curve, already limited to what the filter may see, so the prefix goes:

* ``$project`` that drops cutouts; ``$lookup`` of the auxiliary collection; ``$replaceRoot`` that merges it
* ``$project`` of ``$aux.…`` with the filter on ``programid``; what else it cuts (as a time) stays

and then what names the alert is put right: ``objectId`` kept, ``_id`` not dropped, ``candid`` made from ``_id``.
A pipeline without any of this passes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from boom_streams.filters.language.validate import Stage, excludes, is_one

__all__ = ["translate"]

_Step: TypeAlias = Callable[[Stage, list[str]], "Stage | None"]

#: Top-level fields that the prefix of these dialects keeps.
_KEPT = frozenset(
    [
        "_id",
        "objectId",
        "candid",
        "candidate",
        "classifications",
        "coordinates",
        "cross_matches",
        "prv_candidates",
        "fp_hists",
        "prv_nondetections",
        "aliases",
        "schemavsn",
        "publisher",
        "properties",
    ]
)
_SERIES = frozenset({"prv_candidates", "prv_nondetections", "fp_hists"})


def translate(pipeline: Any) -> tuple[Any, list[str]]:
    """Adapt a pipeline of Kowalski or Fritz.

    Parameters
    ----------
    pipeline
        What `json.loads` made of the user's text; anything that is no list of stages is returned as it is.

    Returns
    -------
    pipeline : object
        To be validated; the same object if there was nothing to change.
    changes : list of str
        What was changed, one sentence each, for a person.
    """
    if not isinstance(pipeline, list) or not all(_is_stage(stage) for stage in pipeline):
        return pipeline, []
    joined = [index for index, stage in enumerate(pipeline) if _joins_aux(stage)]
    if not joined:
        return pipeline, []
    changes: list[str] = []
    stages = []
    for number, stage in enumerate(pipeline, 1):
        adapted: Stage | None = stage
        for step in (_drop_cutouts, _drop_lookup, _drop_merge, _rewrite_join, _keep_identity):
            if adapted is not None:
                notes: list[str] = []
                adapted = step(adapted, notes)
                changes += [f"stage {number}: {note}" for note in notes]
        if adapted is not None:
            stages.append(adapted)
    if _mentions_candid(stages):
        place = next((i for i, s in enumerate(stages) if "$match" not in s or _mentions_candid([s])), len(stages))
        stages.insert(place, {"$addFields": {"candid": "$_id"}})
        changes.append(f"added as stage {place + 1}: candid, which is _id here")
    return stages, changes


def _is_stage(stage: Any) -> bool:
    return isinstance(stage, dict) and len(stage) == 1


def _joins_aux(stage: Stage) -> bool:
    body = stage.get("$lookup")
    return isinstance(body, dict) and str(body.get("from", "")).endswith("alerts_aux")


def _drop_cutouts(stage: Stage, notes: list[str]) -> Stage | None:
    body = stage.get("$project")
    names = {"cutoutScience", "cutoutTemplate", "cutoutDifference", "publisher", "schemavsn"}
    if isinstance(body, dict) and body and set(body) <= names and excludes(body):
        notes.append(f"removed the $project that drops {', '.join(body)}: alerts come without cutouts")
        return None
    return stage


def _drop_lookup(stage: Stage, notes: list[str]) -> Stage | None:
    if _joins_aux(stage) and stage["$lookup"].get("as") == "aux" and "pipeline" not in stage["$lookup"]:
        notes.append(f"removed the $lookup in {stage['$lookup']['from']}: the light curve comes with the alert")
        return None
    return stage


def _drop_merge(stage: Stage, notes: list[str]) -> Stage | None:
    body = stage.get("$replaceRoot")
    if body == {"newRoot": {"$mergeObjects": [{"$arrayElemAt": ["$aux", 0]}, "$$ROOT"]}}:
        notes.append("removed the $replaceRoot that merges the light curve: it is merged already")
        return None
    return stage


def _rewrite_join(stage: Stage, notes: list[str]) -> Stage | None:
    """The ``$project`` that takes fields out of ``aux`` and limits points to the permitted programmes."""
    body = stage.get("$project")
    if not isinstance(body, dict) or not _takes_history(body):
        return stage
    plain: dict[str, Any] = {}
    for name, value in body.items():
        taken, note = _take(name, value)
        plain[name] = taken
        if note:
            notes.append(note)
    if set(plain) <= _KEPT and all(is_one(value) for value in plain.values()):
        notes.append("removed the $project, which then only keeps fields of the alert")
        return None
    return {"$project": plain}


def _takes_history(body: Mapping[str, Any]) -> bool:
    def programmes(value: Any) -> bool:
        found = value.get("$filter") if isinstance(value, dict) else None
        return isinstance(found, dict) and bool(_split(found)[0])

    return any(_from_aux(name, value) or (name in _SERIES and programmes(value)) for name, value in body.items())


def _from_aux(name: str, value: Any) -> bool:
    if isinstance(value, dict) and "$filter" in value and isinstance(value["$filter"], dict):
        value = value["$filter"].get("input")
    return value in ({"$arrayElemAt": [f"$aux.{name}", 0]}, {"$first": f"$aux.{name}"})


def _take(name: str, value: Any) -> tuple[Any, str]:
    """The value without ``aux`` and without the condition on ``programid``, and what was changed."""
    if isinstance(value, dict) and isinstance(value.get("$filter"), dict) and name in _SERIES:
        cut = value["$filter"]
        limits, rest = _split(cut)
        if not limits and not _from_aux(name, value):
            return value, ""
        programmes = "; ".join(json.dumps(operands[1]) for operands in limits)
        note = f"{name}: removed the condition that programid is in {programmes}: the filter's permissions see to it"
        if not limits:
            note = f"{name}: taken from the alert instead of from aux"
        if not rest:
            return 1, note
        condition = rest[0] if len(rest) == 1 else {"$and": rest}
        return {"$filter": {**cut, "input": f"${name}", "cond": condition}}, note
    if _from_aux(name, value):
        return 1, f"{name}: taken from the alert instead of from aux"
    return value, ""


def _split(cut: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Operands of the ``$in`` on programid in a ``$filter``'s condition, and the conditions that it has besides."""
    condition = cut.get("cond")
    joined = condition.get("$and") if isinstance(condition, dict) and len(condition) == 1 else None
    conditions = joined if isinstance(joined, list) else [condition]
    field = f"$${cut.get('as', 'this')}.programid"
    limits, rest = [], []
    for item in conditions:
        operands = item.get("$in") if isinstance(item, dict) and len(item) == 1 else None
        if isinstance(operands, list) and len(operands) == 2 and operands[0] == field:
            limits.append(operands)
        else:
            rest.append(item)
    return limits, rest


def _keep_identity(stage: Stage, notes: list[str]) -> Stage:
    body = stage.get("$project")
    if not isinstance(body, dict) or excludes({k: v for k, v in body.items() if k != "_id"}):
        return stage
    kept = dict(body)
    if "_id" in kept and not is_one(kept["_id"]):
        del kept["_id"]
        notes.append("_id is kept: matches are known by it")
    if kept and "objectId" not in kept:
        kept = {"objectId": 1, **kept}
        notes.append("objectId is kept: matches carry it")
    return stage if kept == body else {"$project": kept}


def _mentions_candid(stages: list[Stage]) -> bool:
    return '"candid"' in (text := json.dumps(stages)) or '"$candid"' in text

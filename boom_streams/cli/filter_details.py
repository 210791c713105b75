"""What people are told of one filter, and what they can take elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.astro import times
from boom_streams.errors import BoomError, FilterError
from boom_streams.filters import missed, parse_pipeline, state
from boom_streams.filters.topics import count_records
from boom_streams.settings import Settings

__all__ = ["details", "exported", "permissions"]


def details(settings: Settings, document: Mapping[str, Any], fid: str | None = None) -> Iterator[str]:
    """Lines about a filter.

    Parameters
    ----------
    settings
        Where its topic and its matches are.
    document
        The filter's document, whatever it holds.
    fid
        Version whose pipeline is shown; None: the active one.
    """
    name, survey = document.get("name"), document.get("survey")
    yield f"name         {name}"
    yield f"id           {document.get('_id')}"
    yield f"survey       {survey}"
    yield f"permissions  {permissions(document) or 'none'}"
    if document.get("description"):
        yield f"description  {document['description']}"
    yield f"state        {state(document)}"
    if missed(document) is not None:
        yield f"missed       alerts; `boom-streams filters activate {name} --catch-up` publishes them"
    yield f"topic        {names.filter_topic(str(name), settings.topic_prefix)}: {_topic(settings, name)}"
    matches = mongo.database(settings)[names.collection(str(survey), "filter_matches")]
    yield f"matches      {matches.count_documents({'filter_id': str(document.get('_id'))})} so far"
    shown = document.get("active_fid") if fid is None else fid
    running = {"on": "active", "off": ""}.get(state(document), "suspended")
    for version in _versions(document):
        at, note = version.get("created_at"), version.get("changelog")
        told = f" of {times.iso(at)}" if isinstance(at, float) else ""
        mark = f" ({running})" if running and version.get("fid") == document.get("active_fid") else ""
        yield f"version      {version.get('fid')}{told}{mark}{f': {note}' if note else ''}"
    yield f"pipeline of version {shown}:"
    yield json.dumps(_pipeline(document, shown), indent=2, ensure_ascii=False, default=str)


def exported(document: Mapping[str, Any], fid: str | None = None) -> dict[str, Any]:
    """What makes the same filter when it is added; the active version unless `fid` names another."""
    kept = {key: document[key] for key in ("name", "survey", "permissions", "description") if document.get(key)}
    return {**kept, "pipeline": _pipeline(document, document.get("active_fid") if fid is None else fid)}


def permissions(document: Mapping[str, Any]) -> str:
    """Programmes by survey, whatever the document holds."""
    found = document.get("permissions")
    if not isinstance(found, Mapping):
        return "" if found is None else str(found)
    return "; ".join(f"{survey} {str(ids).strip('[]').replace(' ', '')}" for survey, ids in found.items())


def _topic(settings: Settings, name: Any) -> str:
    try:
        count = count_records(settings, name)
    except BoomError as error:
        return str(error)
    return "not there yet" if count is None else f"{count} record{'s' * (count != 1)}"


def _versions(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("fv")
    return [version for version in found if isinstance(version, Mapping)] if isinstance(found, list) else []


def _pipeline(document: Mapping[str, Any], fid: Any) -> Any:
    found = [version.get("pipeline") for version in _versions(document) if version.get("fid") == fid]
    if not found:
        raise FilterError(f"filter {document.get('name')}: version {fid!r} is not among its versions")
    return parse_pipeline(found[0]) if isinstance(found[0], str) else found[0]

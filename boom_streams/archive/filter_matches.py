"""Which alert passed which filter, as ``<SURVEY>_filter_matches`` has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import bson

__all__ = ["match_document"]

#: Most levels of annotations that are stored as they are; MongoDB has its own limit, above this.
_MAX_DEPTH = 100


def match_document(message: Mapping[str, Any], passed: Mapping[str, Any]) -> dict[str, Any]:
    """Document of one filter that an alert passed.

    Annotations that MongoDB would refuse, and with them other users' matches, are kept as their ``text``.

    Parameters
    ----------
    message, passed
        A record of ``<survey>.filtered``, and one of its filters.
    """
    key = {"candid": message["candid"], "filter_id": passed["filter_id"], "fid": passed["fid"]}
    return {
        "_id": key,
        **key,
        "objectId": message["objectId"],
        "filter_name": passed["name"],
        "jd": message["jd"],
        "annotations": _annotations(passed["annotations"]),
        "created_at": message["received"],
    }


def _annotations(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if isinstance(found, dict) and _depth(found) <= _MAX_DEPTH:
            bson.encode(found)
            return found
    except (ValueError, OverflowError, RecursionError, bson.errors.BSONError):
        pass
    return {"text": text}


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0

"""Alerts of one object together: a page has one card an object, made of its newest alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["by_object", "unsearched"]


def by_object(alerts: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Alerts of each object, the newest first; objects in the order in which they come.

    Each alert is there once, with all filters that it passed.
    """
    objects: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for alert in alerts:
        known = objects.setdefault((alert["survey"], alert["objectId"]), {})
        first = known.setdefault(alert["candid"], {**alert, "filters": []})
        there = {(passed["filter_id"], passed["fid"]) for passed in first["filters"]}
        first["filters"] += [p for p in alert["filters"] if (p["filter_id"], p["fid"]) not in there]
    return [sorted(each.values(), key=lambda a: (a["jd"], a["candid"]), reverse=True) for each in objects.values()]


def unsearched(matches: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Catalogues that were asked for none of the objects, all for the same reason: the reason by catalogue.

    Parameters
    ----------
    matches
        Of each object its sources by catalogue, or the reason why a catalogue was not asked.
    """
    found: dict[str, set[str | None]] = {}
    for each in matches:
        for catalog, sources in each.items():
            found.setdefault(catalog, set()).add(sources if isinstance(sources, str) else None)
    return {
        catalog: reason
        for catalog, reasons in sorted(found.items())
        if len(reasons) == 1 and (reason := next(iter(reasons))) is not None
    }

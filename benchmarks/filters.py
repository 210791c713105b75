"""The two sets of 25 filters: (a) copies of one, as the reference was measured; (b) with thresholds of their own."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boom_streams.archive import mongo
from boom_streams.filters import FilterStore

if TYPE_CHECKING:
    from boom_streams.settings import Settings

__all__ = ["COUNT", "FILTER_SETS", "activate", "pipelines"]

COUNT = 25

FILTER_SETS = {"a": f"{COUNT} copies of one filter", "b": f"{COUNT} filters that differ in their thresholds"}

_FILE = Path("data", "filters", "cats150", "boom_throughput.pipeline.json")
_PERMISSIONS = {"ZTF": [1, 2, 3]}


def pipelines(shared: Path, kind: str) -> list[list[dict[str, Any]]]:
    """Pipelines of a set, ``a`` or ``b``."""
    original = json.loads((shared / _FILE).read_text())
    return [copy.deepcopy(original) if kind == "a" else _own(original, index) for index in range(COUNT)]


def activate(settings: Settings, shared: Path, kind: str) -> None:
    """Put the filters of a set into the broker's database, all active."""
    store = FilterStore(mongo.database(settings))
    for index, pipeline in enumerate(pipelines(shared, kind)):
        added = store.add(f"bench_{kind}{index:02d}", "ZTF", pipeline, _PERMISSIONS)
        store.activate(added.filter_id)


def _own(original: list[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    """Give a copy thresholds of its own, near the original's; index 0 is the original."""
    pipeline = copy.deepcopy(original)
    match = pipeline[0]["$match"]
    match["candidate.rb"]["$gte"] += 0.01 * index
    match["candidate.drb"]["$gt"] += 0.01 * index
    match["candidate.fwhm"]["$lt"] -= 0.1 * index
    project = pipeline[1]["$project"]
    project["star"]["$and"][0]["$gt"][1] += 0.005 * index
    project["mag_cut"]["$or"][0]["$lt"][1] -= 0.05 * index
    return pipeline

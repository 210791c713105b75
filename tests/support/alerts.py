"""Alerts of files, alerts in rounds, and the smallest schema of an alert."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from boom_streams.ingest import raw_records
from boom_streams.surveys import get_survey
from boom_streams.testing import Stored


def containers(*folders: Path) -> list[bytes]:
    """Containers of one alert each, of all files that can be read."""
    files = [path for folder in folders for path in sorted(folder.rglob("*.avro")) if path.is_file()]
    batch = raw_records.raw_batch([path.read_bytes() for path in files], get_survey("ZTF"), 1)
    return [record.value for record in batch.records if not record.headers]


def rounds(stored: Iterable[Stored]) -> list[list[Stored]]:
    """The alerts such that each object is once in each round, in order."""
    found: list[list[Stored]] = []
    seen: dict[str, int] = {}
    for one in stored:
        number = seen.setdefault(one.record["objectId"], 0)
        seen[one.record["objectId"]] += 1
        if number == len(found):
            found.append([])
        found[number].append(one)
    return found


def alert_schema(*numbers: str) -> dict[str, Any]:
    """Schema of a packet with an object, a candid, and a candidate with some doubles."""
    candidate = {
        "type": "record",
        "name": "candidate",
        "fields": [{"name": name, "type": "double"} for name in numbers],
    }
    return {
        "type": "record",
        "name": "alert",
        "fields": [
            {"name": "objectId", "type": "string"},
            {"name": "candid", "type": "long"},
            {"name": "candidate", "type": candidate},
        ],
    }

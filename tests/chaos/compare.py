"""What a run has left in topics, collections and tables, and how two runs differ.

Topics are compared as sets of values for each alert: a value that came again after a redelivery must be the same, byte
for byte. Collections are compared document by document with all their fields, tables key by key, dead letters as they
are listed (one for each record).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson

from boom_streams import names
from boom_streams.archive import mongo
from boom_streams.errors import BoomError
from boom_streams.kafka.clients import partition_counts
from boom_streams.kafka.offsets import watermarks
from boom_streams.kafka.reading import headers_of, scan
from boom_streams.schema import bson_records
from boom_streams.schema.filtered import decode_filtered
from boom_streams.settings import Settings
from boom_streams.tables import cells
from boom_streams.tables.store import stored_partition
from tests.chaos.log import RawLog

__all__ = ["Outcome", "Row", "Table", "compare", "compare_collections", "compare_tables", "outcome", "read_tables"]

#: Differences that are shown of each kind.
_SHOWN = 3

Values = dict[Any, Counter[str]]
"""Digests of the values of each identity, with the number of times that each came."""

Table = dict[tuple[int, bytes], bytes]
"""Values by partition and key."""


@dataclass(slots=True)
class Outcome:
    """What a run has left in its topics."""

    topics: dict[str, Values] = field(default_factory=dict)
    sources: Counter[bytes] = field(default_factory=Counter)
    """Times that each enriched record was classified, by its partition and offset."""
    dead: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def redelivered(self, log: RawLog) -> dict[str, int]:
        """Records that each stage has handled again, as its output topic shows."""
        enriched, classified, filtered = (self.topics[name] for name in ("enriched", "classified", "filtered"))
        return {
            "enrich": sum(max(0, n.total() - log.copies[candid]) for candid, n in enriched.items()),
            "classify": sum(n - 1 for n in self.sources.values()),
            "filter": sum(max(0, n.total() - classified[candid].total()) for candid, n in filtered.items()),
        }


@dataclass(slots=True)
class Row:
    """One comparison: of what, how many on both sides, and the first differences."""

    what: str
    expected: int
    found: int
    differences: list[str] = field(default_factory=list)
    count: int = 0
    """Number of differences."""

    def differ(self, text: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < _SHOWN:
            self.differences.append(text)


def outcome(settings: Settings) -> Outcome:
    """Read all topics of a run."""
    found = Outcome()
    filters = names.filter_topic("", settings.topic_prefix)
    people = [topic for topic in partition_counts(settings) if topic.startswith(filters)]
    stages = [names.topic("ztf", stage, settings.topic_prefix) for stage in ("enriched", "classified", "filtered")]
    for topic in (*stages, *people):
        found.topics[_short_name(settings, topic)] = defaultdict(Counter)
    for message in scan(settings, [*stages, *people]):
        value = message.value() or b""
        name = _short_name(settings, str(message.topic()))
        if name in ("enriched", "classified"):
            record: Mapping[str, Any] = bson_records.fields(value)
            value = bson.encode(_without_matches(record))
        else:
            record = decode_filtered(value)
        found.topics[name][int(record["candid"])][_digest(value)] += 1
        if name == "classified":
            found.sources[headers_of(message)["enriched"]] += 1
    found.dead = _dead_letters(settings)
    return found


def _without_matches(value: Mapping[str, Any]) -> dict[str, Any]:
    """A record or document without what depends on the version of a catalogue (see `tests.chaos.catalogs`)."""
    rest = {name: field for name, field in value.items() if name not in ("cross_matches", "catalogs")}
    if "by_programme" in rest:
        rest["by_programme"] = {name: _without_matches(entry) for name, entry in rest["by_programme"].items()}
    return rest


def _short_name(settings: Settings, topic: str) -> str:
    return topic.removeprefix(settings.topic_prefix).removeprefix("ztf.")


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:16]


def _dead_letters(settings: Settings) -> Counter[tuple[Any, ...]]:
    """Each letter once: stage, reason, original bytes and time; where the record lay differs between runs."""
    letters: dict[tuple[bytes, ...], tuple[Any, ...]] = {}
    for message in scan(settings, [names.topic("ztf", "dead", settings.topic_prefix)]):
        headers = headers_of(message)
        record = tuple(headers[f"dead.{name}"] for name in ("topic", "partition", "offset"))
        said = tuple(headers[f"dead.{name}"].decode() for name in ("stage", "reason", "timestamp"))
        letters[record] = (*said, _digest(message.value() or b""))
    return Counter(letters.values())


def compare(log: RawLog, expected: Outcome, found: Outcome) -> Iterator[Row]:
    """Compare the topics of two runs, and both with the log."""
    for topic, values in expected.topics.items():
        yield _compare_topic(f"alerts in {topic}", values, found.topics.get(topic, {}))
    for topic in ("enriched", "classified"):
        row = Row(f"alerts of the log in {topic}", len(log.copies), len(found.topics[topic]))
        for candid in log.copies.keys() ^ found.topics[topic].keys():
            row.differ(f"alert {candid} is only in {'the log' if candid in log.copies else 'the topic'}")
        yield row
    row = Row("dead letters", expected.dead.total(), found.dead.total())
    for letter in ((expected.dead - found.dead) + (found.dead - expected.dead)).elements():
        row.differ(f"{letter}: {expected.dead[letter]} times, and with faults {found.dead[letter]} times")
    if found.dead.total() != log.junk:
        row.differ(f"the log has {log.junk} records that are no alerts")
    yield row


def _compare_topic(what: str, expected: Mapping[Any, Counter[str]], found: Mapping[Any, Counter[str]]) -> Row:
    row = Row(what, len(expected), len(found))
    for identity in sorted(expected.keys() | found.keys()):
        before, after = set(expected.get(identity, ())), set(found.get(identity, ()))
        if not after:
            row.differ(f"alert {identity} is missing")
        elif not before:
            row.differ(f"alert {identity} must not be there")
        elif before != after:
            row.differ(f"alert {identity} has the values {sorted(after)}, without faults {sorted(before)}")
    return row


def compare_collections(expected: Settings, found: Settings, but: Collection[str] = ()) -> Iterator[Row]:
    """Compare the collections of two runs, document by document, but those named.

    What a filter worker had in hand lies in a ``scratch_…`` collection, and stays there when it is killed.
    """
    before, after = mongo.database(expected), mongo.database(found)
    every = {name for database in (before, after) for name in database.list_collection_names()}
    collections = {name for name in every if not name.startswith("scratch_")} - set(but)
    for name in sorted(collections):
        row = Row(f"documents in {name}", before[name].count_documents({}), after[name].count_documents({}))
        left = {_key(d): d for d in before[name].find({}, {"_id": 1})}
        right = {_key(d): d for d in after[name].find({}, {"_id": 1})}
        for key in left.keys() ^ right.keys():
            row.differ(f"{key} is only in the run {'without' if key in left else 'with'} faults")
        same = left.keys() & right.keys()
        pairs = zip(_documents(before[name], same), _documents(after[name], same), strict=True)
        for one, other in pairs:
            one, other = _without_matches(one), _without_matches(other)
            if one != other:
                row.differ(f"{_key(one)}: {'; '.join(_fields(one, other))}")
        yield row


def _key(document: Mapping[str, Any]) -> str:
    return repr(document["_id"])


def _documents(collection: Any, keys: set[str]) -> Iterator[Any]:
    return (document for document in collection.find().sort("_id", 1) if _key(document) in keys)


def _fields(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            yield from _fields(one.get(name, "absent"), other.get(name, "absent"), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _fields(*pair, f"{path}[{index}]")
    elif one != other:
        sizes = f" ({len(other)} instead of {len(one)} entries)" if isinstance(one, list) else ""
        yield f"{path[1:]} is {_short(other)}, without faults {_short(one)}{sizes}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 90 else f"{text[:80]} …"


def read_tables(settings: Settings, folders: Iterable[Path], table: str) -> Table:
    """A table as stopped workers have it on their disks.

    Partitions move between workers; the copy of the last owner is the one that is at the end of the changelog. A cell
    that its only object has left is passed over: if the object's detections came in one batch, it was never there.
    """
    topic = names.changelog_topic(table, settings.topic_prefix)
    ends = {p: high for (_, p), (_, high) in watermarks(settings, {topic: settings.partitions}).items()}
    found: Table = {}
    for path in (path for folder in folders for path in sorted(folder.rglob(f"{table}-*.db"))):
        partition = int(path.stem.rpartition("-")[2])
        offset, items = stored_partition(path)
        if offset == ends[partition] - 1:
            found |= {(partition, key): value for key, value in items.items() if not _is_left(table, value)}
    return found


def _is_left(table: str, value: bytes) -> bool:
    return table == "cells" and not cells.objects_in(value)


def compare_tables(what: str, expected: Table, found: Table) -> Row:
    """Compare a table of two runs, key by key."""
    row = Row(what, len(expected), len(found))
    for partition, key in sorted(expected.keys() | found.keys()):
        one, other = expected.get((partition, key)), found.get((partition, key))
        if one != other:
            sizes = [f"{len(value)} bytes" if value is not None else "absent" for value in (other, one)]
            row.differ(
                f"partition {partition}, key {key!r}: {sizes[0]}, without faults {sizes[1]}{_explain(one, other)}"
            )
    return row


def _explain(one: bytes | None, other: bytes | None) -> str:
    """Both values, if they are of a cell."""
    try:
        return "".join(f"\n      {cells.objects_in(value)}"[:400] for value in (other, one) if value)
    except (bson.errors.InvalidBSON, BoomError):
        return ""

"""Avro schemas out of the headers of containers: parsed once, and refused if reading with them could not end.

* A parsed `Schema` is one object for one JSON text, so that it can key caches; what is made from it is kept with it
* Keys that Avro does not know are passed over; logical types become what BSON has (`boom_streams.avro.logical`)
* A schema cut off after the last wanted field reads the start of a record
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import fastavro

from boom_streams.avro.logical import Convert
from boom_streams.avro.types import MAX_DEPTH, Types
from boom_streams.errors import BadRecord

__all__ = ["MAX_SCHEMA", "Schema", "cut_schema", "load_schema"]

#: Largest schema, bytes of its JSON; those of surveys have up to 60 kB.
MAX_SCHEMA = 512 << 10
_CACHED = 4 << 20  # bytes of the JSON of all schemas that are kept; parsed they take about 15 times as much

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Schema:
    """A writer's schema, parsed; the same object for the same JSON, so that it can key caches.

    Attributes
    ----------
    json
        As it was written.
    source
        What Avro knows of it, without logical types.
    parsed
        As fastavro takes it.
    version
        Its key ``version``, if that is a text.
    names
        Fields of the record.
    repeated
        Fields that the record, or one in it, names twice: ``candidate.magpsf``.
    per_byte, per_byte_columns
        Most bytes that one byte of a record may become, as Python values or as columns.
    convert
        What turns logical types of a decoded record into what BSON has; None: there are none.
    """

    json: bytes
    source: dict[str, Any]
    parsed: Any
    version: str | None
    names: frozenset[str]
    repeated: frozenset[str]
    per_byte: float
    per_byte_columns: float
    convert: Convert | None
    _made: dict[Any, Any] = field(default_factory=dict)

    def made(self, key: Any, make: Callable[[], Made]) -> Made:
        """Give what `make` made of this schema under this key, once; it is forgotten with the schema."""
        if key not in self._made:
            self._made[key] = make()
        return cast(Made, self._made[key])

    def kinds(self, path: Sequence[str]) -> dict[str, frozenset[str]]:
        """Kinds of each field of the record at a path (``("candidate",)``; ``()``: the whole), also of a list's.

        Returns
        -------
        dict
            By field: ``{"null", "double"}``; empty if there is no such record. Of a field that is named twice
            both.
        """
        return self.made(("kinds", *path), lambda: _kinds(self.source, tuple(path)))


#: Schemas that somebody holds, and those read last, which are held here.
_alive: WeakValueDictionary[bytes, Schema] = WeakValueDictionary()
_latest: OrderedDict[bytes, Schema] = OrderedDict()


def load_schema(source: bytes) -> Schema:
    """Parse a schema from its JSON, once.

    Raises
    ------
    BadRecord
        If it is no JSON, no Avro record, refers to itself, or could take forever to read.
    """
    schema = _alive.get(source)
    if schema is None:
        schema = _alive[source] = _load(source)
    _latest[source] = schema
    _latest.move_to_end(source)
    total = sum(map(len, _latest))
    while total > _CACHED:
        total -= len(_latest.popitem(last=False)[0])
    return schema


def _load(source: bytes) -> Schema:
    if len(source) > MAX_SCHEMA:
        raise BadRecord(f"the Avro schema in the header is too large: {len(source)} bytes, more than {MAX_SCHEMA}")
    try:
        tree = json.loads(source)
        if not isinstance(tree, dict) or tree.get("type") != "record":
            raise BadRecord("the Avro schema in the header is not that of a record")
        types = Types()
        record = types.read(tree)
        parsed = _parse(record.plain)
    except BadRecord:
        raise
    except RecursionError:  # before it was counted
        raise BadRecord(f"the Avro schema in the header nests more than {MAX_DEPTH} levels") from None
    except Exception as error:
        raise BadRecord(
            f"the Avro schema in the header cannot be used ({type(error).__name__}: {str(error)[:120]})"
        ) from None
    version = tree.get("version")
    return Schema(
        json=source,
        source=record.plain,
        parsed=parsed,
        version=version if isinstance(version, str) else None,
        names=frozenset(item["name"] for item in record.plain["fields"]),
        repeated=frozenset(types.repeated),
        per_byte=types.per_byte,
        per_byte_columns=types.per_byte_columns,
        convert=record.convert,
    )


def _parse(tree: dict[str, Any]) -> Any:
    return fastavro.parse_schema(tree)


def _kinds(source: dict[str, Any], path: tuple[str, ...]) -> dict[str, frozenset[str]]:
    named: dict[str, Any] = {}
    _collect(source, named)
    records = [source]
    for name in path:
        types = [item["type"] for record in records for item in record["fields"] if item["name"] == name]
        records = [record for kind in types for record in _records_of(kind, named)]
    kinds: dict[str, set[str]] = {}
    for record in records:
        for item in record["fields"]:
            kinds.setdefault(item["name"], set()).update(_kinds_of(item["type"], named))
    return {name: frozenset(found) for name, found in kinds.items()}


def _collect(kind: Any, named: dict[str, Any]) -> None:
    """Find the definitions of named types."""
    if isinstance(kind, list):
        for branch in kind:
            _collect(branch, named)
    elif isinstance(kind, dict):
        if "name" in kind:
            named[kind["name"]] = kind
        fields = [item["type"] for item in kind.get("fields", ())]
        for inner in (*fields, *(kind[key] for key in ("items", "values") if key in kind)):
            _collect(inner, named)


def _records_of(kind: Any, named: dict[str, Any]) -> list[dict[str, Any]]:
    """Find the records that a value of this type may be, or may list."""
    if isinstance(kind, list):
        return [record for branch in kind for record in _records_of(branch, named)]
    if isinstance(kind, str):
        return _records_of(named[kind], named) if kind in named else []
    if kind["type"] == "record":
        return [kind]
    return _records_of(kind["items"], named) if kind["type"] == "array" else []


def _kinds_of(kind: Any, named: dict[str, Any]) -> Collection[str]:
    if isinstance(kind, list):
        return {found for branch in kind for found in _kinds_of(branch, named)}
    if isinstance(kind, str):
        return _kinds_of(named[kind], named) if kind in named else {kind}
    return {kind["type"]}


def cut_schema(schema: Schema, paths: Sequence[Sequence[str]]) -> Any:
    """Parse the schema again without what follows the last of the fields at `paths` (those that it has)."""
    return _parse(_cut(schema.source, [path for path in paths if _has(schema.source, path)]))


def _record_in(kind: Any) -> dict[str, Any] | None:
    """Find the record that a field's type defines in place, alone or as one branch of a union."""
    branches = [kind] if isinstance(kind, dict) else kind if isinstance(kind, list) else []
    records = [b for b in branches if isinstance(b, dict) and b.get("type") == "record"]
    return records[0] if len(records) == 1 else None


def _has(record: dict[str, Any], path: Sequence[str]) -> bool:
    for item in record["fields"]:
        if item["name"] == path[0]:
            inner = _record_in(item["type"])
            return len(path) == 1 or inner is None or _has(inner, path[1:])
    return False


def _cut(record: dict[str, Any], paths: list[Sequence[str]]) -> dict[str, Any]:
    """Copy the record's schema without the fields that follow the last wanted one."""
    heads = {path[0] for path in paths}
    fields = list(record["fields"])
    while len(fields) > 1 and fields[-1]["name"] not in heads:
        fields.pop()
    last = fields[-1]
    inner = _record_in(last["type"])
    deeper = [path[1:] for path in paths if path[0] == last["name"] and len(path) > 1]
    whole = any(len(path) == 1 and path[0] == last["name"] for path in paths)
    if inner is not None and deeper and not whole:
        shorter = _cut(inner, deeper)
        kind = last["type"]
        cut = [shorter if b is inner else b for b in kind] if isinstance(kind, list) else shorter
        fields[-1] = {**last, "type": cut}
    return {**record, "fields": fields}

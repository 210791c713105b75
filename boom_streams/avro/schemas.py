"""Avro schemas out of the headers of containers: parsed once, and refused if reading with them could not end.

* A parsed `Schema` is one object for one JSON text, so that it can key caches
* A schema cut off after the last wanted field reads the start of a record
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fastavro

from boom_streams.errors import BadRecord

__all__ = ["Schema", "cut_schema", "load_schema"]

_MAX_FIELDS = 20_000  # of a schema, each use of a named type counted
_MAX_SCHEMA = 4 << 20  # bytes of a schema's JSON
_SIZES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A writer's schema, parsed; the same object for the same JSON, so that it can key caches."""

    source: dict[str, Any]
    parsed: Any
    version: str | None
    names: frozenset[str]


@lru_cache(maxsize=256)
def load_schema(source: bytes) -> Schema:
    """Parse a schema from its JSON, once.

    Raises
    ------
    BadRecord
        If it is no JSON, no Avro record, refers to itself, or could take forever to read.
    """
    if len(source) > _MAX_SCHEMA or b"__fastavro" in source:
        raise BadRecord("the Avro schema in the header cannot be used: too large, or not a plain schema")
    try:
        tree = json.loads(source)
        if not isinstance(tree, dict) or tree.get("type") != "record":
            raise BadRecord("the Avro schema in the header is not that of a record")
        parsed = _parse(tree)
        _measure(parsed, {})
        names = frozenset(field["name"] for field in tree["fields"])
    except BadRecord:
        raise
    except Exception as error:
        raise BadRecord(
            f"the Avro schema in the header cannot be used ({type(error).__name__}: {str(error)[:120]})"
        ) from None
    version = tree.get("version")
    return Schema(tree, parsed, version if isinstance(version, str) else None, names)


def _parse(tree: dict[str, Any]) -> Any:
    return fastavro.parse_schema(tree)


def _measure(node: Any, known: dict[str, tuple[int, int] | None]) -> tuple[int, int]:
    """Fewest bytes and number of fields of a parsed schema; refuses what could be read without end."""
    if isinstance(node, list):
        parts = [_measure(branch, known) for branch in node]
        return 1 + min(size for size, _ in parts), sum(fields for _, fields in parts)
    if isinstance(node, str):
        if node in _SIZES:
            return _SIZES[node], 1
        found = known[node]
        if found is None:
            raise BadRecord(f"the Avro schema in the header refers to itself ({node[:60]})")
        return found
    kind = node["type"]
    if kind in ("record", "error"):
        known[node["name"]] = None
        parts = [_measure(field["type"], known) for field in node["fields"]]
        measured = sum(size for size, _ in parts), 1 + sum(fields for _, fields in parts)
        if measured[1] > _MAX_FIELDS or measured[0] == 0:
            raise BadRecord("the Avro schema in the header has too many fields, or an empty record")
        known[node["name"]] = measured
        return measured
    if kind in ("array", "map"):
        size, fields = _measure(node["items" if kind == "array" else "values"], known)
        if size == 0:
            raise BadRecord("the Avro schema in the header has a list of nothing")
        return 1, fields
    if kind in ("enum", "fixed"):
        known[node["name"]] = (1 if kind == "enum" else node["size"]), 1
        return known[node["name"]] or (0, 1)
    return _measure(kind, known)


def cut_schema(schema: Schema, paths: Sequence[Sequence[str]]) -> Any:
    """Parse the schema again without what follows the last of the fields at `paths` (those that it has)."""
    return _parse(_cut(schema.source, [path for path in paths if _has(schema.source, path)]))


def _record_in(kind: Any) -> dict[str, Any] | None:
    """Find the record that a field's type defines in place, alone or as one branch of a union."""
    branches = [kind] if isinstance(kind, dict) else kind if isinstance(kind, list) else []
    records = [b for b in branches if isinstance(b, dict) and b.get("type") == "record"]
    return records[0] if len(records) == 1 else None


def _has(record: dict[str, Any], path: Sequence[str]) -> bool:
    for field in record["fields"]:
        if field["name"] == path[0]:
            inner = _record_in(field["type"])
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

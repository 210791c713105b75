"""What a schema's types mean for who reads them: how much a record may become, and which values are converted.

* Sizes are counted once for each schema, so that a record's bytes alone tell whether it can be large
* Only what Avro knows is kept of a schema: a writer's own keys, documentation and defaults mean nothing to a reader
* A schema that could be read without end (it refers to itself, or lists what has no bytes) is refused
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from boom_streams.avro.logical import Convert, converter
from boom_streams.errors import BadRecord

__all__ = ["MAX_DEPTH", "Type", "Types"]

#: Records, lists and maps in each other; MongoDB takes 100, and filters put alerts into documents of their own.
MAX_DEPTH = 64

_MAX_FIELDS = 20_000  # of a schema, each use of a named type counted
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SYMBOLS = 10_000
_MAX_EMPTY = 8  # fields of a record that take no byte, so that nothing that is read counts them

#: Fewest bytes, type in Python, and bytes in a column of Polars, of each primitive type.
_PRIMITIVES: Mapping[str, tuple[int, type, int]] = {
    "null": (0, type(None), 8),
    "boolean": (1, bool, 8),
    "int": (1, int, 8),
    "long": (1, int, 8),
    "float": (4, float, 8),
    "double": (8, float, 8),
    "bytes": (1, bytes, 32),
    "string": (1, str, 32),
}
_ITEM, _RECORD = 60, 100  # bytes of a value's place in a dictionary, and of a dictionary
_VALUE = 120  # of the largest value whose record has one byte (an empty text), with its place


class Type(NamedTuple):
    """A type of a schema, with all that it holds.

    Attributes
    ----------
    plain
        The type with what Avro knows alone, without logical types.
    size
        Fewest bytes of a value.
    width
        Bytes of a value in columns, without the items of its lists.
    convert
        What turns a decoded value into one that BSON has.
    """

    plain: Any
    size: int
    fields: int
    depth: int
    width: int
    python: type
    convert: Convert | None


@dataclass(slots=True)
class Types:
    """Walks through a schema.

    Attributes
    ----------
    repeated
        Fields that a record names twice: ``candidate.magpsf``.
    per_byte
        Most bytes that one byte of a record may become as Python values.
    per_byte_columns
        The same, as columns.
    """

    repeated: set[str] = field(default_factory=set)
    per_byte: float = _VALUE
    per_byte_columns: float = 1.0
    _known: dict[str, Type | None] = field(default_factory=dict)

    def read(self, node: Any, space: str = "", path: str = "") -> Type:
        """Look at a type and all that it holds.

        Raises
        ------
        BadRecord
            If the schema cannot be used; a malformed one may raise `KeyError`, `TypeError` or `RecursionError`.
        """
        if isinstance(node, list):
            return self._union(node, space, path)
        if isinstance(node, str):
            return self._named(node, space)
        kind = node["type"]
        if not isinstance(kind, str):
            return self.read(kind, space, path)
        if kind in ("record", "error"):
            return self._record(node, space, path)
        if kind in ("array", "map"):
            return self._list(node, kind, space, path)
        if kind in ("enum", "fixed"):
            return self._symbols(node, kind, space)
        named = self._named(kind, space)
        return named._replace(convert=converter(node)) if kind in _PRIMITIVES else named

    def _named(self, name: str, space: str) -> Type:
        if name in _PRIMITIVES:
            size, python, width = _PRIMITIVES[name]
            return Type(name, size, 1, 0, width, python, None)
        found = self._known.get(full := _full(name, space), _ABSENT)
        if found is _ABSENT:
            found = self._known.get(full := name, _ABSENT)
        if found is _ABSENT:
            raise BadRecord(f"the Avro schema in the header names an unknown type ({name[:60]})")
        if not isinstance(found, Type):
            raise BadRecord(f"the Avro schema in the header refers to itself ({name[:60]})")
        return found._replace(plain=full)

    def _union(self, branches: list[Any], space: str, path: str) -> Type:
        if any(isinstance(branch, list) for branch in branches):
            raise BadRecord("the Avro schema in the header has a union in a union")
        types = [self.read(branch, space, path) for branch in branches]
        converts = {t.python: t.convert for t in reversed(types) if t.convert is not None}

        def convert(value: Any) -> Any:
            found = converts.get(type(value))
            return value if found is None else found(value)

        return Type(
            [t.plain for t in types],
            1 + min(t.size for t in types),
            sum(t.fields for t in types),
            max(t.depth for t in types),
            max(t.width for t in types),
            next((t.python for t in types if t.python is not type(None)), type(None)),
            convert if converts else None,
        )

    def _record(self, node: Mapping[str, Any], space: str, path: str) -> Type:
        name, space = self._define(node, space)
        plain, types = [], {}
        for item in node["fields"]:
            label = item["name"]
            if not _NAME.match(label):
                raise BadRecord(f"the Avro schema in the header has a field of the name {str(label)[:60]!r}")
            inner = f"{path}.{label}" if path else label
            if label in types:
                self.repeated.add(inner)
            types[label] = self.read(item["type"], space, inner)
            plain.append((label, types[label]))
        size, fields = sum(t.size for _, t in plain), 1 + sum(t.fields for _, t in plain)
        if fields > _MAX_FIELDS or size == 0:
            raise BadRecord("the Avro schema in the header has too many fields, or an empty record")
        without = sum(t.size == 0 for _, t in plain)
        if without > _MAX_EMPTY:
            raise BadRecord(f"the Avro schema in the header has more than {_MAX_EMPTY} fields that are always null")
        self.per_byte = max(self.per_byte, _VALUE + (_RECORD + _ITEM * without) / size)
        return self._keep(
            name,
            Type(
                {"type": "record", "name": name, "fields": [{"name": n, "type": t.plain} for n, t in plain]},
                size,
                fields,
                _deeper(max(t.depth for _, t in plain)),
                sum(t.width for _, t in plain),
                dict,
                _record_converter({n: t.convert for n, t in types.items() if t.convert is not None}),
            ),
        )

    def _list(self, node: Mapping[str, Any], kind: str, space: str, path: str) -> Type:
        label = "items" if kind == "array" else "values"
        item = self.read(node[label], space, path)
        if item.size == 0:
            raise BadRecord("the Avro schema in the header has a list of nothing")
        self.per_byte_columns = max(self.per_byte_columns, item.width / item.size)
        found = item.convert
        convert: Convert | None = None
        if found is not None and kind == "array":
            convert = lambda values: [found(value) for value in values]  # noqa: E731
        elif kind == "map":
            convert = lambda values: {_key(key): found(value) if found else value for key, value in values.items()}  # noqa: E731
        python = list if kind == "array" else dict
        return Type({"type": kind, label: item.plain}, 1, item.fields, _deeper(item.depth), 16, python, convert)

    def _symbols(self, node: Mapping[str, Any], kind: str, space: str) -> Type:
        name, _ = self._define(node, space)
        if kind == "enum":
            symbols = list(node["symbols"])
            if not symbols or len(symbols) > _SYMBOLS or not all(isinstance(symbol, str) for symbol in symbols):
                raise BadRecord("the Avro schema in the header has an enumeration of no names, or of too many")
            return self._keep(name, Type({"type": kind, "name": name, "symbols": symbols}, 1, 1, 0, 32, str, None))
        size = node["size"]
        if type(size) is not int or size < 0:
            raise BadRecord(f"the Avro schema in the header has a type of {str(size)[:60]} bytes")
        plain = {"type": kind, "name": name, "size": size}
        return self._keep(name, Type(plain, size, 1, 0, 32, bytes, converter(node)))

    def _define(self, node: Mapping[str, Any], space: str) -> tuple[str, str]:
        """Full name of a type that is defined here, and the space of names inside it."""
        own = node.get("namespace")
        name = _full(node["name"], own if isinstance(own, str) else space)
        if name in self._known:
            raise BadRecord(f"the Avro schema in the header defines {name[:60]} twice")
        self._known[name] = None
        return name, name.rpartition(".")[0]

    def _keep(self, name: str, found: Type) -> Type:
        self._known[name] = found
        return found


_ABSENT: Any = object()


def _full(name: str, space: str) -> str:
    return f"{space}.{name}" if space and "." not in name else name


def _key(key: str) -> str:
    if key.startswith("$") or "\0" in key:
        raise ValueError(f"{key[:40]!r} cannot be a name in a document")
    return key


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise BadRecord(f"the Avro schema in the header nests more than {MAX_DEPTH} levels")
    return depth + 1


def _record_converter(converts: Mapping[str, Convert]) -> Convert | None:
    """Convert the fields of a record in place, which may lack some."""
    if not converts:
        return None

    def convert(record: Any) -> Any:
        for name, one in converts.items():
            value = record.get(name)
            if value is not None:
                try:
                    record[name] = one(value)
                except (ValueError, OverflowError) as error:
                    raise BadRecord(f"a value of {name} is none of its type: {error}") from None
        return record

    return convert

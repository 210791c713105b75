"""Avro's logical types as values that BSON has: dates and times as datetimes in UTC, decimals, texts.

* date, timestamp-*, local-timestamp-*: datetime in UTC (BSON keeps milliseconds)
* time-*: text, ``12:34:56.000789``
* decimal: Decimal128 where the schema's precision fits in its 34 digits, else text
* uuid: text
* What is not known is left as its own type is, as Avro asks for
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.decimal128 import Decimal128

__all__ = ["Convert", "converter"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS = {"millis": 1_000, "micros": 1_000_000, "nanos": 1_000_000_000}  # a second
_DIGITS = 34  # of a Decimal128
_MAX_DECIMAL = 400  # bytes

Convert = Callable[[Any], Any]


def converter(node: Mapping[str, Any]) -> Convert | None:
    """Give what turns a value as it lies in the record into one that BSON has.

    Parameters
    ----------
    node
        A type of a schema: ``{"type": "int", "logicalType": "date"}``.

    Returns
    -------
    callable or None
        It raises `ValueError` or `OverflowError` for a value that its type does not have; None: nothing to do.
    """
    kind, logical = node.get("type"), node.get("logicalType")
    if not isinstance(logical, str):
        return None
    if logical == "date" and kind == "int":
        return lambda days: _EPOCH + timedelta(days=days)
    if logical == "decimal" and kind in ("bytes", "fixed"):
        return _decimal(node)
    if logical == "uuid" and kind == "fixed" and node.get("size") == 16:
        return lambda data: str(uuid.UUID(bytes=data))
    name, _, unit = logical.rpartition("-")
    ticks = _TICKS.get(unit)
    if ticks is None or kind not in ("int", "long"):
        return None
    if name == "time":
        return lambda value: (_EPOCH + _seconds(value, ticks)).time().isoformat()
    if name in ("timestamp", "local-timestamp"):
        return lambda value: _EPOCH + _seconds(value, ticks)
    return None


def _seconds(value: int, ticks: int) -> timedelta:
    whole, rest = divmod(value, ticks)
    return timedelta(seconds=whole, microseconds=rest * 1_000_000 // ticks)


def _decimal(node: Mapping[str, Any]) -> Convert | None:
    precision, scale = node.get("precision"), node.get("scale", 0)
    if not (isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision and precision > 0):
        return None  # an invalid logical type is to be ignored

    def convert(data: bytes) -> Decimal128 | str:
        if len(data) > _MAX_DECIMAL:
            raise ValueError(f"a decimal of {len(data)} bytes")
        digits = str(int.from_bytes(data, "big", signed=True))
        if len(digits.lstrip("-")) > precision:
            raise ValueError(f"a decimal of more than {precision} digits")
        return Decimal128(f"{digits}E-{scale}") if precision <= _DIGITS else _text(digits, scale)

    return convert


def _text(digits: str, scale: int) -> str:
    if not scale:
        return digits
    sign, rest = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    rest = rest.rjust(scale + 1, "0")
    return f"{sign}{rest[:-scale]}.{rest[-scale:]}"

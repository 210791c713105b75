"""What a filter says about an alert, as values that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

__all__ = ["MAX_BYTES", "plain", "read_annotations"]

#: Most that one alert's annotations may have, bytes of BSON.
MAX_BYTES = 64 * 1024

_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def read_annotations(document: RawBSONDocument) -> dict[str, Any]:
    """Annotations of a result of a pipeline; none is an empty dictionary.

    Raises
    ------
    ValueError
        If they are no document, or too large.
    bson.errors.BSONError
        If they hold what Python cannot.
    """
    found = document.get("annotations")
    if found is None:
        return {}
    if not isinstance(found, RawBSONDocument):
        raise ValueError(f"its annotations are a {type(found).__name__}, not an object with names")
    if len(found.raw) > MAX_BYTES:
        raise ValueError(f"its annotations have {len(found.raw)} bytes; {MAX_BYTES} are the most")
    return {name: plain(value) for name, value in bson.decode(found.raw, _PLAIN).items()}


def plain(value: Any) -> Any:
    """The value as JSON has it: times as ISO texts, numbers that are not finite as null, the rest as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat is not None else str(value)

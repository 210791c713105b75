"""What a filter says about an alert, as values that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

__all__ = ["MAX_BYTES", "plain", "read_results"]

#: Most that one alert's annotations may have, bytes of BSON.
MAX_BYTES = 64 * 1024

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def read_results(batch: bytes) -> dict[Any, dict[str, Any]]:
    """Annotations of a pipeline's results, by ``_id``; none is an empty dictionary.

    Parameters
    ----------
    batch : bytes
        BSON documents, one after the other.

    Raises
    ------
    ValueError
        If some are no document, or too large.
    bson.errors.BSONError
        If they hold what Python cannot.
    """
    if len(batch) > MAX_BYTES:
        _check_sizes(batch)
    return {result["_id"]: _read(result.get("annotations")) for result in bson.decode_all(batch, _PLAIN)}


def _read(found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"its annotations are a {type(found).__name__}, not an object with names")
    return {name: plain(value) for name, value in found.items()}


def _check_sizes(batch: bytes) -> None:
    for result in bson.decode_all(batch, _RAW):
        found = result.get("annotations")
        if isinstance(found, RawBSONDocument) and len(found.raw) > MAX_BYTES:
            raise ValueError(f"its annotations have {len(found.raw)} bytes; {MAX_BYTES} are the most")


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

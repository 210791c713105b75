"""What a filter says about an alert, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.dbref import DBRef
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS

from boom_streams.errors import FilterError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "plain", "read_facets", "read_results"]

#: Most that one alert's annotations may have, bytes of JSON.
MAX_BYTES = 64 * 1024
#: Most levels of objects and lists in them; MongoDB stores no more than 100 with what is around them.
MAX_DEPTH = 90

#: BSON of which the JSON cannot be small enough; it is not decoded.
_MAX_BSON = 8 * MAX_BYTES
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def read_results(batch: bytes) -> dict[int, str]:
    """Annotations of a pipeline's results as JSON, by ``_id``; none is an empty object.

    Parameters
    ----------
    batch
        BSON documents, one after the other.

    Raises
    ------
    FilterError
        If some are no document, or too large, or nested too deeply.
    bson.errors.BSONError
        If they hold what Python cannot.
    """
    return {result["_id"]: _text(result.get("annotations")) for result in _documents(batch)}


def read_facets(batch: bytes) -> dict[str, dict[int, str]]:
    """Results of several pipelines by name, from the one document of a ``$facet``; fails as `read_results`."""
    facets = bson.decode(batch, DEFAULT_RAW_BSON_OPTIONS)
    return {
        name: {result["_id"]: _text(result.get("annotations")) for result in (_decode(each.raw) for each in results)}
        for name, results in facets.items()
    }


def _documents(batch: bytes) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(batch):
        size = int.from_bytes(batch[at : at + 4], "little")
        yield _decode(batch[at : at + size])
        at += size


def _decode(result: bytes) -> dict[str, Any]:
    if len(result) > _MAX_BSON:
        raise FilterError(f"its annotations have {len(result)} bytes as BSON; {MAX_BYTES} as JSON are the most")
    return bson.decode(result, _PLAIN)


def _text(found: Any) -> str:
    if found is None:
        return "{}"
    if not isinstance(found, dict):
        raise FilterError(f"its annotations are a {type(found).__name__}, not an object with names")
    text = json.dumps({name: plain(value) for name, value in found.items()}, sort_keys=True)
    if len(text) > MAX_BYTES:
        raise FilterError(f"its annotations have {len(text)} bytes; {MAX_BYTES} are the most")
    return text


def plain(value: Any, levels: int = MAX_DEPTH) -> Any:
    """The value as JSON has it: times as ISO texts, numbers that are not finite as null, the rest as text.

    Raises
    ------
    FilterError
        If it has more levels.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not levels:
        raise FilterError(f"its annotations are nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, DBRef):  # what looks like a reference is an object like others
        value = value.as_doc()
    if isinstance(value, Mapping):
        return {str(name): plain(item, levels - 1) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item, levels - 1) for item in value]
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    return str(value)
